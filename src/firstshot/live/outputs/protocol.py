"""What every output offers.

An `Output` delivers events, each until it has arrived: they wait in an outbox on disk. A `Feed`
shows what is true now, and what it misses is gone. One class may be both, as MQTT is.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from firstshot.errors import FirstshotError
from firstshot.live.messages import EventReport, Report, StateReport


class DeliveryError(FirstshotError):
    """A message has not arrived, and another attempt may bring it there."""


class RefusedError(FirstshotError):
    """A receiver refuses a message or a password, and would refuse it again."""


@runtime_checkable
class Output(Protocol):
    """Delivers one message after another; only one thread calls it."""

    name: str

    def open(self) -> None:
        """Connect, and check what can be checked without sending anything.

        Raises
        ------
        DeliveryError
            The other side does not answer now.
        FirstshotError
            It will never do: a password is refused, a program does not exist.
        """

    def send(self, report: EventReport | StateReport, key: str) -> None:
        """Deliver a message.

        Parameters
        ----------
        report : EventReport or StateReport
            The message.
        key : str
            The same at every attempt for a message, and another for every other message: whoever
            gets a message twice, since the first receipt was lost, can tell by it.

        Raises
        ------
        DeliveryError
            It has not arrived; it is sent again later.
        FirstshotError
            It is refused for ever; it is not sent again.
        """

    def close(self) -> None:
        """Disconnect; may be called without `open`, and twice."""


@runtime_checkable
class Feed(Protocol):
    """Shows the latest windows, states and events."""

    def open(self) -> None:
        """Begin; raises as `Output.open` does."""

    def show(self, report: Report) -> None:
        """Take a message; never waits for a reader and never raises."""

    def close(self) -> None:
        """Stop."""


def key_of(report: EventReport | StateReport) -> str:
    """Return the idempotency key of a message: an event's beginning and its end have one each.

    It is the same after a restart, so that a message that is published again is not sent again.
    """
    if isinstance(report, StateReport):
        return f"{report.machine}-{report.state.value}-{report.as_json()['time']}"
    return f"{report.id}-{'begin' if report.ended is None else 'end'}"
