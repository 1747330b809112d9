"""Two clocks: the time of day, which may be set back, and one that only goes on.

Whatever is written down has the time of day in UTC. Whatever is waited for is measured by the
other, so that a clock that is set neither delays nor repeats anything.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What tells the time; a test has one of its own."""

    def now(self) -> datetime:
        """Return the time of day in UTC."""

    def monotonic(self) -> float:
        """Return seconds that never go back, from a start of their own."""


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


def utc_text(moment: datetime) -> str:
    """Write a time in UTC to the millisecond, with Z.

    >>> utc_text(datetime(2026, 3, 1, 12, 0, 2, 500000, UTC))
    '2026-03-01T12:00:02.500Z'
    """
    plain = moment.astimezone(UTC).replace(tzinfo=None)
    return plain.isoformat(timespec="milliseconds") + "Z"


def read_utc(text: str) -> datetime:
    """Return the time that `utc_text` wrote; raises ValueError for any other text.

    >>> read_utc("2026-03-01T12:00:02.500Z").second
    2
    """
    if not text.endswith("Z"):
        raise ValueError(f"{text[:40]!r} is no time in UTC, such as 2026-03-01T12:00:02.500Z")
    return datetime.fromisoformat(text[:-1]).replace(tzinfo=UTC)
