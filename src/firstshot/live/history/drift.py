"""Weekly quantiles of normal scores beside those of the learned clips.

Scores that creep up week by week are a slow change of the machine, the microphone or the place,
which no single window tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from firstshot.live.history.read import MachineHistory

SHARES = (0.5, 0.9, 0.98)
_WEEK = 7 * 86400
_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)


@dataclass(frozen=True)
class Week:
    """The quantiles of one week's normal windows; `monday` is its first day, None for the bank."""

    monday: datetime | None
    windows: int
    quantiles: tuple[float, ...]


def weekly_quantiles(machine: MachineHistory) -> list[Week]:
    """Return the weeks (Monday 0 h UTC to Sunday) with normal windows, the earliest first."""
    scores = machine.numbers("score").astype(np.float64)
    chosen = machine.quiet & np.isfinite(scores)
    times, scores = machine.times[chosen], scores[chosen]
    weeks = np.floor((times - _MONDAY.timestamp()) / _WEEK).astype(int)
    return [
        _week(scores[weeks == number], _MONDAY + timedelta(weeks=int(number)))
        for number in np.unique(weeks)
    ]


def bank_quantiles(scores: NDArray[np.float64]) -> Week:
    """Return the same of the learned clips' held-out scores, (clips,)."""
    return _week(scores, None)


def tell_drift(weeks: list[Week], bank: Week | None) -> str:
    """Say in a sentence how the last week compares with the bank, or with the first week.

    >>> bank, week = Week(None, 100, (1.0, 2.0, 3.0)), Week(_MONDAY, 9000, (2.5, 4.0, 5.0))
    >>> tell_drift([week], bank)
    'In the last week half of the normal windows score above 90 % of the learned clips.'
    """
    if not weeks or (bank is None and len(weeks) < 2):
        return "There is nothing to compare yet."
    first = bank or weeks[0]
    what = "the learned clips" if bank else "the windows of the first week"
    last = weeks[-1].quantiles
    if last[0] > first.quantiles[1]:
        return f"In the last week half of the normal windows score above 90 % of {what}."
    if last[1] > first.quantiles[2]:
        return f"In the last week a tenth of the normal windows scores above 98 % of {what}."
    return f"The last week's normal windows score much like {what}."


def _week(scores: NDArray[np.float64], monday: datetime | None) -> Week:
    return Week(monday, len(scores), tuple(float(x) for x in np.quantile(scores, SHARES)))
