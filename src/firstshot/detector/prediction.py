"""Embedded clips and a fitted detector become results: one `Result` per clip.

Input: embedded clips, each with one or more windows. Output: the worst window's score, decision,
p-value, domain and nearest normal clips. A clip that is itself in the bank is told of.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from firstshot.detector.embedding import EmbeddedClip
from firstshot.detector.file import MemberRow, check_unwritten
from firstshot.detector.parts import nearest_members, score_parts
from firstshot.errors import FirstshotWarning, ParameterError
from firstshot.results import Result
from firstshot.scoring.threshold import p_value

if TYPE_CHECKING:
    from firstshot.detector.detector import Detector


def predict_clips(
    detector: Detector, clips: Sequence[EmbeddedClip], neighbors: int
) -> list[Result]:
    """Return a `Result` per clip; `neighbors` normal clips are named in each."""
    if not clips:
        return []
    check_unwritten(detector.mapped_)
    _warn_of_copies(clips, detector.rows_)
    parts, threshold = detector.parts_, detector.threshold_.value
    queries = detector.recipe_.join(stack_layers(clips))
    scores = score_parts(parts, queries)
    p_values = p_value(scores.total, detector.calibration_scores_)
    ends = np.cumsum([len(clip.starts) for clip in clips]).tolist()
    starts = [0, *ends[:-1]]
    worst = [a + int(scores.total[a:b].argmax()) for a, b in zip(starts, ends, strict=True)]
    shown = nearest_members(parts[-1], queries[-1][worst], neighbors)
    labels = [part.label for part in parts]
    return [
        Result(
            clip=clip.name,
            score=float(scores.total[w]),
            p_value=float(p_values[w]),
            threshold=threshold,
            is_anomaly=bool(scores.total[w] > threshold),
            domain=scores.domains[w],
            nearest=near,
            parts=dict(zip(labels, scores.parts[:, w].tolist(), strict=True)),
            start_seconds=clip.starts[w - a],
            window_scores=tuple(scores.total[a:b].tolist()),
        )
        for clip, near, w, a, b in zip(clips, shown, worst, starts, ends, strict=True)
    ]


def stack_layers(clips: Sequence[EmbeddedClip]) -> list[NDArray[np.float32]]:
    """Return one array (windows of all clips, values) per layer.

    Raises ParameterError where a pooling that keeps time met clips of different lengths.
    """
    by_layer = [list(rows) for rows in zip(*(clip.layers for clip in clips), strict=True)]
    for rows in by_layer:
        widths = sorted({row.shape[1] for row in rows})
        if len(widths) > 1:
            raise ParameterError(
                f"embeddings of {widths[0]} to {widths[-1]} values: clips of different lengths "
                "under a pooling that keeps time; use the pooling temporal, or fixed:SECONDS"
            )
    stacked = [np.concatenate(rows) for rows in by_layer]
    for array in stacked:
        array.setflags(write=False)  # a bank then holds it without a copy
    return stacked


def _warn_of_copies(clips: Sequence[EmbeddedClip], rows: Sequence[MemberRow]) -> None:
    asked = {clip.digest for clip in clips}
    known = {row.digest: row.clip for row in rows if row.digest in asked}
    for clip in clips:
        if clip.digest in known:
            warnings.warn(
                f"{clip.name}: the same samples as the normal clip {known[clip.digest]}; its score "
                "says nothing, leave it out of the test",
                FirstshotWarning,
                stacklevel=5,
            )
