"""Normal scores become a gamma law, and a probability becomes a score by its quantile.

The challenge's baselines set their threshold at the 0.9 quantile of a gamma law fitted to the
scores of normal clips. Here the law is fitted by maximum likelihood with its location held: log(k)
- digamma(k) = log(mean) - mean(log), scale = mean / k (Minka, "Estimating a Gamma distribution",
2002). Fitting the location as well, as the challenge's code lets its library do, has an unbounded
likelihood for k < 1 and moves erratically with a few clips.

The special functions are written in numpy and the standard library, because scipy.stats takes a
second to import: digamma and trigamma by recurrence and Stirling's series, the incomplete gamma
function by its power series or continued fraction with Loader's form of the leading factor, the
quantile by bracketed Newton steps, or by the Cornish-Fisher expansion where the law is so narrow
(shape above 1e5) that the expansion is exact in double precision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstshot.errors import ParameterError

_NARROW_SHAPE = 1e5
# The coefficients of 1/x, 1/x^3, ... in log(gamma(x + 1)) - Stirling's formula.
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
# The coefficients of 1/x^2, 1/x^4, ... in log(x) - 1/(2x) - digamma(x): Bernoulli numbers / 2n.
_DIGAMMA = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)
# The Bernoulli numbers: coefficients of 1/x^3, 1/x^5, ... in trigamma(x) - 1/x - 1/(2x^2).
_TRIGAMMA = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)


@dataclass(frozen=True)
class GammaLaw:
    """A gamma distribution of location + scale * (gamma variable of the given shape)."""

    shape: float
    location: float
    scale: float

    def quantile(self, probability: float) -> float:
        """Score below which the given share (0 to 1) of clips lies.

        >>> law = GammaLaw(shape=1.0, location=0.0, scale=1.0)  # the exponential law
        >>> round(law.quantile(0.9), 12) == round(math.log(10), 12)
        True
        """
        return self.location + self.scale * gamma_quantile(self.shape, probability)


def fit_gamma(scores: ArrayLike, location: float | None = None) -> GammaLaw:
    """Fit a gamma law to scores by maximum likelihood, the location held.

    `location` None means 0 when every score is positive, as distances and errors are. Otherwise,
    as after z-scoring, it means the smallest score minus one standard deviation of the scores,
    which moves and stretches with them. Raises ParameterError for fewer than two scores, for
    constant ones and for scores at or below the location.

    >>> law = fit_gamma([1.0, 2.0, 3.0, 4.0])
    >>> round(law.shape * law.scale, 12)  # the mean of the law is the mean of the scores
    2.5
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or values.size < 2 or not np.isfinite(values).all():
        raise ParameterError(
            f"a gamma law cannot be fitted to scores of shape {values.shape}; "
            "give two or more finite scores in a flat list"
        )
    deviation = float(values.std())
    if deviation <= 1e-12 * float(np.abs(values).max()):
        raise ParameterError(
            f"all {values.size} scores equal {values[0]:g}: no gamma law fits them; look for "
            "copies among the normal clips, or use the threshold method quantile or conformal"
        )
    smallest = float(values.min())
    if location is None:
        location = 0.0 if smallest > 0 else smallest - deviation
    if smallest <= location:
        raise ParameterError(
            f"score {smallest:g} is not above the gamma law's location {location:g}; "
            "give a smaller location or none"
        )
    shifted = values - location
    mean = float(shifted.mean())
    # log(mean) - mean(log) without the cancellation that narrow laws suffer.
    spread = float(np.mean(_excess_over_log(shifted / mean)))
    shape = _shape_of(spread)
    return GammaLaw(shape=shape, location=location, scale=mean / shape)


def _excess_over_log(ratio: ArrayLike) -> NDArray[np.float64]:
    """Return r - 1 - log(r) for r > 0, to full relative precision also near r = 1."""
    values = np.asarray(ratio, dtype=np.float64)
    powers = np.arange(2, 14)
    near = np.clip(values - 1, -0.03, 0.03)[..., None]
    series = np.sum(np.where(powers % 2 == 0, 1.0, -1.0) * near**powers / powers, axis=-1)
    return np.where(np.abs(values - 1) < 0.03, series, values - 1 - np.log(values))


def _shape_of(spread: float) -> float:
    """Solve log(k) - digamma(k) = spread for k by Minka's Newton steps on 1 / k."""
    shape = (3 - spread + math.sqrt((spread - 3) ** 2 + 24 * spread)) / (12 * spread)
    for _ in range(50):
        slope = -shape * shape * _trigamma_excess(shape)
        previous = shape
        shape = 1 / (1 / shape + (_log_minus_digamma(shape) - spread) / slope)
        if abs(shape - previous) <= 1e-15 * shape:
            break
    return shape


def _inverse_series(x: float, coefficients: tuple[float, ...], first_power: int) -> float:
    """Sum of coefficients over x^p, p = first_power, first_power + 2, ..."""
    return sum(c / x ** (first_power + 2 * i) for i, c in enumerate(coefficients))


def _log_minus_digamma(x: float) -> float:
    steps = max(0, math.ceil(10 - x))
    raised = x + steps
    beyond = 1 / (2 * raised) + _inverse_series(raised, _DIGAMMA, 2)
    if steps == 0:
        return beyond  # log(x) - digamma(x) without subtracting two large numbers
    return math.log(x / raised) + beyond + sum(1 / (x + i) for i in range(steps))


def _trigamma_excess(x: float) -> float:
    """Trigamma(x) - 1 / x."""
    steps = max(0, math.ceil(10 - x))
    raised = x + steps
    beyond = 1 / (2 * raised**2) + _inverse_series(raised, _TRIGAMMA, 3)
    if steps == 0:
        return beyond
    return beyond + 1 / raised - 1 / x + sum(1 / (x + i) ** 2 for i in range(steps))


def digamma(x: float) -> float:
    """Slope of log(gamma(x)) for x > 0.

    >>> round(digamma(1.0), 12)  # minus Euler's constant
    -0.577215664902
    """
    return math.log(x) - _log_minus_digamma(x)


def trigamma(x: float) -> float:
    """Slope of digamma(x) for x > 0.

    >>> round(trigamma(1.0), 12) == round(math.pi**2 / 6, 12)
    True
    """
    return 1 / x + _trigamma_excess(x)


def _leading_factor(shape: float, x: float) -> float:
    """x^shape * exp(-x) / gamma(shape + 1)."""
    if shape < 10:
        return math.exp(shape * math.log(x) - x - math.lgamma(shape + 1))
    exponent = shape * float(_excess_over_log(x / shape))
    correction = _inverse_series(shape, _STIRLING, 1)
    return math.exp(-exponent - correction) / math.sqrt(2 * math.pi * shape)


def incomplete_gamma(shape: float, x: float) -> tuple[float, float]:
    """Share of a gamma variable of scale 1 below x, and the share above it.

    The regularised incomplete gamma functions P(shape, x) and Q(shape, x); both are returned
    because the smaller of them would lose its digits as 1 minus the larger.

    >>> below, above = incomplete_gamma(1.0, 2.0)
    >>> round(above, 12) == round(math.exp(-2), 12)
    True
    """
    if x <= 0:
        return 0.0, 1.0
    leading = _leading_factor(shape, x)
    if x < shape + 1:
        below = leading * _power_series(shape, x)
        return below, 1 - below
    above = leading * shape * _continued_fraction(shape, x)
    return 1 - above, above


def _power_series(shape: float, x: float) -> float:
    """1 + x / (shape + 1) + x^2 / ((shape + 1)(shape + 2)) + ..."""
    term, total, i = 1.0, 1.0, shape
    while term > 1e-17 * total:
        i += 1
        term *= x / i
        total += term
    return total


def _continued_fraction(shape: float, x: float) -> float:
    """1 / (x + 1 - a - 1(1 - a) / (x + 3 - a - 2(2 - a) / ...)), a = shape, by Lentz's method."""
    b = x + 1 - shape
    c, d = math.inf, 1 / b
    total, i = d, 0
    while True:
        i += 1
        factor = -i * (i - shape)
        b += 2
        d = 1 / (factor * d + b)
        c = b + factor / c
        change = c * d
        total *= change
        if abs(change - 1) <= 2e-16:
            return total


def gamma_quantile(shape: float, probability: float) -> float:
    """Value below which a gamma variable of scale 1 lies with the given probability.

    Raises ParameterError unless shape > 0 and 0 < probability < 1.

    >>> round(gamma_quantile(1.0, 0.9), 9)  # the exponential law: log(10)
    2.302585093
    """
    if not (shape > 0 and 0 < probability < 1):
        raise ParameterError(
            f"gamma quantile of shape {shape}, probability {probability}: the shape must be "
            "positive and the probability between 0 and 1"
        )
    z = NormalDist().inv_cdf(probability)
    if shape > _NARROW_SHAPE:
        return _cornish_fisher(shape, z)
    # Wilson and Hilferty's start; below shape 1 the law's lower tail, x^shape / gamma(shape + 1).
    root = 1 - 1 / (9 * shape) + z / (3 * math.sqrt(shape))
    log_x = (math.log(probability) + math.lgamma(shape + 1)) / shape
    if shape >= 1 and root > 0.1:
        log_x = math.log(shape) + 3 * math.log(root)
    if log_x < -700:
        return 0.0
    return _newton_quantile(shape, probability, log_x)


def _newton_quantile(shape: float, probability: float, log_x: float) -> float:
    """Newton steps on log(x), kept inside a bracket that shrinks with every step."""
    low, high = -750.0, math.inf
    for _ in range(200):
        below, above = incomplete_gamma(shape, math.exp(log_x))
        error = below - probability if probability < 0.5 else (1 - probability) - above
        low, high = (low, log_x) if error > 0 else (log_x, high)
        density = shape * _leading_factor(shape, math.exp(log_x))
        target = log_x - error / density if density > 0 else math.inf
        if not low <= target <= high:
            target = (low + high) / 2 if math.isfinite(high) else log_x + 1
        if abs(target - log_x) <= 1e-15 * max(1.0, abs(log_x)):
            return math.exp(target)
        log_x = target
    return math.exp(log_x)


def _cornish_fisher(shape: float, z: float) -> float:
    """Quantile of a narrow gamma law from the normal one; the next term is below 1e-16."""
    deviation = math.sqrt(shape)
    return (
        shape
        + z * deviation
        + (z**2 - 1) / 3
        + (z**3 - 7 * z) / (36 * deviation)
        - (3 * z**4 + 7 * z**2 - 16) / (810 * shape)
        + (9 * z**5 + 256 * z**3 - 433 * z) / (38880 * shape * deviation)
    )
