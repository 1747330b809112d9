"""Clips that are added to a bank: how they are embedded, and what they do to thresholds.

Input: a fitted detector and normal clips. Output: embedded clips, and an `Addition`, which shows a
person before anything is written whether the clips make the detector deaf.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from firstshot.detector.conditions import ALIKE
from firstshot.detector.embedding import Clip, EmbeddedClip, embed_all
from firstshot.detector.embedding.batch_embedder import seconds_of
from firstshot.detector.fitted import FittedDetector
from firstshot.detector.fitted.held_out import held_out_groups
from firstshot.detector.prediction import predict_clips
from firstshot.domains import DOMAINS
from firstshot.errors import warn
from firstshot.progress import Progress
from firstshot.sound.length import LONGEST_PIECE, LengthPolicy
from firstshot.store import EmbeddingStore


class Above(NamedTuple):
    """How many of some clips, or of a clip's windows, score above a threshold."""

    above: int
    total: int


@dataclass(frozen=True)
class Addition:
    """What normal clips do to a detector that they are added to.

    Attributes
    ----------
    anomalous : dict
        The added clips with a window above the threshold before they are added, by name: how many
        of their windows are. A fault among them is normal from then on.
    added : (Above, Above)
        The added clips with a window above the threshold: before, and after, each then judged
        without itself.
    threshold : (float, float)
        Before and after.
    domains : dict
        For each domain the clips that were there before: held-out scores above the threshold,
        before and after.
    fitted : FittedDetector
        What the detector becomes with them; `Detector.from_fitted` makes it one.
    """

    anomalous: dict[str, Above]
    added: tuple[Above, Above]
    threshold: tuple[float, float]
    domains: dict[str, tuple[Above, Above]]
    fitted: FittedDetector = field(repr=False)


def embed_additions(
    fitted: FittedDetector,
    clips: Sequence[Clip],
    store: EmbeddingStore | None,
    progress: Progress | None,
    workers: int | None,
) -> list[EmbeddedClip]:
    """Embed clips for a bank.

    Where all learned clips have one length and no policy cuts clips, those far longer than they
    are cut into windows of that length: `firstshot watch` judges such windows, and records longer
    clips.
    """
    settings = fitted.embedding_settings
    seconds = _learned_length(fitted)
    is_long = [seconds is not None and seconds_of(one, settings) > ALIKE * seconds for one in clips]
    if seconds is None or not any(is_long):
        return embed_all(clips, settings, store=store, progress=progress, workers=workers)
    warn(
        f"{sum(is_long)} of {len(clips)} clips longer than the learned ones: added as windows of "
        f"{seconds:g} s, as long as those"
    )
    cutting = replace(settings, length=LengthPolicy("windows", seconds))
    by_kind = {
        cut: iter(
            embed_all(
                [one for one, long in zip(clips, is_long, strict=True) if long == cut],
                cutting if cut else settings,
                store=store,
                progress=progress,
                workers=workers,
            )
        )
        for cut in sorted(set(is_long))
    }
    embedded = [next(by_kind[cut]) for cut in is_long]
    # What is embedded of a cut clip is as long as a learned one, and is kept as its length.
    return [
        replace(one, seconds=seconds) if cut else one
        for one, cut in zip(embedded, is_long, strict=True)
    ]


def _learned_length(fitted: FittedDetector) -> float | None:
    """Return the length of the learned clips in seconds; None where they have no one length."""
    learned = fitted.normal_clips.seconds
    if fitted.embedding_settings.length.kind != "native" or learned is None:
        return None
    shortest, longest = learned
    return shortest if longest <= min(ALIKE * shortest, LONGEST_PIECE) else None


def compare_addition(
    before: FittedDetector, after: FittedDetector, clips: Sequence[EmbeddedClip], domain: str
) -> Addition:
    """Compare a detector with what it becomes with clips added to a domain."""
    limit = before.calibration.threshold.value
    results = predict_clips(before, clips, neighbors=0, expect_faults=True)
    windows = {
        one.clip: Above(sum(score > limit for score in one.window_scores), len(one.window_scores))
        for one in results
    }
    anomalous = {name: counted for name, counted in windows.items() if counted.above}
    names = {name for clip in clips for name in (clip.name, *clip.window_names)}
    was = _above(before, set(), domain)
    now = _above(after, names, domain)
    return Addition(
        anomalous,
        (Above(len(anomalous), len(clips)), now.pop("added", Above(0, 0))),
        (limit, after.calibration.threshold.value),
        {name: (was[name], now[name]) for name in DOMAINS if name in was and name in now},
        after,
    )


def _above(fitted: FittedDetector, added: set[str], domain: str) -> dict[str, Above]:
    """Count held-out scores above the threshold, of each domain, and of what was added to one."""
    counts: dict[str, Above] = {}
    groups = held_out_groups(fitted.normal_clips.rows)
    above = fitted.training_scores > fitted.calibration.threshold.value
    for group, is_above in zip(groups, above.tolist(), strict=True):
        kind = "added" if group.domain == domain and group.name in added else group.domain
        known = counts.get(kind, Above(0, 0))
        counts[kind] = Above(known.above + is_above, known.total + 1)
    return counts
