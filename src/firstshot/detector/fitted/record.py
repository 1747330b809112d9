"""What a detector learned, as one record that never changes.

Input: the normal clips, the embedding settings and the recipe of the parts. Output: a
`FittedDetector`. Prediction, explanation, bank edits and saving take this record; `Detector` is the
object that makes and holds one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.anomaly_map import MapBank
from firstshot.detector.embedding import (
    EmbeddingSettings,
    make_embedding_settings,
    with_far_noise,
)
from firstshot.detector.file import MappedFile
from firstshot.detector.fitted.held_out import held_out_scores
from firstshot.detector.fitted.normal_clips import NormalClips, check_rows, clip_windows
from firstshot.detector.fitted.parts import Part, Recipe, SavedPart, fit_parts
from firstshot.detector.sources import list_far_noise
from firstshot.errors import NotFittedError, ParameterError
from firstshot.messages import choose_one_of
from firstshot.scoring.threshold import METHODS, Threshold

NOT_FITTED = "this detector has learned nothing yet; call fit(...) first"


@dataclass(frozen=True, eq=False)
class Calibration:
    """A threshold, the normal scores (clips,) it was set on, and those clips' usual window count.

    `windows` is None where the scores are the held-out scores of the bank's own clips.
    """

    threshold: Threshold
    scores: NDArray[np.float64]
    windows: int | None = None


@dataclass(frozen=True, eq=False)
class FittedDetector:
    """What a detector learned.

    Attributes
    ----------
    settings : mapping
        The constructor's arguments that it was fitted with.
    embedding_settings : EmbeddingSettings
        How clips become embeddings.
    recipe : Recipe
        How the parts are built of the embeddings.
    normal_clips : NormalClips
        What it was fitted on.
    parts : tuple of Part
        One nearest-neighbour system per layer, or one of all layers.
    training_scores : float64 (clips,)
        Held-out score of each normal clip.
    calibrated : Calibration or None
        None until a threshold is set; `calibration` then raises.
    mapped : MappedFile or None
        The file that the arrays are mapped from.
    anomaly_map : MapBank or None
        Where in a clip it differs; None in a detector of an older file.
    """

    settings: Mapping[str, Any]
    embedding_settings: EmbeddingSettings
    recipe: Recipe
    normal_clips: NormalClips
    parts: tuple[Part, ...]
    training_scores: NDArray[np.float64]
    calibrated: Calibration | None = None
    mapped: MappedFile | None = None
    anomaly_map: MapBank | None = None

    @property
    def calibration(self) -> Calibration:
        """Threshold and the scores it was set on; NotFittedError where none is set."""
        if self.calibrated is None:
            raise NotFittedError(NOT_FITTED)
        return self.calibrated


def read_settings(
    settings: Mapping[str, Any], fetch_missing: bool = True
) -> tuple[EmbeddingSettings, Recipe]:
    """Check the constructor's arguments and load the encoder, its weights fetched where allowed.

    Raises
    ------
    ParameterError
        A setting has a value that cannot be used; the message names both. No clip is read before.
    SoundError, DatasetError
        A recording of `far_noise` cannot be read.
    """
    if settings["threshold"] not in METHODS:
        raise ParameterError(
            f"threshold {settings['threshold']!r}: {choose_one_of(settings['threshold'], METHODS)}"
        )
    rate = settings["false_alarm_rate"]
    if not 0 < rate < 1:
        raise ParameterError(f"false_alarm_rate {rate}: it must lie between 0 and 1, as 0.05")
    embedding_settings = make_embedding_settings(
        settings["encoder"],
        settings["encoder_settings"],
        **{name: settings[name] for name in ("layers", "pooling", "length", "channel")},
        fetch_missing=fetch_missing,
    )
    encoder = embedding_settings.encoder
    recipe = Recipe(
        settings["transform"] or getattr(encoder, "default_transform", "none"),
        settings["normalizer"],
        settings["metric"],
        settings["normalizer_settings"] or {},
        settings["memmixup"],
        settings["combine"],
        settings["bank_precision"],
    )
    recipe.check()
    noise = list_far_noise(settings["far_noise"], settings["sample_rate"])
    return with_far_noise(embedding_settings, noise), recipe


def fit_detector(
    settings: Mapping[str, Any],
    embedding_settings: EmbeddingSettings,
    recipe: Recipe,
    normal_clips: NormalClips,
) -> FittedDetector:
    """Fit the parts and compute the held-out scores; the threshold is not set yet.

    Raises
    ------
    DatasetError
        There are too few clips, or too few different ones.
    """
    check_rows(normal_clips.rows)
    parts = build_parts(embedding_settings, recipe, normal_clips)
    scores = held_out_scores(parts, recipe, clip_windows(normal_clips.rows))
    anomaly_map = normal_clips.fit_map()
    kept = replace(normal_clips, cells=anomaly_map.cells if anomaly_map else None)
    return FittedDetector(
        settings, embedding_settings, recipe, kept, parts, scores, anomaly_map=anomaly_map
    )


def build_parts(
    embedding_settings: EmbeddingSettings,
    recipe: Recipe,
    normal_clips: NormalClips,
    saved: Sequence[SavedPart] | None = None,
) -> tuple[Part, ...]:
    """Fit the parts, or build them of what was fitted before and `saved`."""
    labels = [f"layer {layer}" for layer in embedding_settings.layers]
    return fit_parts(labels, normal_clips.banks, normal_clips.rows, recipe, saved)
