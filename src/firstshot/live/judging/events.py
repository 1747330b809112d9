"""Events of one kind of one machine, at most one open at a time.

Input: beginnings and ends. Output: the message of each. How often a person is told is decided
where messages are delivered; see `firstshot.live.outputs.delivery.storms`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from firstshot.live.messages import EventKind, EventReport, ThresholdKind, event_id


@dataclass(frozen=True)
class Facts:
    """What an event is told with: see `EventReport`."""

    reason: str
    threshold_kind: ThresholdKind
    detector: str
    peak: float | None = None
    threshold: float | None = None
    p_value: float | None = None

    def join(self, other: Facts) -> Facts:
        """Return these facts, with the highest peak and the smallest p-value of both."""
        peaks = [one for one in (self.peak, other.peak) if one is not None]
        values = [one for one in (self.p_value, other.p_value) if one is not None]
        return replace(self, peak=max(peaks, default=None), p_value=min(values, default=None))


@dataclass
class EventBook:
    """The open event, if there is one; it is kept on disk."""

    machine: str
    kind: EventKind
    started: datetime | None = None
    facts: Facts | None = None

    def open_event(self) -> EventReport | None:
        """Return the message of the open event, None where none is open."""
        if self.started is None or self.facts is None:
            return None
        return self._report(self.started, None, self.facts)

    def begin(self, time: datetime, facts: Facts) -> list[EventReport]:
        """Begin an event, or update the one that is open."""
        if self.started is not None:
            self.update(facts)
            return []
        self.started, self.facts = time, facts
        return [self._report(time, None, facts)]

    def update(self, facts: Facts) -> None:
        """Take a higher peak or a smaller p-value of the open event."""
        if self.facts is not None:
            self.facts = self.facts.join(facts)

    def end(self, time: datetime, reason: str) -> list[EventReport]:
        """End the open event, if there is one."""
        if self.started is None or self.facts is None:
            return []
        report = self._report(self.started, time, replace(self.facts, reason=reason))
        self.started = self.facts = None
        return [report]

    def _report(self, started: datetime, ended: datetime | None, facts: Facts) -> EventReport:
        return EventReport(
            machine=self.machine,
            id=event_id(self.machine, self.kind, started),
            kind=self.kind,
            started=started,
            ended=ended,
            **vars(facts),
        )
