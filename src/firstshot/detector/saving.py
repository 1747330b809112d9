"""A detector becomes a file, and a file the same detector.

What is kept: settings, raw banks, fitted transforms, what the normalisers measured (densities,
statistics), calibration scores and the threshold. Nothing is fitted on loading, except a normaliser
without a `state()` and those of files of schema 1, which gives the same numbers. The manifest holds
the score of a self-check clip (one second of seeded noise): a loaded detector that scores it
differently would score everything differently, and is refused.
"""

from __future__ import annotations

import platform
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from firstshot.detector.embedding import Clip, embed_clips
from firstshot.detector.file import (
    MappedFile,
    check_unwritten,
    read_detector_file,
    write_detector_file,
)
from firstshot.detector.parts import SavedPart, saved_parts, score_parts
from firstshot.detector.settings import settled
from firstshot.encoders import list_encoders
from firstshot.encoders.protocol import Encoder
from firstshot.errors import DatasetError, DetectorFileError, FirstshotWarning
from firstshot.scoring.approximate import exactly
from firstshot.scoring.threshold import Threshold
from firstshot.scoring.transform import transform_from_arrays

if TYPE_CHECKING:
    from firstshot.detector.detector import Detector

SELF_CHECK_TOLERANCE = 1e-4
"""Relative; other processors and thread counts round differently, other weights do far more."""

_SETTINGS = (
    "pooling",
    "combine",
    "normalizer",
    "normalizer_settings",
    "metric",
    "channel",
    "threshold",
    "false_alarm_rate",
    "memmixup",
    "bank_precision",
    "encoder_settings",
    "index",
)


def save_detector(detector: Detector, path: Path) -> None:
    """Write a fitted detector to `path`."""
    from importlib.metadata import version

    check_unwritten(detector.mapped_)
    hearing = detector.hear()
    arrays: dict[str, NDArray[Any]] = {
        "spectra": detector.spectra_,
        "training_scores": detector.training_scores_,
        "calibration_scores": detector.calibration_scores_,
    }
    if np.isfinite(detector.levels_).all():
        arrays["levels"] = detector.levels_
    saved = saved_parts(detector.parts_)
    for i, (part, fitted) in enumerate(zip(detector.parts_, saved, strict=True)):
        arrays[f"part_{i}.bank"] = part.bank.embeddings
        for name, values in fitted.transform.arrays().items():
            arrays[f"part_{i}.transform.{name}"] = values
        for name, values in (fitted.state or {}).items():
            arrays[f"part_{i}.normalizer.{name}"] = values
    manifest = {
        "encoder": {"name": hearing.encoder.name, "fingerprint": hearing.encoder.fingerprint},
        "layers": list(hearing.layers),
        "length": str(hearing.length),
        "transform": detector.parts_[0].transform.name,
        "settings": {name: detector.settings_[name] for name in _SETTINGS}
        | {"encoder_settings": settled(hearing.encoder, detector.settings_["encoder_settings"])},
        "threshold": asdict(detector.threshold_),
        "calibration_windows": detector.calibration_windows_,
        "heard_seconds": detector.heard_seconds_,
        "self_check_score": _self_check(detector),
        "versions": {
            "firstshot": version("firstshot"),
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
    write_detector_file(path, manifest, arrays, list(detector.rows_))


def load_detector(
    path: Path, kind: type[Detector], encoder: Encoder | None = None, *, check: bool = True
) -> Detector:
    """Read a detector; `kind` is the class to make, `encoder` replaces finding it by name.

    Without `check` no self-check clip is scored: a bundle has one of its own.
    """
    mapped = MappedFile.of(path)
    manifest, arrays, rows = read_detector_file(path)
    try:
        detector = _empty_detector(path, kind, manifest, encoder)
        parts = len({name.split(".")[0] for name in arrays if name.startswith("part_")})
        saved = [_saved_part(manifest, arrays, f"part_{i}.") for i in range(parts)]
        banks = [arrays[f"part_{i}.bank"] for i in range(parts)]
        with warnings.catch_warnings():
            # What is said of a bank (too few clips for K, say) was said when it was fitted.
            warnings.simplefilter("ignore", FirstshotWarning)
            detector.restore(rows, banks, arrays["spectra"], saved)
        detector.training_scores_ = arrays["training_scores"]
        detector.calibration_scores_ = arrays["calibration_scores"]
        detector.calibration_windows_ = _windows(manifest.get("calibration_windows"))
        detector.heard_seconds_ = _seconds(manifest.get("heard_seconds"))
        if "levels" in arrays:
            detector.levels_ = arrays["levels"]
        detector.threshold_ = Threshold(**manifest["threshold"])
        detector.mapped_ = mapped
        saved_score = manifest["self_check_score"]
        if check:
            _compare_self_check(path, detector, saved_score)
    except (KeyError, TypeError, ValueError, AttributeError, DatasetError) as error:
        # Its digests hold, so it was written so: by a plug-in, an older firstshot, or on purpose.
        raise DetectorFileError(
            f"{path}: not a detector that this firstshot can make again ({error}); fit anew"
        ) from error
    return detector


def _windows(value: Any) -> int | None:
    """Check the number of windows of the clips that a threshold was set on; older files lack it."""
    if value is None or (type(value) is int and value > 0):
        return value
    raise ValueError(f"its calibration_windows is {value!r}, not a whole number of 1 or more")


def _seconds(value: Any) -> tuple[float, float] | None:
    """Check how many seconds of the normal clips are heard; older files lack it."""
    if value is None:
        return None
    low, high = (float(seconds) for seconds in value)
    if 0 < low <= high < float("inf"):
        return low, high
    raise ValueError(f"its heard_seconds is {value!r}, not two numbers above 0")


def _empty_detector(
    path: Path, kind: type[Detector], manifest: dict[str, Any], encoder: Encoder | None
) -> Detector:
    """Make the unfitted detector of a manifest, and check that its encoder is the one it was."""
    name, fingerprint = manifest["encoder"]["name"], manifest["encoder"]["fingerprint"]
    if encoder is None and name not in list_encoders():
        raise DetectorFileError(
            f"{path}: made with the encoder {name!r}, which is not known here; install it, or give "
            "the object: Detector.load(path, encoder=...)"
        )
    settings = dict(manifest["settings"])
    told = dict(settings.get("encoder_settings") or {})
    if "weights" in told and not Path(told["weights"]).is_file():
        # The path is of the machine that fitted it; the cache or the hub may have the same weights,
        # which the fingerprint tells.
        told.pop("weights")
        settings["encoder_settings"] = told
    detector = kind(
        encoder or name,
        layers=manifest["layers"],
        length=manifest["length"],
        transform=manifest["transform"],
        **settings,
    )
    found = detector.hear().encoder
    if found.fingerprint != fingerprint:
        raise DetectorFileError(
            f"{path}: made with {name} of other weights or settings ({fingerprint[:12]}) than "
            f"{found.name} here ({found.fingerprint[:12]}); give that encoder with "
            "Detector.load(path, encoder=...), or fit anew"
        )
    return detector


def _saved_part(manifest: dict[str, Any], arrays: dict[str, NDArray[Any]], part: str) -> SavedPart:
    transform = transform_from_arrays(manifest["transform"], _named(arrays, f"{part}transform."))
    if manifest["schema"] == 1:
        return SavedPart(transform)
    return SavedPart(transform, _named(arrays, f"{part}normalizer."))


def _named(arrays: dict[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name[len(prefix) :]: x for name, x in arrays.items() if name.startswith(prefix)}


def _self_check(detector: Detector) -> float | None:
    """Score one second of seeded noise; None where the normaliser refuses a single clip."""
    if detector.normalizer == "test_zscore":
        return None
    hearing = replace(detector.hear(), channel="mean")  # the noise has one channel
    samples = max(hearing.encoder.sample_rate, hearing.encoder.minimum_samples)
    noise = 0.1 * np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    heard = [Clip("self-check", noise, hearing.encoder.sample_rate)]
    (clip,) = embed_clips(heard, hearing, spectra=False)
    queries = detector.recipe_.join(clip.layers)
    with exactly():
        return float(score_parts(detector.parts_, queries).total.max())


def _compare_self_check(path: Path, detector: Detector, saved: float | None) -> None:
    found = _self_check(detector)
    if saved is None or found is None:
        return
    if abs(found - saved) > SELF_CHECK_TOLERANCE * max(abs(saved), 1e-12):
        raise DetectorFileError(
            f"{path}: its self-check clip scores {found:.9g} here and {saved:.9g} where made; "
            "this installation computes other numbers, fit anew here"
        )
