"""A pre-trained encoder by its name: weights found, put into the network, run by a runtime.

Input: a name, perhaps a path, and settings. Output: an `Encoder`, run by torch unless a setting
names another runtime.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from firstshot.encoders.pretrained_encoder import PretrainedEncoder
from firstshot.encoders.protocol import Encoder
from firstshot.encoders.runtimes.with_runtime import check_names, with_runtime
from firstshot.encoders.weights.catalog import (
    COMMON_SETTINGS,
    RUNTIME_SETTINGS,
    EncoderRecord,
    find_record,
)
from firstshot.encoders.weights.find import find_weights
from firstshot.encoders.weights.read import Weights, build_spec
from firstshot.errors import ParameterError, warn
from firstshot.libraries import import_library

REDUCED = {"float16": "fp16", "bfloat16": "bf16"}
"""The precision that a reduced dtype is."""
RANDOM_SEED = 0


def load_pretrained(
    record: EncoderRecord,
    weights: str | Path | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    fetch_missing: bool = True,
    **settings: Any,
) -> PretrainedEncoder:
    """Return a pre-trained encoder; see `firstshot.encoders.load_encoder`."""
    unknown = [name for name in settings if name not in record.settings]
    if unknown:
        raise ParameterError(
            f"encoder {record.name!r} has no setting {unknown[0]!r}; it has: "
            f"{', '.join(record.settings)}"
        )
    run_by = {name: value for name, value in settings.items() if name in RUNTIME_SETTINGS}
    if run_by.get("runtime", "torch") != "torch" and dtype == "float32":
        # The same numbers unless others are asked for, `auto` included.
        run_by.setdefault("precision", "fp32")
    check_names(run_by.get("runtime", "auto"), run_by.get("precision", "auto"))
    import_library("torch", record.name)
    _check_device(device)
    variant = settings.pop("variant", None)
    record.file(variant)
    if weights is not None and variant is not None:
        raise ParameterError(
            f"encoder {record.name!r}: weights and variant were both given; the file says what it "
            "is, leave variant out"
        )
    path = None if weights is None else Path(weights)
    found = find_weights(record, path, variant, settings, fetch_missing)
    if record.terms:
        warn(f"{record.name}: {record.terms}")
    common = {name: value for name, value in settings.items() if name in COMMON_SETTINGS}
    narrow = REDUCED.get(str(dtype).removeprefix("torch."))
    if narrow and not run_by:
        # Built in float32 first, with which the reduced precision is compared.
        run_by, dtype = {"runtime": "torch", "precision": narrow}, "float32"
    encoder = build_encoder(found, device=device, dtype=dtype, **common)
    return with_runtime(encoder, **run_by) if run_by else encoder


def build_encoder(weights: Weights, **settings: Any) -> PretrainedEncoder:
    """Return the encoder of weights that were read; `settings` are those of `torch_encoder`."""
    import torch

    from firstshot.encoders.models import build
    from firstshot.encoders.runtimes.torch import torch_encoder

    with torch.device("meta"):
        module = build(weights.spec)
    module.load_state_dict(weights.tensors, strict=True, assign=True)
    return torch_encoder(weights.spec, module, weights_hash=weights.digest, **settings)


def random_encoder(name: str) -> Encoder:
    """Return a pre-trained encoder with random weights, which are as fast as the real ones.

    Raises
    ------
    MissingLibraryError
        torch is not installed.
    ParameterError
        No pre-trained encoder has that name.
    """
    torch = import_library("torch", name)

    from firstshot.encoders.models import build
    from firstshot.encoders.runtimes.torch import torch_encoder

    spec = build_spec(find_record(name), {})
    torch.manual_seed(RANDOM_SEED)
    return torch_encoder(spec, build(spec), weights_hash=f"random, seed {RANDOM_SEED}")


def _check_device(device: str) -> None:
    import torch

    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ParameterError(
            f"device {device!r} cannot be used here ({reason[:120]}); choose cpu"
        ) from error
