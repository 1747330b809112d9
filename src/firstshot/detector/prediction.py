"""Embedded clips and a fitted detector become results: one `Result` per clip.

Input: embedded clips, each with one or more windows. Output: the score, decision, p-value, domain
and nearest normal clips of the window that decides. A clip that is in the bank itself gives a
warning, and so do conditions that changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.detector.conditions import note_lengths, note_shift
from firstshot.detector.embedding import EmbeddedClip
from firstshot.detector.embedding.clips import stack_layers
from firstshot.detector.file import MemberRow, check_unwritten
from firstshot.detector.fitted import FittedDetector
from firstshot.detector.fitted.held_out import held_out_windows, typical_count
from firstshot.detector.fitted.parts import nearest_members, score_parts
from firstshot.errors import DatasetError, warn
from firstshot.results import Result, Window
from firstshot.scoring.recordings import RecordingRule, Verdict
from firstshot.scoring.threshold import p_value
from firstshot.sound.audio import LengthPolicy


def predict_clips(
    fitted: FittedDetector,
    clips: Sequence[EmbeddedClip],
    neighbors: int,
    expect_faults: bool = False,
) -> list[Result]:
    """Return a `Result` per clip; `neighbors` normal clips are named in each.

    With `expect_faults` nothing is said where most clips are anomalous: a test set is made so.
    """
    if not clips:
        return []
    check_unwritten(fitted.mapped)
    length, calibration = fitted.embedding_settings.length, fitted.calibration
    _warn_of_copies(clips, fitted.normal_clips.rows)
    parts, rule = fitted.parts, recording_rule(fitted, clips)
    queries = fitted.recipe.join(stack_layers(clips))
    scores = score_parts(parts, fitted.recipe, queries)
    p_values = p_value(scores.total, calibration.scores)
    ends = np.cumsum([len(clip.starts) for clip in clips]).tolist()
    starts = [0, *ends[:-1]]
    verdicts = [rule.judge(scores.total[a:b]) for a, b in zip(starts, ends, strict=True)]
    deciding = [a + verdict.window for a, verdict in zip(starts, verdicts, strict=True)]
    shown = nearest_members(parts[-1], queries[-1][deciding], neighbors)
    labels = [part.label for part in parts]
    times = [_times(clip, length) for clip in clips]
    results = [
        Result(
            clip=clip.name,
            **judged(scores.total[w], p_values[w], verdict),
            domain=scores.domains[w],
            nearest=near,
            parts=dict(zip(labels, scores.parts[:, w].tolist(), strict=True)),
            start_seconds=clip.starts[w - a],
            window_scores=tuple(scores.total[a:b].tolist()),
            windows=judged_windows(spans, scores.total[a:b], p_values[a:b], verdict.threshold),
            normal_clips=len(calibration.scores),
        )
        for clip, near, verdict, spans, w, a, b in zip(
            clips, shown, verdicts, times, deciding, starts, ends, strict=True
        )
    ]
    shift = None if expect_faults else note_shift(parts[-1], queries[-1][deciding], results)
    for note in (shift, note_lengths(fitted, clips)):
        if note:
            warn(note)
    return results


def recording_rule(fitted: FittedDetector, clips: Sequence[EmbeddedClip]) -> RecordingRule:
    """Return what judges clips by the scores of their windows."""
    calibration = fitted.calibration
    windows = calibration.windows
    if windows is None:
        # Going through the members of a large bank takes longer than scoring a clip.
        alone = all(len(clip.starts) == 1 for clip in clips)
        windows = 1 if alone else held_out_windows(fitted.normal_clips.rows)
    return RecordingRule(calibration.threshold, calibration.scores, windows)


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


def leave_out_learned(fitted: FittedDetector, clips: Sequence[EmbeddedClip]) -> list[EmbeddedClip]:
    """Leave out clips that are in the bank: at distance 0, they would lower a threshold."""
    learned = {row.digest for row in fitted.normal_clips.rows}
    new = [clip for clip in clips if clip.digest not in learned]
    if not new:
        raise DatasetError(
            f"all {len(clips)} clips to calibrate on were learned, so their scores say nothing; "
            "give others, or none to take the held-out scores of the learned clips"
        )
    if len(new) < len(clips):
        warn(
            f"{len(clips) - len(new)} of {len(clips)} clips to calibrate on were learned; "
            "they are left out"
        )
    return new


def _times(clip: EmbeddedClip, length: LengthPolicy) -> list[tuple[float, float | None]]:
    """Return where the windows of a clip begin and end, in seconds."""
    if len(clip.starts) == 1:
        return [(clip.starts[0], clip.embedded_seconds(length))]
    return [(start, start + (length.seconds or 0.0)) for start in clip.starts]


def _warn_of_copies(clips: Sequence[EmbeddedClip], rows: Sequence[MemberRow]) -> None:
    digests = {clip.digest for clip in clips}
    known = {row.digest: row.clip for row in rows if row.digest in digests}
    for clip in clips:
        if clip.digest in known:
            warn(
                f"{clip.name}: the same samples as the normal clip {known[clip.digest]}; its score "
                "says nothing, leave it out of the test",
            )
