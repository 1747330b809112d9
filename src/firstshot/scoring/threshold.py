"""Scores of normal clips become a threshold, and scores become decisions and p-values.

A clip is anomalous when its score is strictly above the threshold (task paper, eq. 1). The
threshold comes from n scores of normal clips alone. A clip in the bank scores too low: give scores
of clips that are not in the bank, or leave-one-out scores. Three methods:

- ``gamma``: the challenge's method, the 0.9 quantile of a gamma law fitted to the scores
  (`gamma`). Its false-alarm rate depends on how well the law fits; no rate is promised.
- ``quantile``: the empirical quantile, interpolated between order statistics at (n + 1) * q
  (Weibull's plotting position).
- ``conformal``: the smallest of the n scores that keeps the false-alarm rate at or below the
  requested one (split conformal prediction; Vovk et al., 2005).

A promise holds for new normal clips that are exchangeable with the n calibration clips, on average
over such sets of clips. The share of normal clips that score above the k-th smallest of n is
(n + 1 - k) / (n + 1). So the smallest rate that n clips can promise is 1 / (n + 1), and a smaller
one is refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstshot.errors import ParameterError, warn
from firstshot.messages import choose_one_of, shown_value

METHODS = ("gamma", "quantile", "conformal")
CHALLENGE_RATE = 0.1
SMALLEST_RATE = 1e-9
CHANCE = 0.05
"""Probability below which a number of false alarms is more than chance."""


@dataclass(frozen=True)
class Threshold:
    """A score above which a clip is anomalous, and what is known of its false alarms.

    `false_alarm_rate` is the requested share of normal clips above `value`. `clips` is the number
    of normal scores it was set on. `promised_false_alarm_rate` is the rate that is kept on average
    over sets of calibration clips, or None where it depends on a fitted law. `promise` says the
    same in a sentence. `parameters` holds the fitted law's shape, location and scale, if any.
    """

    value: float
    method: str
    false_alarm_rate: float
    clips: int
    promised_false_alarm_rate: float | None
    promise: str
    parameters: dict[str, float] = field(default_factory=dict)


def smallest_promise(clips: int) -> float:
    """Return the smallest false-alarm rate that a number of normal clips can promise.

    >>> smallest_promise(19)
    0.05
    """
    if clips < 1:
        raise ParameterError(f"{clips} normal clips promise nothing; at least 1 is needed")
    return 1 / (clips + 1)


def clips_needed(false_alarm_rate: float) -> int:
    """Count the normal clips needed to promise a false-alarm rate.

    >>> clips_needed(0.05)
    19
    """
    _check_rate(false_alarm_rate)
    # A rounding error of 1 / rate must not add a clip.
    return max(1, math.ceil(1 / false_alarm_rate - 1e-9) - 1)


def fit_threshold(
    scores: ArrayLike,
    method: str = "gamma",
    false_alarm_rate: float = CHALLENGE_RATE,
    extrapolate: bool = False,
    domains: Sequence[str] | None = None,
) -> Threshold:
    """Set a threshold on the scores (clips,) of normal clips.

    With `domains`, one per clip, each domain has a threshold of its own, and the highest is taken.

    `false_alarm_rate` is the share of normal clips that may score above it; the challenge's
    baselines use the gamma law's 0.9 quantile, a rate of 0.1. Raises ParameterError for a rate that
    so few clips cannot promise; the message says how many could. With `gamma`, `extrapolate` allows
    such a rate, from the law alone; the challenge's rate 0.1 is always allowed, with a warning.

    >>> threshold = fit_threshold(range(1, 20), method="conformal", false_alarm_rate=0.1)
    >>> threshold.value, threshold.promised_false_alarm_rate
    (18.0, 0.1)
    >>> threshold.promise[:66]
    'at most 10% of normal clips score above it, on average, as promise'
    """
    values = _finite(scores, "score")
    if method not in METHODS:
        raise ParameterError(
            f"threshold method {method!r} is not known; {choose_one_of(method, METHODS)}"
        )
    _check_rate(false_alarm_rate)
    if method == "gamma":
        return _gamma_threshold(values, false_alarm_rate, extrapolate)
    if domains is not None and len(set(domains)) > 1:
        return _highest_threshold(values, method, false_alarm_rate, domains)
    if extrapolate:
        raise ParameterError(
            f"method {method!r} cannot extrapolate beyond the largest score; use 'gamma' for that"
        )
    if false_alarm_rate < smallest_promise(values.size) * (1 - 1e-9):
        raise ParameterError(_too_few_clips(values.size, false_alarm_rate))
    return _ranked_threshold(values, method, false_alarm_rate)


def domain_shares(threshold: Threshold, scores: ArrayLike, domains: Sequence[str]) -> list[str]:
    """Say for each domain how many normal scores (clips,) lie above a threshold.

    >>> threshold = fit_threshold(range(1, 20), method="conformal", false_alarm_rate=0.1)
    >>> for line in domain_shares(threshold, range(1, 20), ["source"] * 15 + ["target"] * 4):
    ...     print(line)
    source: 0 of 15 normal clips score above it, each judged without itself (0%)
    target: 1 of 4 normal clips score above it, each judged without itself (25%)
    """
    values, own = _finite(scores, "score"), np.asarray(domains)
    lines = []
    for domain in dict.fromkeys(domains):
        above, clips = (
            int((values[own == domain] > threshold.value).sum()),
            int((own == domain).sum()),
        )
        line = (
            f"{domain}: {above} of {clips} normal clips score above it, each judged without itself "
            f"({100 * above / clips:.0f}%)"
        )
        if _at_least(above, clips, threshold.false_alarm_rate) < CHANCE:
            line += (
                f"; that is more than {100 * threshold.false_alarm_rate:.3g}% and chance: expect "
                f"false alarms in {domain} conditions, or fit with --threshold-for each_domain"
            )
        lines.append(line)
    return lines


def _at_least(above: int, clips: int, rate: float) -> float:
    """Return the probability of at least so many of n clips, each with the given rate."""
    return math.fsum(
        math.comb(clips, count) * rate**count * (1 - rate) ** (clips - count)
        for count in range(above, clips + 1)
    )


def _highest_threshold(
    values: NDArray[np.float64], method: str, rate: float, domains: Sequence[str]
) -> Threshold:
    """Return the threshold of the domain whose threshold is highest, told as what it is."""
    own = np.asarray(domains)
    found = {}
    for domain in dict.fromkeys(domains):
        scores = values[own == domain]
        if rate < smallest_promise(scores.size) * (1 - 1e-9):
            raise ParameterError(f"{domain}: {_too_few_clips(scores.size, rate)}")
        found[domain] = _ranked_threshold(scores, method, rate)
    highest = max(found, key=lambda domain: found[domain].value)
    return replace(
        found[highest],
        clips=values.size,
        promise=f"at most {100 * rate:.3g}% of the normal clips of each domain score above it, on "
        f"average; the {highest} clips set it",
    )


def _ranked_threshold(values: NDArray[np.float64], method: str, rate: float) -> Threshold:
    """Take the threshold from the sorted scores."""
    clips = values.size
    value, above = _ranked_value(np.sort(values), method, rate)
    promised = above / (clips + 1)
    if promised > 1.5 * rate:
        warn(
            f"{clips} normal clips promise {100 * promised:.3g}% with this method where "
            f"{100 * rate:.3g}% was requested; use the threshold method conformal, or give more "
            "clips",
        )
    return Threshold(
        value=value,
        method=method,
        false_alarm_rate=rate,
        clips=clips,
        promised_false_alarm_rate=promised,
        promise=f"at most {100 * promised:.3g}% of normal clips score above it, on average, "
        f"as promised by {clips} normal clips of the same conditions"
        + _why_another_rate(method, rate, above, clips),
    )


def _ranked_value(ordered: NDArray[np.float64], method: str, rate: float) -> tuple[float, int]:
    """Return the threshold, and how many of n + 1 clips lie above it at most, on average."""
    clips = ordered.size
    rank = (clips + 1) * (1 - rate)
    nearest = round(rank)
    if abs(rank - nearest) < 1e-9 * clips:  # (n + 1) * q is meant to be whole
        rank = float(nearest)
    # At a rate above n / (n + 1) the rank would be below that of the smallest score.
    rank = max(rank, 1.0)
    whole = math.ceil(rank) if method == "conformal" else math.floor(rank)
    value = ordered[whole - 1]
    if method == "quantile" and rank > whole:
        value += (rank - whole) * (ordered[whole] - value)
    return float(value), clips + 1 - whole


def _why_another_rate(method: str, rate: float, above: int, clips: int) -> str:
    """Say why another rate than the requested one is promised; "" where it is the same."""
    if abs(above / (clips + 1) - rate) < 1e-9:
        return ""
    which = "largest that is not above" if method == "conformal" else "smallest that is not below"
    if above == clips:
        which = "largest that they can promise, below"
    return (
        f"; {100 * rate:.3g}% was requested: {clips} clips promise multiples of 1/{clips + 1}, and "
        f"{above}/{clips + 1} is the {which} it"
    )


def threshold_at(threshold: Threshold, scores: ArrayLike, rate: float) -> float:
    """Return the score that the same method, on the same scores, sets at another rate.

    A ranked method cannot go below the rate that so few clips can promise: see `smallest_promise`.

    >>> threshold = fit_threshold(range(1, 20), method="conformal", false_alarm_rate=0.1)
    >>> threshold_at(threshold, range(1, 20), 0.05)
    19.0
    """
    values = _finite(scores, "score")
    if threshold.method == "gamma":
        from firstshot.scoring.gamma import fit_gamma

        return fit_gamma(values).quantile(1 - rate)
    if rate < smallest_promise(values.size) * (1 - 1e-9):
        raise ParameterError(_too_few_clips(values.size, rate))
    return _ranked_value(np.sort(values), threshold.method, rate)[0]


def _gamma_threshold(values: NDArray[np.float64], rate: float, extrapolate: bool) -> Threshold:
    """Take the threshold from a fitted gamma law."""
    clips = values.size
    beyond = rate < smallest_promise(clips) * (1 - 1e-9)
    if beyond and not extrapolate:
        if rate < CHALLENGE_RATE:
            raise ParameterError(
                _too_few_clips(clips, rate)
                + ", or let the gamma law extrapolate: fit with a higher rate, then `firstshot "
                "calibrate --extrapolate` (in Python extrapolate=True)"
            )
        warn(
            f"a false-alarm rate of {rate:g} from {clips} normal clips depends on the gamma law "
            f"alone; {clips_needed(rate)} clips could promise it",
        )
    from firstshot.scoring.gamma import fit_gamma

    law = fit_gamma(values)
    _warn_of_a_bad_fit(values, law.quantile(1 - rate), rate)
    basis = "extrapolated from" if beyond else "fitted to"
    return Threshold(
        value=law.quantile(1 - rate),
        method="gamma",
        false_alarm_rate=rate,
        clips=clips,
        promised_false_alarm_rate=None,
        promise=f"{100 * rate:.3g}% of normal clips score above it if they follow the "
        f"gamma law {basis} {clips} normal clips; no rate is promised if they do not",
        parameters={"shape": law.shape, "location": law.location, "scale": law.scale},
    )


def _warn_of_a_bad_fit(values: NDArray[np.float64], threshold: float, rate: float) -> None:
    """Warn where far more or fewer scores lie above the law's quantile than its rate predicts."""
    above, expected = int((values > threshold).sum()), rate * values.size
    # Chance moves a binomial count by more than 2.5 deviations about once in a hundred times.
    if abs(above - expected) > 2.5 * math.sqrt(expected * (1 - rate)):
        warn(
            f"the gamma law fits the {values.size} normal scores badly: {above} lie above its "
            f"threshold where {expected:.1f} are expected; use the threshold method "
            "conformal or quantile",
        )


def _too_few_clips(clips: int, rate: float) -> str:
    return (
        f"a false-alarm rate of {rate:g} cannot be promised from {clips} normal clips, only "
        f"{smallest_promise(clips):.3g} or more; give {clips_needed(rate)} normal clips"
    )


def _check_rate(rate: float) -> None:
    if not SMALLEST_RATE <= rate < 1:
        raise ParameterError(
            f"false-alarm rate is {shown_value(rate)}; it must lie between 0 and 1, as 0.05"
        )


def _finite(values: ArrayLike, what: str) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ParameterError(
            f"{what}s have shape {array.shape}; give a flat list of one or more, one per clip"
        )
    unusable = np.flatnonzero(~np.isfinite(array))
    if unusable.size:
        raise ParameterError(
            f"{what} {array[unusable[0]]} of clip number {unusable[0]} is not finite"
        )
    return array


def p_value(scores: ArrayLike, calibration_scores: ArrayLike) -> NDArray[np.float64]:
    """Return conformal p-values (clips,): how probable so high a score is for a normal clip.

    (1 + number of calibration scores at or above the score) / (n + 1). At most a share r of normal
    clips gets a p-value of r or less, and none gets 0.

    >>> p_value([0.5, 3.0], [1.0, 2.0, 3.0]).tolist()
    [1.0, 0.5]
    """
    score, calibration = _finite(scores, "score"), np.sort(_finite(calibration_scores, "score"))
    at_or_above = calibration.size - np.searchsorted(calibration, score, side="left")
    return np.asarray((1 + at_or_above) / (calibration.size + 1), dtype=np.float64)


def p_value_in_words(p: float, clips: int) -> str:
    """Say what a clip's p-value means, given the number of calibration scores.

    >>> p_value_in_words(4 / 29, 28)
    '3 of 28 normal clips score at least as high (p = 0.138)'
    >>> p_value_in_words(1 / 10, 9)
    'no normal clip of 9 scores as high (the smallest p-value that 9 clips can show is 1 in 10)'
    """
    noun = "clip" if clips == 1 else "clips"
    as_high = round(p * (clips + 1)) - 1
    if as_high > 0:
        return f"{as_high} of {clips} normal {noun} score at least as high (p = {p:.3g})"
    return (
        f"no normal clip of {clips} scores as high (the smallest p-value that {clips} {noun} can "
        f"show is 1 in {clips + 1})"
    )


def decide(scores: ArrayLike, threshold: Threshold | float) -> NDArray[np.int64]:
    """Return decisions (clips,): 1 (anomalous) for a score above the threshold, otherwise 0.

    >>> decide([1.0, 2.0, 3.0], 2.0).tolist()
    [0, 0, 1]
    """
    value = threshold.value if isinstance(threshold, Threshold) else float(threshold)
    if not math.isfinite(value):
        raise ParameterError(f"threshold is {value}; it must be a finite score")
    return (_finite(scores, "score") > value).astype(np.int64)
