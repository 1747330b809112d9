"""Conditions that changed: what most clips of one call share and the normal clips do not.

Input: a fitted detector, the clips of one call, and their scores. Output: notes in words, one for
each kind of change, with the numbers. They rest on the clips alone; no score depends on them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from firstshot.detector.embedding import Clip, EmbeddedClip, EmbeddingSettings
from firstshot.detector.embedding.batch_embedder import seconds_of
from firstshot.detector.fitted import FittedDetector
from firstshot.detector.fitted.parts import Part
from firstshot.encoders.logmel import LogMel
from firstshot.errors import FirstshotError, keep_warnings
from firstshot.results import Result
from firstshot.scoring.search.exact import nearest

ALIKE = 1.5
"""Clips up to so many times shorter or longer than those learned count as alike."""
FEWEST = 5
"""Of fewer anomalous clips nothing is said of what they have in common."""
MOST_COMPARED = 500
"""Anomalous clips that are compared with each other, evenly spaced ones."""
MOST_MEASURED = 20
"""Clips whose level is measured, evenly spaced ones; a gain that changed changes all clips."""
LONGEST_MEASURED = 60.0
"""Seconds; measuring means reading a clip a second time."""
LEVEL_MARGIN = 10.0
"""dB outside the range of the normal clips: a machine seldom changes that much, a gain does."""


def note_shift(part: Part, queries: NDArray[np.float32], results: Sequence[Result]) -> str | None:
    """Say whether most clips of a call are anomalous in the same way.

    They are where more than half of the clips are anomalous, and more than half of those lie nearer
    to another anomalous clip of the call than to any normal clip.

    Parameters
    ----------
    part : Part
        The detector's part in which `results` name the nearest normal clips.
    queries : float32 (clips, values)
        The raw embeddings of the windows that decide.
    """
    rows = [i for i, one in enumerate(results) if one.is_anomaly and one.nearest]
    if len(rows) < FEWEST or 2 * len(rows) <= len(results):
        return None
    chosen = _spaced(rows)
    compared = part.transform(queries[chosen])
    to_others, _ = nearest(compared, compared, 1, part.metric, exclude_self=True)
    to_normal = np.array([results[row].nearest[0].distance for row in chosen])
    if 2 * np.count_nonzero(to_others[:, 0] < to_normal) <= len(chosen):
        return None
    return (
        f"{len(rows)} of {len(results)} clips are anomalous, and most of them lie nearer to each "
        "other than to any normal clip: conditions differ from those learned, or the machine has "
        "changed as a whole; if it is in order, add ten of these clips as target clips "
        "(firstshot bank add FILE CLIPS --domain target)"
    )


def note_lengths(fitted: FittedDetector, clips: Sequence[EmbeddedClip]) -> str | None:
    """Say how many clips are shorter or longer than those learned, and what that does."""
    learned = fitted.normal_clips.seconds
    if learned is None:
        return None
    lengths = [clip.embedded_seconds(fitted.embedding_settings.length) for clip in clips]
    known = [(i, seconds) for i, seconds in enumerate(lengths) if seconds is not None]
    short = [(i, seconds) for i, seconds in known if seconds < learned[0] / ALIKE]
    long = [(i, seconds) for i, seconds in known if seconds > learned[1] * ALIKE]
    odd = [seconds for _, seconds in (*short, *long)]
    if not odd:
        return None
    kinds = "shorter or longer" if short and long else "shorter" if short else "longer"
    effects = [
        "short clips vary more, so more of them are called anomalous" if short else "",
        "long clips vary less, and a short fault counts less in them" if long else "",
    ]
    return (
        f"{_count(len(odd), len(clips), clips[(short + long)[0][0]].name)} {kinds} than the normal "
        f"clips ({_span(odd, ' s')} against {_span(learned, ' s')} used): the threshold holds for "
        f"their length ({'; '.join(filter(None, effects))}); give clips as long as those, or fit "
        "with the length policy windows:SECONDS"
    )


def note_levels(fitted: FittedDetector, levels: Sequence[tuple[str, float]]) -> str | None:
    """Say whether most clips, given as (name, level in dB), are far quieter or louder than normal.

    A detector whose file has no levels says nothing.
    """
    normal = fitted.normal_clips.levels
    normal = normal[np.isfinite(normal)]
    measured = np.array([level for _, level in levels if np.isfinite(level)])
    if not normal.size or not measured.size:
        return None
    low, high = float(normal.min()), float(normal.max())
    for word, far in (
        ("quieter", measured[measured < low - LEVEL_MARGIN]),
        ("louder", measured[measured > high + LEVEL_MARGIN]),
    ):
        if 2 * len(far) > len(measured):
            distance = low - np.median(far) if word == "quieter" else np.median(far) - high
            return (
                f"{_count(len(far), len(measured), levels[0][0])} {distance:.0f} dB {word} than "
                f"every normal clip (median {np.median(far):.0f} dB against {low:.0f} to "
                f"{high:.0f} dB): check gain, distance and file format, or add normal clips at "
                "this level"
            )
    return None


def measure_levels(settings: EmbeddingSettings, clips: Sequence[Clip]) -> list[tuple[str, float]]:
    """Return name and overall level in dB of evenly spaced clips, of each one's first window.

    The level is the one that a bank keeps. Clips that are long or cannot be read are left out.
    """
    found = []
    for clip in (clips[i] for i in _spaced(range(len(clips)), MOST_MEASURED)):
        if seconds_of(clip, settings) > LONGEST_MEASURED:
            continue
        try:
            with keep_warnings():
                piece = next(iter(settings.read(clip).pieces()))
            _, levels = LogMel().measure([piece], settings.encoder.sample_rate)
        except FirstshotError:
            continue
        found.append((clip.name, float(levels[0])))
    return found


def _spaced(rows: Sequence[int], most: int = MOST_COMPARED) -> list[int]:
    return [rows[i] for i in range(0, len(rows), max(1, -(-len(rows) // most)))]


def _count(odd: int, clips: int, name: str) -> str:
    return f"{name}:" if clips == 1 else f"{odd} of {clips} clips {'is' if odd == 1 else 'are'}"


def _span(values: Sequence[float], unit: str) -> str:
    low, high = f"{min(values):.3g}", f"{max(values):.3g}"
    return f"{low}{unit}" if low == high else f"{low} to {high}{unit}"
