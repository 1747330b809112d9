"""An encoder with weights: these found, put into the network, run by a runtime.

Input: a name, perhaps a path, or the file of a trained network; and settings. Output: an `Encoder`,
run by torch unless a setting names another runtime.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from firstshot.encoders.weights.trained_file import TrainedFile, read_trained
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
    run_by = _check_settings(record.name, settings, record.settings, dtype)
    check_device(device, record.name)
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
    return _run(found, run_by, settings, device, dtype)


def load_trained(
    file: Path | TrainedFile, device: str = "cpu", dtype: str = "float32", **settings: Any
) -> PretrainedEncoder:
    """Return the encoder of a file that `firstshot train` wrote; settings say what runs it.

    Raises
    ------
    ParameterError
        A setting is unknown or has a value that cannot be used.
    MissingLibraryError
        torch is not installed.
    WeightsError
        The file is missing, damaged or something else.
    """
    name = file.name if isinstance(file, Path) else file.spec.name
    run_by = _check_settings(name, settings, ("micro_batch", *RUNTIME_SETTINGS), dtype)
    check_device(device, name)
    found = read_trained(file) if isinstance(file, Path) else file
    weights = Weights(found.spec, found.tensors, found.digest)
    encoder = _run(weights, run_by, settings, device, dtype)
    encoder.file_content = found.content
    return encoder


def _check_settings(
    name: str, settings: dict[str, Any], known: Sequence[str], dtype: str
) -> dict[str, Any]:
    """Refuse settings that an encoder does not have; return those that say what runs it."""
    unknown = [setting for setting in settings if setting not in known]
    if unknown:
        raise ParameterError(
            f"encoder {name!r} has no setting {unknown[0]!r}; it has: {', '.join(known)}"
        )
    run_by = {key: value for key, value in settings.items() if key in RUNTIME_SETTINGS}
    if run_by.get("runtime", "torch") != "torch" and dtype == "float32":
        # The same numbers unless others are asked for, `auto` included.
        run_by.setdefault("precision", "fp32")
    check_names(run_by.get("runtime", "auto"), run_by.get("precision", "auto"))
    return run_by


def _run(
    found: Weights, run_by: dict[str, Any], settings: dict[str, Any], device: str, dtype: str
) -> PretrainedEncoder:
    """Return the encoder of weights, run by what the settings say."""
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


def check_device(device: str, needed_by: str) -> None:
    """Raise `ParameterError` for a device that torch cannot use here."""
    torch = import_library("torch", needed_by)
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ParameterError(
            f"device {device!r} cannot be used here ({reason[:120]}); choose cpu"
        ) from error
