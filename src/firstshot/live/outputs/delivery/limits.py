"""How often a receiver is asked: never in a storm, seldom while it is away.

All times are seconds of a clock that never goes back.
"""

from __future__ import annotations

from dataclasses import dataclass, field

FIRST_WAIT, LONGEST_WAIT = 1.0, 300.0
FAILURES = 5
"""After so many failed attempts in a row the receiver counts as away."""


@dataclass
class CircuitBreaker:
    """How long to wait after failed attempts: 1, 2, 4, ... s, and 5 min once FAILURES have failed.

    >>> breaker = CircuitBreaker()
    >>> [breaker.failed(now=0.0) for _ in range(6)]
    [1.0, 2.0, 4.0, 8.0, 300.0, 300.0]
    >>> breaker.is_open, breaker.wait(now=250.0)
    (True, 50.0)
    """

    failures: int = 0
    _until: float = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the receiver counts as away."""
        return self.failures >= FAILURES

    def wait(self, now: float) -> float:
        """Return the seconds until the next attempt."""
        return max(0.0, self._until - now) if self.failures else 0.0

    def failed(self, now: float) -> float:
        """Note a failed attempt; return the seconds until the next."""
        self.failures += 1
        wait = LONGEST_WAIT if self.is_open else FIRST_WAIT * 2 ** (self.failures - 1)
        self._until = now + wait
        return wait

    def succeeded(self) -> None:
        """Note that an attempt has succeeded."""
        self.failures = 0


@dataclass
class RateLimit:
    """At most `per_minute` messages in any minute.

    >>> limit = RateLimit(per_minute=2)
    >>> [limit.take(now) for now in (0.0, 10.0, 20.0)], limit.wait(20.0)
    ([True, True, False], 40.0)
    """

    per_minute: int = 60
    _times: list[float] = field(default_factory=list)

    def wait(self, now: float) -> float:
        """Return the seconds until another message may go."""
        self._times = [time for time in self._times if now - time < 60]
        return 0.0 if len(self._times) < self.per_minute else 60 - (now - self._times[0])

    def take(self, now: float) -> bool:
        """Note a message, if one may go now."""
        if self.wait(now) > 0:
            return False
        self._times.append(now)
        return True
