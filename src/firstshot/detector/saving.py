"""A detector becomes a file.

Input: a `FittedDetector`. Output: a file with the settings, the raw banks, the fitted transforms,
the states of the normalisers (densities, statistics), the scores and the threshold, so that loading
fits nothing. The file also has the score of a self-check clip, one second of seeded noise: a
machine that loads it can tell whether it computes the same numbers.
"""

from __future__ import annotations

import platform
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.detector.embedding import Clip, embed_clips
from firstshot.detector.embedding.settings import resolved_encoder_settings
from firstshot.detector.file import check_unwritten, write_detector_file
from firstshot.detector.file.manifest import SETTINGS, TRANSFER
from firstshot.detector.file.origins import additions_of, seconds_table
from firstshot.detector.fitted import FittedDetector
from firstshot.detector.fitted.parts import saved_parts, score_parts
from firstshot.detector.views import View, read_views, with_encoder_settings
from firstshot.encoders.joint import members_of
from firstshot.encoders.pooling import resolve_layer
from firstshot.sound.near_far import Transfer

MAP = "anomaly_map."
"""How the names of the anomaly map's arrays begin."""
ENCODER_FILE = "encoder."
"""How the name of an array begins that is the file of a trained encoder, byte for byte."""


def save_detector(fitted: FittedDetector, path: Path, overwrite: bool = True) -> None:
    """Write a fitted detector to `path`."""
    from importlib.metadata import version

    check_unwritten(fitted.mapped)
    normal, calibration = fitted.normal_clips, fitted.calibration
    settings, encoder = fitted.embedding_settings, fitted.embedding_settings.encoder
    arrays: dict[str, NDArray[Any]] = {
        "spectra": normal.spectra,
        "training_scores": fitted.training_scores,
        "calibration_scores": calibration.scores,
    }
    if isinstance(settings.channel, Transfer):
        arrays[TRANSFER] = settings.channel.to_array()
    if np.isfinite(normal.levels).all():
        arrays["levels"] = normal.levels
    if fitted.anomaly_map is not None:
        arrays |= {MAP + name: values for name, values in fitted.anomaly_map.arrays().items()}
    saved = saved_parts(fitted.parts)
    for i, (part, kept) in enumerate(zip(fitted.parts, saved, strict=True)):
        arrays[f"part_{i}.bank"] = part.bank.embeddings
        for name, values in kept.transform.arrays().items():
            arrays[f"part_{i}.transform.{name}"] = values
        for name, values in (kept.state or {}).items():
            arrays[f"part_{i}.normalizer.{name}"] = values
    given = fitted.settings["encoder_settings"]
    views = fitted.settings["views"]
    of_encoder: dict[str, Any] = {"encoder_settings": None}
    if views is None:
        of_encoder = {"encoder_settings": resolved_encoder_settings(encoder, given)}
    for member in members_of(encoder):
        content = getattr(member, "file_content", b"")
        if content:  # small: the detector file is then whole on any machine
            arrays[ENCODER_FILE + member.name] = np.frombuffer(content, dtype=np.uint8)
    manifest: dict[str, Any] = {
        "encoder": {"name": encoder.name, "fingerprint": encoder.fingerprint},
        "layers": list(settings.layers),
        "length": str(settings.length),
        "transform": fitted.parts[0].transform.name,
        "settings": {name: fitted.settings[name] for name in SETTINGS} | of_encoder,
        "threshold": asdict(calibration.threshold),
        "calibration_windows": calibration.windows,
        "heard_seconds": seconds_table(normal.fitted_seconds),
        "self_check_score": self_check(fitted),
        "versions": {
            "firstshot": version("firstshot"),
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
    if views is not None:
        manifest["views"] = [
            _plain_view(view, fitted) for view in with_encoder_settings(read_views(views), given)
        ]
    additions = additions_of(normal.rows)
    if additions:
        manifest["additions"] = additions
    write_detector_file(path, manifest, arrays, normal.rows, overwrite)


def _plain_view(view: View, fitted: FittedDetector) -> dict[str, Any]:
    """Return a view as plain values, its encoder with the runtime that runs it here."""
    members = members_of(fitted.embedding_settings.encoder)
    own = next(member for member in members if member.name == view.encoder_name)
    return {
        **{one.name: getattr(view, one.name) for one in fields(view)},
        "name": view.label,
        "encoder": view.encoder_name,
        "layer": resolve_layer(view.layer, own.depth, own.name),
        "normalizer_settings": dict(view.normalizer_settings),
        "encoder_settings": resolved_encoder_settings(own, view.encoder_settings) or {},
    }


def self_check(fitted: FittedDetector) -> float | None:
    """Score one second of seeded noise; None where the normaliser refuses a single clip."""
    if fitted.recipe.transductive:
        return None
    settings = replace(fitted.embedding_settings, channel="mean")  # the noise has one channel
    samples = max(settings.encoder.sample_rate, settings.encoder.minimum_samples)
    noise = 0.1 * np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    clips = [Clip("self-check", noise, settings.encoder.sample_rate)]
    (clip,) = embed_clips(clips, settings, spectra=False)
    queries = fitted.recipe.join(clip.layers)
    return float(score_parts(fitted.parts, fitted.recipe, queries).total.max())
