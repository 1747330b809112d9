"""A detector becomes a file.

What is kept: settings, raw banks, fitted transforms, what the normalisers measured (densities,
statistics), calibration scores and the threshold, so that nothing need be fitted on loading; and
the score of a self-check clip (one second of seeded noise), which tells a loading machine whether
it computes the same numbers.
"""

from __future__ import annotations

import platform
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from firstshot.detector.embedding import Clip, embed_clips
from firstshot.detector.file import (
    check_unwritten,
    write_detector_file,
)
from firstshot.detector.manifest import HEARD, SETTINGS
from firstshot.detector.parts import saved_parts, score_parts
from firstshot.detector.settings import settled

if TYPE_CHECKING:
    from firstshot.detector.detector import Detector


def save_detector(detector: Detector, path: Path, overwrite: bool = True) -> None:
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
        "settings": {name: detector.settings_[name] for name in SETTINGS}
        | {"encoder_settings": settled(hearing.encoder, detector.settings_["encoder_settings"])},
        "threshold": asdict(detector.threshold_),
        "calibration_windows": detector.calibration_windows_,
        "heard_seconds": _as_table(detector.heard_seconds_),
        "self_check_score": self_check(detector),
        "versions": {
            "firstshot": version("firstshot"),
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
    write_detector_file(path, manifest, arrays, list(detector.rows_), overwrite)


def _as_table(heard_seconds: tuple[float, float] | None) -> dict[str, float] | None:
    return None if heard_seconds is None else dict(zip(HEARD, heard_seconds, strict=True))


def self_check(detector: Detector) -> float | None:
    """Score one second of seeded noise; None where the normaliser refuses a single clip."""
    if detector.normalizer == "test_zscore":
        return None
    hearing = replace(detector.hear(), channel="mean")  # the noise has one channel
    samples = max(hearing.encoder.sample_rate, hearing.encoder.minimum_samples)
    noise = 0.1 * np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    heard = [Clip("self-check", noise, hearing.encoder.sample_rate)]
    (clip,) = embed_clips(heard, hearing, spectra=False)
    queries = detector.recipe_.join(clip.layers)
    return float(score_parts(detector.parts_, queries).total.max())
