"""A training's state after an epoch becomes a file, and a file the state to go on from.

A checkpoint is one safetensors file of arrays, replaced as a whole after every epoch, so that a
training killed at any moment finds the last whole epoch. Its name is the hash of all that decides
the training's numbers: clips, domains, seed and settings. A changed clip gets another file.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

from numpy.typing import NDArray

from firstshot.autoencoder.settings import TrainingSettings
from firstshot.errors import FirstshotWarning
from firstshot.files import write_result

Arrays: TypeAlias = dict[str, NDArray[Any]]
SCHEMA = 1


def checkpoint_name(
    digests: Sequence[str], is_target: Sequence[bool], seed: int, settings: TrainingSettings
) -> str:
    """Return the file name of a training.

    Parameters
    ----------
    digests : sequence of str
        The hash of each training clip's samples, in the order in which they are trained on.
    is_target : sequence of bool
        Whether each clip is of the target domain.
    seed, settings
        As `training.train` takes them.

    Examples
    --------
    >>> checkpoint_name(["a"], [False], 13711, TrainingSettings())[:8]
    '89d133a3'
    """
    clips = [[digest, bool(target)] for digest, target in zip(digests, is_target, strict=True)]
    text = json.dumps([SCHEMA, clips, seed, asdict(settings)])
    return f"{hashlib.sha256(text.encode()).hexdigest()}.safetensors"


def write_checkpoint(path: Path, arrays: Arrays) -> None:
    """Replace the checkpoint as a whole; raises `OutputError` where it cannot be written."""
    from safetensors.numpy import save

    write_result(path, save(arrays))


def read_checkpoint(path: Path) -> Arrays | None:
    """Return a checkpoint's arrays, or None where there is none; warns of a damaged one."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays: Arrays = load(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (SafetensorError, OSError) as error:
        warnings.warn(
            f"{path}: not readable as a checkpoint ({error}); training begins anew",
            FirstshotWarning,
            stacklevel=2,
        )
        return None
    return arrays
