"""One output with its outbox: a thread sends what waits, as fast as the limits allow.

Input: messages. Output: calls of `Output.send`, one at a time, in order, again after a failure. A
message that is refused for ever is dropped with a warning in the log; so is one that has failed
`most_tries` times, where the output has such a number.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from firstshot.errors import FirstshotError
from firstshot.live.clock import Clock
from firstshot.live.messages import EventReport, StateReport
from firstshot.live.outputs.delivery.limits import CircuitBreaker, RateLimit
from firstshot.live.outputs.delivery.outbox import Outbox
from firstshot.live.outputs.delivery.storms import QUIET_SECONDS, OutgoingMessage, next_message
from firstshot.live.outputs.protocol import DeliveryError, Output
from firstshot.log import logger
from firstshot.messages import shown

_LONGEST_SLEEP = 60.0


@dataclass(frozen=True)
class DeliveryRules:
    """What an output is told, and how often.

    Attributes
    ----------
    types : frozenset of str
        "event", "state" or both.
    ends : bool
        Whether the end of an event is told too.
    per_minute : int
        Messages in any minute.
    quiet_seconds : float
        The pause after an event was told, in which further ones of this machine wait.
    most_tries : int or None
        Attempts for one message; None tries for ever.
    """

    types: frozenset[str] = frozenset({"event"})
    ends: bool = True
    per_minute: int = 60
    quiet_seconds: float = QUIET_SECONDS
    most_tries: int | None = None

    def wants(self, report: EventReport | StateReport) -> bool:
        """Return whether a message is told."""
        ended = isinstance(report, EventReport) and report.ended is not None
        return report.type in self.types and (self.ends or not ended)


@dataclass
class Delivery:
    """The messages of one output; `start` begins its thread, or a test calls `step` itself."""

    output: Output
    outbox: Outbox
    rules: DeliveryRules
    clock: Clock
    counts: Counter[str] = field(default_factory=Counter)
    """Messages "sent", "failed" (attempts), "refused" and "unkept" (not on disk)."""

    def __post_init__(self) -> None:
        now, today = self.clock.monotonic(), self.clock.now()
        # The clock may have been set back since: then the pause begins anew, and is no longer.
        ago = {
            pause: max(0.0, (today - time).total_seconds())
            for pause, time in self.outbox.last_sent().items()
        }
        self._last_sent = {pause: now - seconds for pause, seconds in ago.items()}
        self._breaker = CircuitBreaker()
        self._limit = RateLimit(self.rules.per_minute)
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"output {self.output.name}", daemon=True
        )

    def put(self, report: EventReport | StateReport) -> None:
        """Keep a message until it has arrived; never raises, and waits for the disk only."""
        if not self.rules.wants(report):
            return
        with self._lock:
            self._on_disk(lambda: self.outbox.put(report, self.clock.now()))
        self._news.set()

    def waiting(self) -> int:
        """Return how many messages have not arrived yet."""
        with self._lock:
            return len(self.outbox.waiting())

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """End once nothing can be sent at this moment."""
        self._closing.set()
        self._news.set()

    def close(self, seconds: float) -> None:
        """Send what can be sent in some seconds; the rest waits on disk for the next start."""
        self.stop()
        if self._thread.is_alive():
            self._thread.join(seconds)
        with suppress(FirstshotError):
            self.output.close()
        with self._lock:
            self.outbox.close()

    def step(self) -> float:
        """Send at most one message; return the seconds until there may be something to do."""
        now = self.clock.monotonic()
        wait = max(self._breaker.wait(now), self._limit.wait(now))
        if wait > 0:
            return wait
        pauses = {
            pause: self.rules.quiet_seconds - (now - sent)
            for pause, sent in self._last_sent.items()
        }
        with self._lock:
            waiting = self.outbox.waiting()
        message = next_message(waiting, pauses)
        if message is None:
            return min((left for left in pauses.values() if left > 0), default=_LONGEST_SLEEP)
        self._limit.take(now)
        return self._send(message)

    def _send(self, message: OutgoingMessage) -> float:
        try:
            self.output.send(message.report, message.key)
        except DeliveryError as error:
            return self._failed(message, error)
        except Exception as error:  # a fault of the program's own must not end the thread
            self._give_up(message, error)
            return 0.0
        if self._breaker.is_open:
            logger.warning("%s: takes messages again", self.output.name)
        self._breaker.succeeded()
        self.counts["sent"] += 1
        self._done(message)
        return 0.0

    def _failed(self, message: OutgoingMessage, error: DeliveryError) -> float:
        was_open = self._breaker.is_open
        wait = self._breaker.failed(self.clock.monotonic())
        self.counts["failed"] += 1
        if self.rules.most_tries is not None and self._breaker.failures >= self.rules.most_tries:
            self._breaker.succeeded()
            self._give_up(message, error)
            return 0.0
        if self._breaker.is_open and not was_open:
            logger.warning(
                "%s: %s; messages wait on disk, one attempt every %.0f s",
                self.output.name,
                shown(error),
                wait,
            )
        return wait

    def _give_up(self, message: OutgoingMessage, error: Exception) -> None:
        logger.warning("%s: %s is not delivered: %s", self.output.name, message.key, shown(error))
        self.counts["refused"] += 1
        self._done(message)

    def _done(self, message: OutgoingMessage) -> None:
        now = self.clock.now()
        if message.pause is not None:
            self._last_sent[message.pause] = self.clock.monotonic()
        with self._lock:
            self._on_disk(lambda: self.outbox.done(message.keys, now, message.pause))

    def _on_disk(self, write: Callable[[], object]) -> None:
        """Write to the outbox; where the disk does not take it, go on from memory."""
        try:
            write()
        except FirstshotError as error:
            self.counts["unkept"] += 1
            if self.counts["unkept"] == 1:
                logger.warning("%s: %s", self.output.name, error)

    def _run(self) -> None:
        while True:
            self._news.clear()
            wait = self.step()
            if wait <= 0:
                continue
            if self._closing.is_set():
                return
            self._news.wait(min(wait, _LONGEST_SLEEP))
