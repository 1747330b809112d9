"""Labels and scores become percentile bootstrap intervals of the metrics, over clips.

Clips are drawn with replacement within each label and domain, so that a resample holds as many
normal source clips, normal target clips and so on as the test set, and never lacks a class. The
interval is the middle `level` of the resampled metrics (Efron's percentile interval). It shows how
much the number could differ with another test set of the same composition. It says nothing about
other machines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstshot.domains import DOMAINS
from firstshot.errors import ParameterError
from firstshot.messages import shown_value
from firstshot.numbers import LARGEST_SEED, check_whole, is_whole
from firstshot.scoring.metrics import (
    EPSILON,
    OFFICIAL_METRICS,
    auc_of_counts,
    partial_auc_of_counts,
    validate,
    validate_domains,
)

MOST_RESAMPLES = 1_000_000
_CELLS_AT_ONCE = 4_000_000  # resamples x clips held at a time: 32 MB for each array


class LabelledScores(NamedTuple):
    """Labels (0, 1), scores and domains of one section's test clips."""

    labels: ArrayLike
    scores: ArrayLike
    domains: Sequence[str] | None


def bootstrap_intervals(
    labels: ArrayLike,
    scores: ArrayLike,
    domains: Sequence[str] | None = None,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Return one section's intervals (low, high) of auc_source, auc_target, pauc, official_score.

    A metric that cannot be computed (see `section_metrics`) is left out. The same seed gives the
    same interval.

    >>> intervals = bootstrap_intervals([0] * 9 + [1] * 9, list(range(18)), resamples=50)
    >>> intervals
    {'pauc': (1.0, 1.0)}
    """
    _check(level, resamples, seed)
    values = _resampled(labels, scores, domains, resamples, np.random.default_rng(seed))
    return {name: _interval(value, level) for name, value in values.items()}


def bootstrap_official_interval(
    sections: Sequence[LabelledScores],
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the interval of the official score over several sections, each resampled alone.

    Every section needs normal clips of both domains.

    >>> section = LabelledScores([0, 0, 1], [1.0, 2.0, 3.0], ["source", "target", "source"])
    >>> bootstrap_official_interval([section, section], resamples=20)
    (1.0, 1.0)
    """
    _check(level, resamples, seed)
    return _interval(_official(sections, resamples, seed), level)


def bootstrap_official_difference(
    sections: Sequence[LabelledScores],
    others: Sequence[LabelledScores],
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the paired interval of the official score of `sections` less that of `others`.

    Both hold the same clips in the same order with other scores. A resample holds the same clips
    for both, so what makes a clip easy or hard for both cancels out. Where 0 lies in the interval,
    another test set could as well turn the order.

    >>> low = LabelledScores([0, 0, 1], [1.0, 2.0, 0.0], ["source", "target", "source"])
    >>> high = LabelledScores([0, 0, 1], [1.0, 2.0, 3.0], ["source", "target", "source"])
    >>> bootstrap_official_difference([high], [high], resamples=20)
    (0.0, 0.0)
    >>> bootstrap_official_difference([high], [low], resamples=20)[0] > 0.9
    True
    """
    _check(level, resamples, seed)
    if len(sections) != len(others):
        raise ParameterError(
            f"{len(sections)} sections and {len(others)} to compare them with; give both for the "
            "same sections"
        )
    for number, (one, other) in enumerate(zip(sections, others, strict=True)):
        if not np.array_equal(one.labels, other.labels) or one.domains != other.domains:
            raise ParameterError(
                f"section number {number}: the two differ in labels or domains; give the scores "
                "of the same clips in the same order"
            )
    ours, theirs = (_official(each, resamples, seed, paired=True) for each in (sections, others))
    return _interval(ours - theirs, level)


def _official(
    sections: Sequence[LabelledScores], resamples: int, seed: int, paired: bool = False
) -> NDArray[np.float64]:
    """Return the official score over the sections on every resample (resamples,)."""
    if not sections:
        raise ParameterError("no section was given; the official score needs one or more")
    inverse = np.zeros(resamples)
    for number, section in enumerate(sections):
        # A generator per section: another section changes no resample of this one.
        values = _resampled(*section, resamples, np.random.default_rng([seed, number]), paired)
        if "official_score" not in values:
            raise ParameterError(
                f"section number {number} lacks normal clips of one domain; "
                "the official score needs both"
            )
        inverse += 1 / values["official_score"]
    return np.asarray(len(sections) / inverse)


def _check(level: float, resamples: int, seed: int) -> None:
    if not 0 < level < 1:
        raise ParameterError(f"level is {shown_value(level)}; it must lie between 0 and 1, as 0.95")
    if not is_whole(resamples, 1, MOST_RESAMPLES):
        raise ParameterError(
            f"resamples is {shown_value(resamples)}; at least 1 is needed, 1000 is usual, "
            f"{MOST_RESAMPLES} is the most"
        )
    check_whole("seed", seed, 0, LARGEST_SEED)


def _interval(values: NDArray[np.float64], level: float) -> tuple[float, float]:
    low, high = np.quantile(values, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)


def _resampled(
    labels: ArrayLike,
    scores: ArrayLike,
    domains: Sequence[str] | None,
    resamples: int,
    generator: np.random.Generator,
    paired: bool = False,
) -> dict[str, NDArray[np.float64]]:
    """Return every metric on every resample, (resamples,) each.

    Paired resamples draw from the clips as they are given, so that the same generator draws the
    same clips whatever their scores are; the others draw from the clips in the order of the scores.
    """
    label, score = validate(labels, scores)
    domain = np.full(label.size, "") if domains is None else validate_domains(domains, label.size)
    order = np.argsort(-score, kind="stable")
    given = (label, domain) if paired else (label[order], domain[order])
    label, domain = label[order], domain[order]
    starts = np.flatnonzero(np.diff(score[order], prepend=np.inf))
    block = max(1, _CELLS_AT_ONCE // label.size)
    parts: list[dict[str, NDArray[np.float64]]] = []
    for first in range(0, resamples, block):
        times = _times_drawn(*given, min(block, resamples - first), generator)
        if paired:
            times = times[:, order]
        parts.append(_metrics_of_draws(times, label, domain, starts))
    values = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if all(name in values for name in OFFICIAL_METRICS):
        inverse = sum(1 / np.maximum(values[name], EPSILON) for name in OFFICIAL_METRICS)
        values["official_score"] = np.asarray(len(OFFICIAL_METRICS) / inverse)
    return values


def _times_drawn(
    label: NDArray[np.int64],
    domain: NDArray[np.str_],
    resamples: int,
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """Return how often each resample holds each clip (resamples, clips), by label and domain."""
    times = np.empty((resamples, label.size), dtype=np.int64)
    for value in (0, 1):
        for name in np.unique(domain):
            rows = np.flatnonzero((label == value) & (domain == name))
            if rows.size == 0:
                continue
            drawn = generator.integers(rows.size, size=(resamples, rows.size))
            flat = (drawn + rows.size * np.arange(resamples)[:, None]).reshape(-1)
            counts = np.bincount(flat, minlength=resamples * rows.size)
            times[:, rows] = counts.reshape(resamples, rows.size)
    return times


def _metrics_of_draws(
    times: NDArray[np.int64],
    label: NDArray[np.int64],
    domain: NDArray[np.str_],
    starts: NDArray[np.int64],
) -> dict[str, NDArray[np.float64]]:
    """Return each resample's metrics; scores fall, distinct ones begin at `starts`."""

    def at_each_score(rows: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.asarray(np.add.reduceat(times * rows, starts, axis=1))

    anomalous = at_each_score(label == 1)
    values: dict[str, NDArray[np.float64]] = {}
    for name in DOMAINS:
        rows = (label == 0) & (domain == name)
        if rows.any():
            values[f"auc_{name}"] = auc_of_counts(anomalous, at_each_score(rows))
    values["pauc"] = partial_auc_of_counts(anomalous, at_each_score(label == 0), 0.1)
    return values
