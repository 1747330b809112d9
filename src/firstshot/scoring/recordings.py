"""The decision on a recording that is longer than the clips the threshold was set on.

Input: the scores of a recording's windows, and a threshold with the scores it was set on. Output:
which window decides, and the threshold for it.

Of many windows of normal sound, one will score above any threshold. So a recording is cut into B
pieces as long as those clips, and each piece has the score of its highest window. The recording is
anomalous where at least k pieces score above the threshold of the rate r * k / B, with r the
requested rate. On average a share r * k / B of a normal recording's pieces does so. Hence a share
of k / B or more does so in at most r of all normal recordings (Markov's inequality), also where
the pieces of a recording depend on each other. In terms of p-values: the k-th smallest times B / k
is a p-value (Rueschendorf, Advances in Applied Probability 14, 1982).

k is 5/8 of the pieces, so that a single unusual moment is no anomaly. It is more where r * k / B
would be below 1 / (n + 1), the smallest rate that n normal scores can promise. For one piece,
threshold and p-value are those of a clip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstshot.scoring.threshold import Threshold, smallest_promise, threshold_at

SHARE = 5 / 8
"""Share of the pieces that must score above the threshold."""


@dataclass(frozen=True)
class Verdict:
    """The decision on a recording.

    Attributes
    ----------
    window : int
        The window whose score decides: the highest window of the `needed`-th highest piece.
    pieces, above, needed : int
        Numbers of pieces: all, those above `threshold`, those that make an anomaly.
    threshold : float
        The score above which the deciding window makes the recording an anomaly.
    """

    window: int
    pieces: int
    above: int
    needed: int
    threshold: float

    @property
    def correction(self) -> float:
        """What the deciding window's p-value is multiplied by; 1 for one piece."""
        return self.pieces / self.needed


@dataclass(frozen=True)
class RecordingRule:
    """The rule of the module's docstring for one threshold.

    Parameters
    ----------
    threshold : Threshold
        The threshold for a clip.
    scores : array (clips,)
        The normal scores that it was set on.
    windows : int
        How many windows each of those clips had.

    Examples
    --------
    >>> from firstshot.scoring.threshold import fit_threshold
    >>> normal = [float(score) for score in range(100)]
    >>> rule = RecordingRule(fit_threshold(normal, "conformal", 0.1), normal, windows=1)
    >>> rule.judge([95.0])
    Verdict(window=0, pieces=1, above=1, needed=1, threshold=90.0)
    >>> rule.judge([95.0, 1.0, 2.0, 96.0, 3.0, 4.0, 5.0, 6.0]).above
    2
    """

    threshold: Threshold
    scores: ArrayLike
    windows: int = 1
    _thresholds: dict[int, float] = field(default_factory=dict, init=False, repr=False)

    def judge(self, scores: ArrayLike) -> Verdict:
        """Decide on a recording from the scores (windows,) of its windows, in order of time."""
        values = np.asarray(scores, dtype=np.float64)
        highest = highest_windows(values, self.windows)
        pieces = len(highest)
        needed = self.needed(pieces)
        if pieces not in self._thresholds:
            self._thresholds[pieces] = self._threshold_of(needed, pieces)
        limit = self._thresholds[pieces]
        order = np.argsort(-values[highest], kind="stable")
        above = int(np.count_nonzero(values[highest] > limit))
        return Verdict(int(highest[order[needed - 1]]), pieces, above, needed, limit)

    def needed(self, pieces: int) -> int:
        """Return how many of the pieces must score above the threshold."""
        share = SHARE
        if self.threshold.method != "gamma":
            rate = self.threshold.false_alarm_rate
            share = min(1.0, max(share, smallest_promise(self.threshold.clips) / rate))
        return math.ceil(pieces * share * (1 - 1e-9))

    def _threshold_of(self, needed: int, pieces: int) -> float:
        if needed == pieces:
            return self.threshold.value
        rate = self.threshold.false_alarm_rate * needed / pieces
        return threshold_at(self.threshold, self.scores, rate)


def highest_windows(scores: NDArray[np.float64], windows: int) -> NDArray[np.int64]:
    """Return the highest window of each piece of at most `windows` windows, in order of time.

    >>> highest_windows(np.array([1.0, 3.0, 2.0, 9.0, 4.0]), 2).tolist()
    [1, 3, 4]
    """
    pieces = np.array_split(np.arange(len(scores)), math.ceil(len(scores) / windows))
    return np.array([piece[scores[piece].argmax()] for piece in pieces], dtype=np.int64)
