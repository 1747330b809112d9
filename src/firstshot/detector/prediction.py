"""Embedded clips and a fitted detector become results: one `Result` per clip.

Input: embedded clips, each with one or more windows. Output: the score, decision, p-value, domain
and nearest normal clips of the window that decides. A clip that is itself in the bank is told of.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from firstshot.detector.embedding import EmbeddedClip
from firstshot.detector.file import MemberRow, check_unwritten
from firstshot.detector.held_out import held_out_windows, typical_count
from firstshot.detector.parts import nearest_members, score_parts
from firstshot.errors import ParameterError, warn
from firstshot.results import Result, Window
from firstshot.scoring.recordings import RecordingRule, Verdict
from firstshot.scoring.threshold import p_value
from firstshot.sound.audio import LengthPolicy

if TYPE_CHECKING:
    from firstshot.detector.detector import Detector

ALIKE = 1.5
"""Clips up to so many times shorter or longer than those learned count as alike."""


def predict_clips(
    detector: Detector, clips: Sequence[EmbeddedClip], neighbors: int
) -> list[Result]:
    """Return a `Result` per clip; `neighbors` normal clips are named in each."""
    if not clips:
        return []
    check_unwritten(detector.mapped_)
    _warn_of_copies(clips, detector.rows_)
    _warn_of_lengths(clips, detector.hear().length, detector.heard_seconds_)
    parts, rule = detector.parts_, recording_rule(detector, clips)
    queries = detector.recipe_.join(stack_layers(clips))
    scores = score_parts(parts, queries)
    p_values = p_value(scores.total, detector.calibration_scores_)
    ends = np.cumsum([len(clip.starts) for clip in clips]).tolist()
    starts = [0, *ends[:-1]]
    verdicts = [rule.judge(scores.total[a:b]) for a, b in zip(starts, ends, strict=True)]
    deciding = [a + verdict.window for a, verdict in zip(starts, verdicts, strict=True)]
    shown = nearest_members(parts[-1], queries[-1][deciding], neighbors)
    labels = [part.label for part in parts]
    times = [_times(clip, detector.hear().length) for clip in clips]
    return [
        Result(
            clip=clip.name,
            **judged(scores.total[w], p_values[w], verdict),
            domain=scores.domains[w],
            nearest=near,
            parts=dict(zip(labels, scores.parts[:, w].tolist(), strict=True)),
            start_seconds=clip.starts[w - a],
            window_scores=tuple(scores.total[a:b].tolist()),
            windows=judged_windows(spans, scores.total[a:b], p_values[a:b], verdict.threshold),
            normal_clips=len(detector.calibration_scores_),
        )
        for clip, near, verdict, spans, w, a, b in zip(
            clips, shown, verdicts, times, deciding, starts, ends, strict=True
        )
    ]


def recording_rule(detector: Detector, clips: Sequence[EmbeddedClip]) -> RecordingRule:
    """Return what judges clips by the scores of their windows."""
    windows = detector.calibration_windows_
    if windows is None:
        # Going through the members of a large bank takes longer than scoring a clip.
        alone = all(len(clip.starts) == 1 for clip in clips)
        windows = 1 if alone else held_out_windows(detector.rows_)
    return RecordingRule(detector.threshold_, detector.calibration_scores_, windows)


def judged(score: float, p: float, verdict: Verdict) -> dict[str, Any]:
    """Return what a `Result` says of the decision, from the deciding score and its p-value."""
    return {
        "score": float(score),
        "p_value": min(1.0, float(p) * verdict.correction),
        "threshold": verdict.threshold,
        "is_anomaly": bool(score > verdict.threshold),
        "pieces": verdict.pieces,
        "pieces_above": verdict.above,
        "pieces_needed": verdict.needed,
    }


def judged_windows(
    spans: Sequence[tuple[float, float | None]],
    scores: NDArray[np.float64],
    p_values: NDArray[np.float64],
    threshold: float,
) -> tuple[Window, ...]:
    """Return every window of a clip, given their beginnings and ends in seconds."""
    return tuple(
        Window(start, end, score, p, score > threshold)
        for (start, end), score, p in zip(spans, scores.tolist(), p_values.tolist(), strict=True)
    )


def clip_scores(results: Sequence[Result]) -> tuple[NDArray[np.float64], int | None]:
    """Return what a threshold is set on: the highest window of every clip, float64 (clips,).

    The second value is how many windows the clips typically have.
    """
    scores = np.array([max(result.window_scores) for result in results], dtype=np.float64)
    counts = [len(result.window_scores) for result in results]
    return scores, typical_count(counts) if counts else None


def _times(clip: EmbeddedClip, length: LengthPolicy) -> list[tuple[float, float | None]]:
    """Return where the windows of a clip begin and end, in seconds."""
    if len(clip.starts) == 1:
        return [(clip.starts[0], heard_seconds(clip, length))]
    return [(start, start + (length.seconds or 0.0)) for start in clip.starts]


def heard_seconds(clip: EmbeddedClip, length: LengthPolicy) -> float | None:
    """Return how much of a clip is heard in one piece, in seconds; None where it is not known."""
    if clip.seconds is None or length.seconds is None:
        return clip.seconds
    return min(clip.seconds, length.seconds)


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
                "under a pooling that keeps time; use the pooling temporal, or the length policy "
                "fixed:SECONDS"
            )
    stacked = [np.concatenate(rows) for rows in by_layer]
    for array in stacked:
        array.setflags(write=False)  # a bank then holds it without a copy
    return stacked


def _warn_of_lengths(
    clips: Sequence[EmbeddedClip], length: LengthPolicy, learned: tuple[float, float] | None
) -> None:
    if learned is None:
        return
    for clip in clips:
        heard = heard_seconds(clip, length)
        if heard is None or learned[0] / ALIKE <= heard <= learned[1] * ALIKE:
            continue
        warn(
            f"{clip.name}: {heard:.3g} s of it are heard, of the normal clips {learned[0]:.3g} to "
            f"{learned[1]:.3g} s; another length may raise a score by itself, give clips as long "
            "as those, or fit with the length policy windows:SECONDS",
        )


def _warn_of_copies(clips: Sequence[EmbeddedClip], rows: Sequence[MemberRow]) -> None:
    asked = {clip.digest for clip in clips}
    known = {row.digest: row.clip for row in rows if row.digest in asked}
    for clip in clips:
        if clip.digest in known:
            warn(
                f"{clip.name}: the same samples as the normal clip {known[clip.digest]}; its score "
                "says nothing, leave it out of the test",
            )
