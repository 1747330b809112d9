"""All outputs of a process: one call passes a message on to each of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from firstshot.live.clock import Clock
from firstshot.live.messages import Report, WindowReport
from firstshot.live.outputs.delivery.outbox import Outbox
from firstshot.live.outputs.delivery.thread import Delivery, DeliveryRules
from firstshot.live.outputs.metrics import Metrics
from firstshot.live.outputs.protocol import DeliveryError, Feed, Output
from firstshot.log import logger
from firstshot.messages import shown


class Outputs:
    """What a watched machine tells goes to all outputs.

    Parameters
    ----------
    outputs : sequence of (Output, DeliveryRules)
        Each has a name of its own.
    feeds : sequence of Feed
        What shows the latest message.
    folder : Path
        Where the outboxes are kept; one process at a time uses it.
    clock : Clock
        Tells the time.
    """

    def __init__(
        self,
        outputs: Sequence[tuple[Output, DeliveryRules]],
        feeds: Sequence[Feed],
        folder: Path,
        clock: Clock,
    ) -> None:
        self.deliveries = [
            Delivery(output, Outbox(folder / f"{output.name}.jsonl"), rules, clock)
            for output, rules in outputs
        ]
        self._feeds = list(feeds)
        self._faulty: set[str] = set()

    def check(self) -> None:
        """Connect to every output and leave again; raises the first `FirstshotError`."""
        for output in self._all():
            try:
                output.open()
            finally:
                output.close()

    def start(self) -> None:
        """Connect, and begin to send.

        An output that does not answer now is tried again later.

        Raises
        ------
        FirstshotError
            An output will never work, such as one that refuses the password.
        """
        for output in self._all():
            try:
                output.open()
            except DeliveryError as error:
                logger.warning("%s; it is tried again", shown(error))
        for delivery in self.deliveries:
            delivery.start()

    def publish(self, report: Report) -> None:
        """Pass a message on; never waits for a receiver, and never raises.

        Events and changes of state are on disk when it returns.
        """
        for feed in self._feeds:
            try:
                feed.show(report)
            except Exception as error:  # no output may stop the listening
                self._tell_fault(feed, error)
        if not isinstance(report, WindowReport):
            for delivery in self.deliveries:
                delivery.put(report)

    def count_dropped(self, machine: str, samples: int) -> None:
        """Tell how many samples a machine's source has lost since the start."""
        for feed in self._feeds:
            if isinstance(feed, Metrics):
                feed.count_dropped(machine, samples)

    def close(self, seconds: float) -> None:
        """Send what can be sent in some seconds in all, and disconnect."""
        for delivery in self.deliveries:
            delivery.stop()
        end = time.monotonic() + seconds
        for delivery in self.deliveries:
            delivery.close(max(0.0, end - time.monotonic()))
        for feed in self._feeds:
            feed.close()

    def counts(self) -> dict[str, dict[str, int]]:
        """Return, for each output by name, its counts of messages by result."""
        return {
            delivery.output.name: {**delivery.counts, "waiting": delivery.waiting()}
            for delivery in self.deliveries
        }

    def _tell_fault(self, feed: Feed, error: Exception) -> None:
        name = type(feed).__name__
        if name not in self._faulty:
            self._faulty.add(name)
            logger.warning("%s: a fault in firstshot itself (%r); please report it", name, error)

    def _all(self) -> list[Output | Feed]:
        """Return every output once; one may be an `Output` and a `Feed`."""
        every: list[Output | Feed] = [delivery.output for delivery in self.deliveries]
        return every + [feed for feed in self._feeds if feed not in every]
