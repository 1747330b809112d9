"""The alarm rule: a high order statistic of the last scores against a threshold.

Windows of length L follow each other every h seconds. With k = 2 ceil(L / h) + 1 and
n = ceil(1.6 k), R_t is the k-th highest of the last n scores; for h = L / 2 that is the fifth
highest of eight. An alarm begins at the first R_t above the threshold and ends at the twelfth
window in a row whose R_t is not above it. One loud moment lies in at most ceil(L / h) + 1 windows,
fewer than k, and raises no alarm. A gap in the sound clears the n scores.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil
from typing import Literal, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

QUIET_WINDOWS = 12
"""Windows in a row that end an alarm."""
Change: TypeAlias = Literal["begins", "ends"] | None


@dataclass(frozen=True)
class WindowRule:
    """How many of the last windows must score above the threshold for an alarm.

    Examples
    --------
    >>> WindowRule.of_windows(10.0, 5.0)
    WindowRule(needed=5, of=8)
    """

    needed: int
    of: int

    @classmethod
    def of_windows(cls, seconds: float, hop_seconds: float) -> WindowRule:
        """Return the rule for windows of `seconds` that begin every `hop_seconds`."""
        needed = 2 * ceil(round(seconds / hop_seconds, 6)) + 1
        return cls(needed, ceil(round(1.6 * needed, 6)))

    def ranked(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Return R for every window from the n-th on: float64 (windows - n + 1,)."""
        values = np.asarray(scores, dtype=np.float64)
        if values.size < self.of:
            return np.empty(0)
        windows = sliding_window_view(values, self.of)
        return np.partition(windows, self.of - self.needed, axis=1)[:, self.of - self.needed]


@dataclass
class Alarm:
    """The rule applied window by window.

    Attributes
    ----------
    rule : WindowRule
        How many of how many.
    scores : deque of float
        The last n scores, fewer after a gap.
    active : bool
        Whether there is an alarm.
    quiet : int
        Windows in a row not above the threshold, while there is an alarm.
    """

    rule: WindowRule
    scores: deque[float] = field(default_factory=deque)
    active: bool = False
    quiet: int = 0

    def __post_init__(self) -> None:
        self.scores = deque(self.scores, maxlen=self.rule.of)

    def push(self, score: float, threshold: float) -> Change:
        """Take the next window's score, and tell whether an alarm begins or ends with it."""
        self.scores.append(score)
        ranked = self.ranked
        if ranked is None:
            return None
        if ranked > threshold:
            begins, self.active, self.quiet = not self.active, True, 0
            return "begins" if begins else None
        self.quiet += self.active
        if self.quiet < QUIET_WINDOWS:
            return None
        self.active, self.quiet = False, 0
        return "ends"

    def gap(self) -> None:
        """Forget the last scores: what follows does not continue them."""
        self.scores.clear()
        self.quiet = 0

    @property
    def ranked(self) -> float | None:
        """R of the last window, None until there are n scores without a gap."""
        if len(self.scores) < self.rule.of:
            return None
        return sorted(self.scores)[-self.rule.needed]

    def above(self, threshold: float) -> int:
        """Count the last scores above a threshold."""
        return sum(score > threshold for score in self.scores)


def find_alarms(ranked: Iterable[float], threshold: float) -> list[tuple[int, int]]:
    """Return the alarms of a row of R: where each begins and ends, -1 for one that is still open.

    >>> find_alarms([0, 3, 0, 3] + [0] * 12 + [3], 2.0)
    [(1, 15), (16, -1)]
    """
    values = np.asarray(list(ranked), dtype=np.float64)
    loud = np.flatnonzero(values > threshold)
    if not loud.size:
        return []
    # An alarm lasts over pauses of fewer than QUIET_WINDOWS windows.
    apart = np.flatnonzero(np.diff(loud) > QUIET_WINDOWS)
    starts, lasts = loud[[0, *(apart + 1)]], loud[[*apart, -1]]
    ends = lasts + QUIET_WINDOWS
    open_end = ends >= len(values)
    return [
        (int(start), -1 if still else int(end))
        for start, end, still in zip(starts, ends, open_end, strict=True)
    ]
