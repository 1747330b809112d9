"""A place is learned for a day before a promise is made: the threshold of the alarm rule.

Input: R and p-value of every judged window. Output: a threshold, and where it comes from:

- `bank`: the held-out 98 % quantile of the learned clips, for the first hour; no promise.
- `provisional`: from five-minute maxima of at least one hour of this place, and never below the
  held-out 95 % quantile; no promise.
- `commissioned`: from hourly maxima of the whole time, 24 h at least. It then stays until a person
  commissions again. There is no floor, which would hide the faults of a steady machine.

Time is counted in windows that were heard, so pauses only make it last longer. A place where over
30 % of the windows are unusual for the learned clips is refused: a threshold from it would hide
faults.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

import numpy as np

from firstshot.live.clock import minute_text
from firstshot.live.judging.promise import FIVE_MINUTES_PER_DAY, HOURS_PER_DAY, promised_level
from firstshot.live.messages import ThresholdKind

BLOCK_SECONDS = 300.0
BLOCKS_PER_HOUR = 12
LEAST_HOURS: Final = 24.0
DEFAULT_DAYS: Final = 7.0
MOST_UNUSUAL = 0.3
BANK_SHARE, FLOOR_SHARE = 0.98, 0.95
"""Quantiles of held-out normal scores: the first threshold, and the provisional floor."""
Status = Literal["learning", "done", "refused"]


@dataclass(frozen=True)
class BankLevels:
    """What the learned clips alone say: quantiles of their held-out scores, and what is unusual."""

    threshold: float
    floor: float
    unusual_p: float


@dataclass
class Place:
    """What was heard of a place so far; it is kept on disk, and makes the threshold.

    Attributes
    ----------
    version : int
        Counts the commissionings of this machine.
    first, last : datetime or None
        Ends of the first and the last window, UTC.
    maxima : list of float
        The highest R of each five minutes.
    windows, unusual : int
        Judged windows, and those that are unusual for the learned clips.
    alarms : int
        Those that began meanwhile; a fault among them is in the threshold.
    lowest_db, highest_db : float or None
        The range of the windows' levels.
    status : str
        `done` and `refused` no longer change.
    block : float or None
        The highest R of the five minutes that are not full.
    in_block : int
        How many R they hold.
    """

    version: int = 1
    first: datetime | None = None
    last: datetime | None = None
    maxima: list[float] = field(default_factory=list)
    windows: int = 0
    unusual: int = 0
    alarms: int = 0
    lowest_db: float | None = None
    highest_db: float | None = None
    status: Status = "learning"
    block: float | None = None
    in_block: int = 0


class Commissioning:
    """Sets the threshold of one machine from what is heard of it.

    Parameters
    ----------
    bank : BankLevels
        What the learned clips say.
    hop_seconds : float
        Time from window to window.
    days : float
        At most one false alarm in so many days.
    hours : float
        How long to listen before a promise is made.
    place : Place, optional
        What was heard before a restart.
    """

    def __init__(
        self,
        bank: BankLevels,
        hop_seconds: float,
        days: float = DEFAULT_DAYS,
        hours: float = LEAST_HOURS,
        place: Place | None = None,
    ) -> None:
        self.bank = bank
        self.days = days
        self.hop_seconds = hop_seconds
        self.blocks_needed = round(hours * BLOCKS_PER_HOUR)
        self.per_block = max(1, round(BLOCK_SECONDS / hop_seconds))
        self.place = place or Place()
        self._set_threshold()

    def push(self, end: datetime, ranked: float | None, p: float, level_db: float | None) -> bool:
        """Take a judged window; True where it ends the commissioning, as `status` then says.

        Parameters
        ----------
        end : datetime
            The window's end, UTC.
        ranked : float or None
            R, None in the first windows after a gap.
        p, level_db : float, float or None
            The window's own p-value and level.
        """
        place = self.place
        if place.status != "learning":
            return False
        place.first, place.last = place.first or end, end
        place.windows += 1
        place.unusual += p <= self.bank.unusual_p
        if level_db is not None:
            known = [one for one in (place.lowest_db, place.highest_db) if one is not None]
            place.lowest_db = min([level_db, *known])
            place.highest_db = max([level_db, *known])
        if ranked is None:
            return False
        place.block = ranked if place.block is None else max(place.block, ranked)
        place.in_block += 1
        if place.in_block < self.per_block:
            return False
        place.maxima.append(place.block)
        place.block, place.in_block = None, 0
        if len(place.maxima) >= self.blocks_needed:
            place.status = "refused" if self.unusual_share > MOST_UNUSUAL else "done"
        self._set_threshold()
        return place.status != "learning"

    def count_alarm(self) -> None:
        """Take note that an alarm begins; one that begins later says nothing of the threshold."""
        self.place.alarms += self.place.status == "learning"

    def again(self) -> None:
        """Begin anew; the thresholds of the beginning hold until it is done."""
        self.place = Place(version=self.place.version + 1)
        self._set_threshold()

    @property
    def unusual_share(self) -> float:
        """The share of the windows that are unusual for the learned clips."""
        return self.place.unusual / max(1, self.place.windows)

    @property
    def hours(self) -> float:
        """Hours that were heard."""
        full = len(self.place.maxima) + self.place.in_block / self.per_block
        return full / BLOCKS_PER_HOUR

    @property
    def promises(self) -> bool:
        """Whether the threshold promises a number of false alarms."""
        return self.kind == "commissioned"

    def sentence(self) -> str:
        """Say what the threshold promises, how far learning is, or why the place is refused."""
        place, needed = self.place, self.blocks_needed / BLOCKS_PER_HOUR
        if place.status == "refused":
            return (
                f"This place sounds unlike what was learned: {100 * self.unusual_share:.0f} % of "
                f"its windows are unusual. Fit again with it. No promise is made."
            )
        if place.status == "learning" or place.first is None or place.last is None:
            return f"Learning this place: {int(self.hours)} of {needed:g} h. No promise yet."
        return (
            f"At most one false alarm in {self.days:g} days. Holds while machine, microphone and "
            f"surroundings stay as from {minute_text(place.first)} to {minute_text(place.last)} "
            f"({self.hours:.0f} h heard).{self._alarm_words()}"
        )

    def _alarm_words(self) -> str:
        count = self.place.alarms
        if not count:
            return ""
        what = "1 alarm was" if count == 1 else f"{count} alarms were"
        return f" {what} raised while learning; if there was a fault, commission again."

    def _set_threshold(self) -> None:
        """Set `threshold` and `kind` from what was heard."""
        maxima, hour = self.place.maxima, BLOCKS_PER_HOUR
        self.kind: ThresholdKind = "bank"
        self.threshold = self.bank.threshold
        if self.place.status == "done":
            self.kind = "commissioned"
            self.threshold = promised_level(hourly(maxima), self.days, HOURS_PER_DAY)
        elif len(maxima) >= hour and self.unusual_share <= MOST_UNUSUAL:
            self.kind = "provisional"
            level = promised_level(maxima, self.days, FIVE_MINUTES_PER_DAY)
            self.threshold = max(level, self.bank.floor)


def hourly(maxima: Sequence[float]) -> list[float]:
    """Return the maxima of whole hours from those of five minutes.

    >>> hourly([1.0] * 12 + [2.0, 3.0] * 6 + [9.0])
    [1.0, 3.0]
    """
    whole = len(maxima) // BLOCKS_PER_HOUR * BLOCKS_PER_HOUR
    rows = np.asarray(maxima[:whole], dtype=np.float64).reshape(-1, BLOCKS_PER_HOUR)
    return [float(value) for value in rows.max(axis=1)]
