"""Normal scores become a gamma law, and a probability becomes a score by its quantile.

The challenge's baselines set their threshold at the 0.9 quantile of a gamma law fitted to the
scores of normal clips. Here the law is fitted by maximum likelihood with its location held: log(k)
- digamma(k) = log(mean) - mean(log), scale = mean / k (Minka, "Estimating a Gamma distribution",
2002). The challenge's code fits the location as well; then the likelihood is unbounded for k < 1,
and with few clips the fit changes strongly from clip to clip.

log(k) - digamma(k) and its slope lose digits for large k (narrow laws). There the first terms of
their asymptotic series are used, which are exact in double precision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstshot.errors import ParameterError

LARGE_SHAPE = 100.0
"""From here on four terms of the asymptotic series are exact to 1e-16."""


@dataclass(frozen=True)
class GammaLaw:
    """A gamma distribution of location + scale * (gamma variable of the given shape)."""

    shape: float
    location: float
    scale: float

    def quantile(self, probability: float) -> float:
        """Return the score below which the given share of clips lies, between 0 and 1.

        Raises ParameterError for another share.

        >>> law = GammaLaw(shape=1.0, location=0.0, scale=1.0)  # the exponential law
        >>> round(law.quantile(0.9), 12) == round(math.log(10), 12)
        True
        """
        from scipy import special  # here: its import takes a tenth of a second

        if not 0 < probability < 1:
            raise ParameterError(
                f"a quantile of probability {probability}: expected a number between 0 and 1"
            )
        return self.location + self.scale * float(special.gammaincinv(self.shape, probability))


def fit_gamma(scores: ArrayLike, location: float | None = None) -> GammaLaw:
    """Fit a gamma law to scores by maximum likelihood, the location held.

    `location` None means 0 when every score is positive, as distances and errors are. Otherwise,
    as after z-scoring, it means the smallest score minus one standard deviation of the scores,
    which shifts and scales with them. Raises ParameterError for fewer than two scores, for
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
    # log(mean) - mean(log), without cancellation where the law is narrow.
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
        value, slope = log_minus_digamma(shape)
        previous = shape
        shape = 1 / (1 / shape + (value - spread) / (shape * shape * slope))
        if abs(shape - previous) <= 1e-15 * shape:
            break
    return shape


def log_minus_digamma(x: float) -> tuple[float, float]:
    """Return log(x) - digamma(x) and its slope 1/x - trigamma(x), for x > 0.

    >>> value, slope = log_minus_digamma(1.0)  # Euler's constant, and 1 - pi^2 / 6
    >>> round(value, 12), round(slope, 12) == round(1 - math.pi**2 / 6, 12)
    (0.577215664902, True)
    """
    if x >= LARGE_SHAPE:
        value = 1 / (2 * x) + 1 / (12 * x**2) - 1 / (120 * x**4) + 1 / (252 * x**6)
        return value, -1 / (2 * x**2) - 1 / (6 * x**3) + 1 / (30 * x**5) - 1 / (42 * x**7)
    from scipy import special

    trigamma = float(special.polygamma(1, x))
    return math.log(x) - float(special.digamma(x)), 1 / x - trigamma
