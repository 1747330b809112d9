"""The bank looked at: normal clips that do not sound like the others, copies, and odd clips.

Input: a fitted detector. Output: an `Inspection`. Nothing is changed; a person listens and decides.

Clips unlike the others: each clip's held-out score is set against those of its domain. The rank of
a score among n gives no p-value below 1/n, which n clips reach by chance. So the upper tail is an
exponential law beyond the upper quartile. It decays by the distance between quartiles, which up to
a quarter of bad clips cannot move, raised by its standard error. A clip is listed where its p-value
times the number of clips looked at is below `LEVEL` (Bonferroni's correction).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from firstshot.detector.fitted import FittedDetector
from firstshot.detector.fitted.copies import clip_means, near_copies
from firstshot.detector.fitted.held_out import held_out_groups
from firstshot.detector.fitted.normal_clips import clip_of, clip_windows
from firstshot.detector.fitted.parts import nearest_members
from firstshot.domains import DOMAINS
from firstshot.messages import show_text
from firstshot.results import Neighbor

LEVEL = 0.01
"""The chance that one or more of all clips are listed where none is unlike the others."""
FEWEST = 10
"""Clips of a domain; from fewer no tail is known."""
DEVIATIONS = 6.0
"""Robust standard deviations from the median, from which on a level or a length is odd."""
LEAST_LEVEL = 6.0
"""dB; a level nearer to the median is not odd, however alike the others are."""
LEAST_LENGTH = 0.1
"""Share of the median; a length nearer to it is not odd."""
NEIGHBORS = 3
NAMED_AT_MOST = 3


@dataclass(frozen=True)
class UnlikeClip:
    """A clip that does not sound like the others of its domain.

    `clip` names a clip, or a window where windows are held out one by one. `score` is held out,
    `p_value` is that of one clip, before the correction; `nearest` are its nearest other clips.
    """

    clip: str
    domain: str
    score: float
    p_value: float
    nearest: tuple[Neighbor, ...]


@dataclass(frozen=True)
class OddClip:
    """A clip whose `value` of a `quantity` (level in dB, length in s) is far from the `usual`."""

    clip: str
    domain: str
    quantity: str
    value: float
    usual: float


@dataclass(frozen=True)
class Inspection:
    """What is unusual in a bank.

    `looked_at` counts the clips (or windows) whose held-out scores were compared. `near_copies` are
    groups of (domain, name).
    """

    looked_at: int
    unlike: tuple[UnlikeClip, ...]
    near_copies: tuple[tuple[tuple[str, str], ...], ...]
    odd: tuple[OddClip, ...]

    @property
    def words(self) -> list[str]:
        """How many clips were looked at, then what is unusual, in sentences."""
        nothing = (
            "nothing unusual: no clip unlike the others, no near-copies, no odd length or level"
        )
        return [f"{self.looked_at} normal clips looked at", *(self.notes or [nothing])]

    @cached_property
    def notes(self) -> list[str]:
        """One sentence per kind of finding; none where nothing is unusual."""
        found = []
        if self.unlike:
            verb = "does" if len(self.unlike) == 1 else "do"
            found.append(
                f"{len(self.unlike)} of {self.looked_at} normal clips {verb} not sound like the "
                f"others (p < {LEVEL:g} after Bonferroni's correction for {self.looked_at} clips): "
                f"{_named([one.clip for one in self.unlike])}"
            )
        if self.near_copies:
            copies = sum(map(len, self.near_copies))
            groups = len(self.near_copies)
            found.append(
                f"{copies} normal clips are near-copies of each other, in {groups} "
                f"group{'s' if groups > 1 else ''}: "
                f"{_named([' = '.join(n for _, n in group[:2]) for group in self.near_copies])}; "
                "copies show less of what is normal than as many recordings"
            )
        for quantity, unit in (("level", "dB"), ("length", "s")):
            odd = [one for one in self.odd if one.quantity == quantity]
            told = [f"{one.clip} ({one.value:.3g} {unit}, median {one.usual:.3g})" for one in odd]
            if odd:
                verb = "clips have" if len(odd) > 1 else "clip has"
                found.append(f"{len(odd)} normal {verb} an odd {quantity}: {_named(told)}")
        return found


def inspect_bank(fitted: FittedDetector) -> Inspection:
    """Look at the bank of a fitted detector."""
    bank = _Bank(fitted)
    return Inspection(len(fitted.training_scores), _unlike(fitted), _near_copies(bank), _odd(bank))


def tail_p_values(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the p-value of each score under the tail of all, (scores,).

    With quartiles q1, q2, q3 of n scores the law is 0.25 * 2 ** -((score - q3) / d) above q3, where
    d is the larger of q2 - q1 and q3 - q2, times 1 + 2.5 / sqrt(n): the relative standard error of
    q3 - q2 is sqrt(3) / ln(2) / sqrt(n) for an exponential law.

    Examples
    --------
    >>> scores = np.array([0.0, 1.0, 2.0, 3.0, 3 + 10 * (1 + 2.5 / 5**0.5)])
    >>> round(float(tail_p_values(scores)[-1]) * 2**12, 9)
    1.0
    """
    lower, middle, quartile = np.quantile(scores, [0.25, 0.5, 0.75])
    between = max(float(quartile - middle), float(middle - lower), np.finfo(np.float64).tiny)
    scale = between * (1.0 + 2.5 / len(scores) ** 0.5)
    beyond = np.clip((scores - quartile) / scale, 0.0, 1000.0)
    return np.asarray(np.where(scores > quartile, 0.25 * 0.5**beyond, 1.0))


class _Bank:
    """The bank clip by clip, a clip of several windows by their mean."""

    def __init__(self, fitted: FittedDetector) -> None:
        normal = fitted.normal_clips
        counts = np.array(clip_windows(normal.rows))
        starts = np.cumsum(counts) - counts
        self.clips = [clip_of(normal.rows[start])[:2] for start in starts]
        self.domains = np.array([domain for domain, _ in self.clips])
        self.levels = np.add.reduceat(normal.levels.astype(np.float64), starts) / counts
        self.spectra = clip_means(normal, normal.spectra)
        self.seconds = _seconds(fitted, counts)


def _seconds(fitted: FittedDetector, windows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the length of each clip in s, NaN where it is not known.

    Of clips in one piece a detector keeps the longest length and, for the anomaly map, cells in
    number as the length.
    """
    length, normal = fitted.embedding_settings.length, fitted.normal_clips
    if length.kind == "windows":
        seconds = length.seconds or 0.0
        return np.asarray(seconds + (windows - 1.0) * (length.hop_seconds or seconds))
    if normal.cells is None or normal.seconds is None or not normal.cells.counts.any():
        return np.full(len(windows), np.nan)
    cells = np.where(normal.cells.counts, normal.cells.counts, np.nan)
    return np.asarray(cells / np.nanmax(cells) * normal.seconds[1])


def _unlike(fitted: FittedDetector) -> tuple[UnlikeClip, ...]:
    groups = held_out_groups(fitted.normal_clips.rows)
    scores = fitted.training_scores
    domains = np.array([group.domain for group in groups])
    p_values = np.ones(len(scores))
    for domain in DOMAINS:
        own = domains == domain
        if own.sum() >= FEWEST:
            p_values[own] = tail_p_values(scores[own])
    found = np.flatnonzero(p_values * len(scores) < LEVEL)
    first = np.cumsum([0] + [group.windows for group in groups])
    part = fitted.parts[-1]
    unlike = []
    for i in found[np.argsort(p_values[found], kind="stable")]:
        rows = fitted.normal_clips.rows[first[i] : first[i + 1]]
        own_members = {(row.domain, row.clip) for row in rows}
        query = part.bank.embeddings[first[i] : first[i] + 1].astype(np.float32)
        (near,) = nearest_members(part, query, NEIGHBORS + len(rows))
        others = [one for one in near if (one.domain, one.clip) not in own_members]
        unlike.append(
            UnlikeClip(
                groups[i].name,
                groups[i].domain,
                float(scores[i]),
                float(p_values[i]),
                tuple(others[:NEIGHBORS]),
            )
        )
    return tuple(unlike)


def _near_copies(bank: _Bank) -> tuple[tuple[tuple[str, str], ...], ...]:
    """Return groups of clips whose spectra nearly agree."""
    group = np.array(near_copies([bank.spectra]))
    numbers, sizes = np.unique(group, return_counts=True)
    return tuple(
        tuple(bank.clips[row] for row in np.flatnonzero(group == number))
        for number in numbers[sizes > 1]
    )


def _odd(bank: _Bank) -> tuple[OddClip, ...]:
    found = []
    for quantity, values in (("level", bank.levels), ("length", bank.seconds)):
        for domain in DOMAINS:
            own = np.flatnonzero((bank.domains == domain) & np.isfinite(values))
            if len(own) < FEWEST:
                continue
            median = float(np.median(values[own]))
            least = LEAST_LEVEL if quantity == "level" else LEAST_LENGTH * median
            for row in own[far_from_median(values[own], least)]:
                value = float(values[row])
                found.append(OddClip(bank.clips[row][1], domain, quantity, value, median))
    return tuple(found)


def far_from_median(values: NDArray[np.float64], least: float) -> NDArray[np.bool_]:
    """Tell which values are `DEVIATIONS` robust standard deviations and `least` from the median.

    The robust standard deviation is 1.4826 times the median absolute deviation.
    """
    away = np.abs(values - np.median(values))
    return np.asarray(away > max(DEVIATIONS * 1.4826 * float(np.median(away)), least))


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED_AT_MOST} more" if len(names) > NAMED_AT_MOST else ""
    return ", ".join(map(show_text, names[:NAMED_AT_MOST])) + more
