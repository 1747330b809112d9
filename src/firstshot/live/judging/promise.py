"""The threshold that keeps a promise: an extreme-value level from the maxima of blocks of time.

Input: the highest R of each hour (or five minutes) of a machine's normal sound, heard where it
stands. The maxima of blocks follow Gumbel's law, fitted by their moments: beta = s sqrt(6) / pi and
location m - 0.5772 beta, from their mean m and population deviation s. With B blocks a day, the
level that is passed once in 2 N days on average is about m - 0.5772 beta + beta ln(2 N B); it is
never below the highest R that was heard.

No promise can be made from the normal clips alone: windows depend on each other, and a machine's
conditions last far longer than a window.
"""

from __future__ import annotations

from math import log, pi, sqrt

import numpy as np
from numpy.typing import ArrayLike

from firstshot.errors import ParameterError

EULER = 0.5772
HOURS_PER_DAY = 24
FIVE_MINUTES_PER_DAY = 288


def promised_level(maxima: ArrayLike, days: float, blocks_per_day: int) -> float:
    """Return the level that R passes at most about once in `days` days, if nothing changes.

    Parameters
    ----------
    maxima : array (blocks,)
        The highest R of each block of normal sound.
    days : float
        Days that may pass with at most one false alarm.
    blocks_per_day : int
        How many such blocks a day has.

    Examples
    --------
    >>> round(promised_level([1.0, 2.0, 3.0], 7, 24), 3)
    5.336
    """
    values = np.asarray(maxima, dtype=np.float64)
    if not values.size:
        raise ParameterError("no block of normal sound was heard; a threshold needs at least one")
    beta = float(values.std()) * sqrt(6) / pi
    level = float(values.mean()) - EULER * beta + beta * log(2 * days * blocks_per_day)
    return max(level, float(values.max()))
