"""Two clocks: the time of day, which may be set back, and one that only goes on.

Whatever is written down has the time of day in UTC. Whatever is waited for is measured by the
other, so that a clock that is set neither delays nor repeats anything.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

FORGOTTEN = timedelta(days=2)
"""A clock that goes back by more was wrong before, and is followed."""
CATCHING_UP = 1e-3
"""The share by which time passes more slowly until the clock is met again."""


class Clock(Protocol):
    """What tells the time; a test has one of its own."""

    def now(self) -> datetime:
        """Return the time of day in UTC."""

    def monotonic(self) -> float:
        """Return seconds that never go back, from a start of their own."""


class Timeline:
    """Times of a stream that never go back, though the clock may be set back.

    Every chunk gets the time of its end: the clock's, or where that would be too early, the time
    before plus almost all of the chunk's length, so that a clock that was set back is met again.

    Examples
    --------
    >>> noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    >>> line = Timeline(noon)
    >>> [time_text(line.stamp(noon - timedelta(hours=1), 10.0)) for _ in range(2)]
    ['12:00:09Z', '12:00:19Z']
    """

    def __init__(self, last: datetime | None = None) -> None:
        self.last = last

    def stamp(self, now: datetime, seconds: float) -> datetime:
        """Return the end of the next `seconds` of sound, which arrived at `now`."""
        if self.last is not None and now - self.last > -FORGOTTEN:
            now = max(now, self.last + timedelta(seconds=seconds) * (1 - CATCHING_UP))
        self.last = now
        return now


class SystemClock:
    """The clocks of this machine."""

    def now(self) -> datetime:
        """Return the time of day in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds since some start, which pass while the machine sleeps too."""
        # CLOCK_MONOTONIC stands still in suspend; a source was silent for that time all the same.
        return time.clock_gettime(_CLOCK) if _CLOCK is not None else time.monotonic()


_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def utc_text(moment: datetime, to: str = "milliseconds") -> str:
    """Write a time in UTC to the millisecond, or as exactly as `isoformat` can be asked, with Z.

    >>> utc_text(datetime(2026, 3, 1, 12, 0, 2, 500000, UTC))
    '2026-03-01T12:00:02.500Z'
    """
    plain = moment.astimezone(UTC).replace(tzinfo=None)
    return plain.isoformat(timespec=to) + "Z"


def minute_text(moment: datetime) -> str:
    """Write a time in UTC to the minute, for sentences.

    >>> minute_text(datetime(2026, 3, 1, 12, 0, 2, 500000, UTC))
    '2026-03-01 12:00Z'
    """
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%MZ}"


def time_text(moment: datetime) -> str:
    """Write the time of day in UTC, for sentences.

    >>> time_text(datetime(2026, 3, 1, 12, 0, 2, 500000, UTC))
    '12:00:02Z'
    """
    return f"{moment.astimezone(UTC):%H:%M:%SZ}"


def read_utc(text: str) -> datetime:
    """Return the time that `utc_text` wrote; raises ValueError for any other text.

    >>> read_utc("2026-03-01T12:00:02.500Z").second
    2
    """
    if not text.endswith("Z"):
        raise ValueError(f"{text[:40]!r} is no time in UTC, such as 2026-03-01T12:00:02.500Z")
    return datetime.fromisoformat(text[:-1]).replace(tzinfo=UTC)
