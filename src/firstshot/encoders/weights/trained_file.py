"""The file of a trained network: its weights, and as one JSON text what it is and how it was made.

Input: a spec, tensors and facts. Output: the content of a safetensors file, and the same back,
every field and shape checked and the digest of all of it too. Nothing in the file is code. The same
network has the same bytes. The content is small, so that it travels inside a detector file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from firstshot.disk.caches import key_of_arrays, pack_arrays, unpack_arrays
from firstshot.disk.documents import Table, parse_json
from firstshot.disk.listing import check_file
from firstshot.encoders.specs.base import SAMPLE_RATE
from firstshot.encoders.specs.trained import RECIPES, WINDOW_SECONDS, TrainedSpec, trained_spec
from firstshot.errors import WeightsError
from firstshot.libraries import import_library
from firstshot.messages import shown

if TYPE_CHECKING:
    from torch import Tensor

SUFFIX = ".safetensors"
SCHEMA = 1
KIND = "firstshot trained encoder"
ADVICE = "give a file that `firstshot train` wrote"
MOST_BYTES = 1 << 28


@dataclass(frozen=True)
class TrainedFile:
    """A trained network as it lies in a file.

    Attributes
    ----------
    spec : TrainedSpec
        Recipe and window; its name is that of the file.
    tensors : dict of str to torch.Tensor
        Under the network's own names.
    facts : dict
        How it was trained: settings, seed, classes, losses.
    content : bytes
        The whole file.
    """

    spec: TrainedSpec
    tensors: dict[str, Tensor]
    facts: dict[str, Any]
    content: bytes

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the content."""
        return hashlib.sha256(self.content).hexdigest()


def is_trained_name(encoder: str) -> bool:
    """Tell whether an encoder's name is that of a file of `firstshot train`.

    >>> is_trained_name("models/my_encoder.safetensors"), is_trained_name("logmel")
    (True, False)
    """
    return encoder.endswith(SUFFIX)


def file_name_of(encoder: str) -> str:
    """Return an encoder's name without the folders of a file, which are of one machine.

    >>> file_name_of("models/my_encoder.safetensors"), file_name_of("logmel")
    ('my_encoder.safetensors', 'logmel')
    """
    return Path(encoder).name if is_trained_name(encoder) else encoder


def pack_trained(
    spec: TrainedSpec, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]
) -> bytes:
    """Return the content of a file."""
    recipe = next(name for name, (kind, _) in RECIPES.items() if isinstance(spec, kind))
    described = {
        "kind": KIND,
        "schema": SCHEMA,
        "recipe": recipe,
        "window": spec.window,
        "training": dict(facts),
    }
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
    return pack_arrays(json.dumps(described, sort_keys=True), arrays)


def read_trained(path: Path) -> TrainedFile:
    """Read a file; raises `WeightsError` where it is no file of `firstshot train`, or damaged."""
    try:
        check_file(path)
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES} bytes")
        return unpack_trained(path.name, path.read_bytes())
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: no such file; {ADVICE}") from error
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise WeightsError(f"{path}: no trained encoder ({shown(error)}); {ADVICE}") from error


def is_trained_file(path: Path) -> bool:
    """Tell whether a file says that `firstshot train` wrote it; raises `OSError`."""
    try:
        return KIND in key_of_arrays(path.read_bytes())
    except ValueError:
        return False


def unpack_trained(name: str, content: bytes) -> TrainedFile:
    """Return what a file of that name and content holds; raises ValueError where it is damaged."""
    torch = import_library("torch", name)

    from firstshot.encoders.models import expected_shapes

    key = key_of_arrays(content)
    try:
        table = Table.of(parse_json(key), "header")
    except ValueError:
        raise ValueError("it was not written by `firstshot train`") from None
    if table.values.get("kind") != KIND:
        raise ValueError("it was not written by `firstshot train`")
    if table.whole("schema", 1) > SCHEMA:
        raise ValueError(f"it is of schema {table.whole('schema')}; update firstshot")
    low, high = (round(seconds * SAMPLE_RATE) for seconds in WINDOW_SECONDS)
    window = table.whole("window", low, high)
    if window % 2:
        raise ValueError(f"window is {window}, expected an even number")
    spec = trained_spec(table.choice("recipe", RECIPES), window, name)
    arrays = unpack_arrays(key, content)
    shapes = expected_shapes(spec)
    if {name: array.shape for name, array in arrays.items()} != shapes:
        raise ValueError("its arrays are not those of its recipe")
    for array_name, array in arrays.items():
        _check_array(array_name, array)
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return TrainedFile(spec, tensors, dict(table.table("training").values), content)


def _check_array(name: str, array: NDArray[Any]) -> None:
    wanted = np.dtype(np.int64 if name.endswith("num_batches_tracked") else np.float32)
    if array.dtype != wanted:
        raise ValueError(f"{name} holds {array.dtype}, expected {wanted}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has values that are not finite")
    if name.endswith("running_var") and not (array >= 0).all():
        raise ValueError(f"{name} has a variance below 0")
