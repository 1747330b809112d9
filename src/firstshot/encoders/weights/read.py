"""A published weights file becomes a network's tensors, all of them and no others.

Input: an encoder's record and a path. Output: the encoder's spec, the tensors under the network's
own names in float32, and a hash of their content: equal values have one hash, whichever format
they came in, so that a detector made with one file knows the other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstshot.encoders.specs.base import Spec
from firstshot.encoders.specs.beats import spec_from_cfg
from firstshot.encoders.weights.catalog import EncoderRecord
from firstshot.encoders.weights.files import Checkpoint, read_checkpoint
from firstshot.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Weights:
    """An encoder's weights.

    Attributes
    ----------
    spec : Spec
        The encoder's constants, from its record, the settings and, for BEATs, its file.
    tensors : dict of str to torch.Tensor
        float32, under the network's names.
    digest : str
        Hex SHA-256 of the tensors' content, see `hash_tensors`.
    cfg : mapping, optional
        The configuration that the file holds (BEATs).
    """

    spec: Spec
    tensors: dict[str, Tensor]
    digest: str
    cfg: Mapping[str, Any] | None = None


def build_spec(
    record: EncoderRecord, settings: Mapping[str, Any], cfg: Mapping[str, Any] | None = None
) -> Spec:
    """Return the spec of an encoder under some of its settings.

    Parameters
    ----------
    record : EncoderRecord
        The encoder.
    settings : mapping
        Values of the record's `spec_settings` and `geometry_settings`; others are passed over.
    cfg : mapping, optional
        The configuration that a BEATs file holds; it decides the geometry there.

    Raises
    ------
    WeightsError
        The configuration is of a network that is not supported.
    ParameterError
        A setting has a value that cannot be used.
    """
    spec = record.spec if cfg is None else spec_from_cfg(cfg, record.name)
    of_geometry = {k: v for k, v in settings.items() if k in record.geometry_settings}
    of_spec = {k: v for k, v in settings.items() if k in record.spec_settings}
    return replace(
        spec,
        geometry=replace(spec.geometry, **of_geometry),
        default_layers=record.spec.default_layers,
        **of_spec,
    )


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Return the hex SHA-256 of tensors' names, shapes and float32 values, in order of names."""
    import numpy as np

    digest = hashlib.sha256()
    for name in sorted(tensors):
        values = np.ascontiguousarray(tensors[name].numpy(), dtype="<f4")
        digest.update(json.dumps([name, list(tensors[name].shape)]).encode())
        digest.update(values.data)
    return digest.hexdigest()


def read_weights(record: EncoderRecord, path: Path, settings: Mapping[str, Any]) -> Weights:
    """Read the weights in a published file, or in what was converted from one.

    Raises
    ------
    WeightsError
        The file is missing, damaged, not of this encoder, or of an unsupported variant.
    """
    checkpoint = read_checkpoint(path, record.advice())
    try:
        return _checked(record, checkpoint, settings)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}; {record.advice()}") from error


def _checked(record: EncoderRecord, checkpoint: Checkpoint, settings: Mapping[str, Any]) -> Weights:
    import torch

    from firstshot.encoders.models import map_names

    has_cfg = record.spec.family == "beats"
    cfg = checkpoint.cfg if has_cfg else None
    if has_cfg and cfg is None:
        raise WeightsError("has no cfg, which says what network the tensors are of")
    spec = build_spec(record, settings, cfg)
    tensors = {}
    for name, tensor in map_names(spec, checkpoint.tensors).items():
        if not tensor.is_floating_point():
            raise WeightsError(f"{name} holds {tensor.dtype}, expected floats")
        tensors[name] = tensor.to(torch.float32).contiguous()
    return Weights(spec, tensors, hash_tensors(tensors), cfg)
