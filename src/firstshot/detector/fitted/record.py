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
from firstshot.detector.embedding import EmbeddingSettings
from firstshot.detector.file import MappedFile
from firstshot.detector.fitted.copies import without_copies
from firstshot.detector.fitted.held_out import FEWEST_CLIPS, held_out_scores
from firstshot.detector.fitted.normal_clips import (
    NormalClips,
    check_enough,
    check_rows,
    clip_of,
    clip_windows,
)
from firstshot.detector.fitted.parts import Part, Recipe, SavedPart, fit_parts
from firstshot.domains import DOMAINS
from firstshot.errors import NotFittedError
from firstshot.progress import Progress
from firstshot.scoring.refits import Refit, plan_refits
from firstshot.scoring.threshold import Threshold

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
        How the parts are built of the embeddings, and their scores merged.
    normal_clips : NormalClips
        What it was fitted on.
    parts : tuple of Part
        One nearest-neighbour system per view, or one of all layers.
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


def fit_detector(
    settings: Mapping[str, Any],
    embedding_settings: EmbeddingSettings,
    recipe: Recipe,
    normal_clips: NormalClips,
    progress: Progress | None = None,
) -> FittedDetector:
    """Fit the parts and compute the held-out scores; the threshold is not set yet.

    Standardised views count copies and near-copies of a clip once, before anything is measured.
    `progress` is called with (clips scored, clips in all) while clips are left out in turn.

    Raises
    ------
    DatasetError
        There are too few clips, or too few different ones.
    """
    if recipe.standardized:
        normal_clips = without_copies(normal_clips)
    check_rows(normal_clips.rows, copies_count=not recipe.standardized)
    if recipe.standardized:
        check_enough(normal_clips.rows)
    parts = build_parts(recipe, normal_clips)
    windows = clip_windows(normal_clips.rows)
    refits = None
    if settings["held_out"] == "block" and not recipe.transductive:
        refits = _plan(normal_clips)
    scores = held_out_scores(parts, recipe, windows, refits, progress)
    anomaly_map = normal_clips.fit_map()
    kept = replace(normal_clips, cells=anomaly_map.cells if anomaly_map else None)
    return FittedDetector(
        settings, embedding_settings, recipe, kept, parts, scores, anomaly_map=anomaly_map
    )


def _plan(normal_clips: NormalClips) -> list[Refit] | None:
    """Return which clips are left out together; None where a domain is one recording or two."""
    firsts = normal_clips.first_rows
    for domain in DOMAINS:
        clips = sum(row.domain == domain for row in firsts)
        if clips < FEWEST_CLIPS and clips < sum(row.domain == domain for row in normal_clips.rows):
            return None  # without its recording, next to nothing is left of the domain
    recordings = [row.recording for row in firsts]
    return plan_refits(
        [row.domain for row in firsts],
        [clip_of(row)[1] for row in firsts],
        recordings if any(recordings) else None,
    )


def build_parts(
    recipe: Recipe, normal_clips: NormalClips, saved: Sequence[SavedPart] | None = None
) -> tuple[Part, ...]:
    """Fit the parts, or build them of what was fitted before and `saved`."""
    return fit_parts(normal_clips.banks, normal_clips.rows, recipe, saved)
