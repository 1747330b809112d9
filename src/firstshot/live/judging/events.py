"""Events: at most one open of a kind, a pause after each, and a digest of what fell into it.

Input: beginnings and ends. Output: the messages to send. What begins within the hold-off after an
event is not told one by one. When the hold-off is over, what still lasts is told as an event, and
what has ended already is summed up in a digest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from firstshot.live.clock import time_text
from firstshot.live.messages import EventKind, EventReport, ThresholdKind, event_id

HOLD_OFF = timedelta(minutes=10)


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
        """Return the facts of the beginning, with the highest peak and smallest p-value of both."""
        peaks = [one for one in (self.peak, other.peak) if one is not None]
        values = [one for one in (self.p_value, other.p_value) if one is not None]
        return replace(self, peak=max(peaks, default=None), p_value=min(values, default=None))


@dataclass
class Held:
    """What began within the hold-off; `ended` is None while the last of them lasts."""

    first: datetime
    started: datetime
    ended: datetime | None
    facts: Facts
    count: int = 1


@dataclass
class EventBook:
    """The events of one kind of one machine; it is kept on disk.

    Attributes
    ----------
    machine, kind : str
        Whose events, and of which kind.
    started : datetime or None
        Beginning of the open event.
    facts : Facts or None
        Those of the open event.
    closed : datetime or None
        When the last event ended or a digest was sent; the hold-off begins there.
    held : Held or None
        What is not told yet.
    """

    machine: str
    kind: EventKind
    started: datetime | None = None
    facts: Facts | None = None
    closed: datetime | None = None
    held: Held | None = None

    @property
    def open_id(self) -> str | None:
        """The id of the open event."""
        return None if self.started is None else event_id(self.machine, self.kind, self.started)

    def begin(self, time: datetime, facts: Facts) -> list[EventReport]:
        """Begin an event, or count it where the last one ended just before."""
        if self.started is not None:
            self.update(facts)
            return []
        if self.closed is not None and time < self.closed + HOLD_OFF:
            if self.held is None:
                self.held = Held(time, time, None, facts)
            else:
                count = self.held.count + 1
                facts = self.held.facts.join(facts)
                self.held = Held(self.held.first, time, None, facts, count)
            return []
        return [*self.pass_time(time), self._open(time, facts)]

    def update(self, facts: Facts) -> None:
        """Take what is new about what lasts."""
        if self.facts is not None:
            self.facts = self.facts.join(facts)
        elif self.held is not None and self.held.ended is None:
            self.held.facts = self.held.facts.join(facts)

    def end(self, time: datetime, reason: str) -> list[EventReport]:
        """End what is open, if anything is."""
        if self.held is not None and self.held.ended is None:
            self.held.ended = time
        if self.started is None or self.facts is None:
            return []
        report = self._report(self.started, time, replace(self.facts, reason=reason))
        self.started, self.facts, self.closed = None, None, time
        return [report]

    def pass_time(self, time: datetime) -> list[EventReport]:
        """Tell what was held back, once the hold-off is over."""
        held = self.held
        if held is None or self.closed is None or time < self.closed + HOLD_OFF:
            return []
        self.held = None
        if held.ended is None:
            return [self._open(held.started, held.facts)]
        self.closed = time
        noun = {"alarm": "alarm", "blind": "time without sound"}.get(self.kind, self.kind)
        return [
            EventReport(
                machine=self.machine,
                id=event_id(self.machine, "digest", held.first),
                kind="digest",
                started=held.first,
                ended=held.ended,
                count=held.count,
                **{
                    **vars(held.facts),
                    "reason": f"{held.count} more {noun}{'s' if held.count > 1 else ''} from "
                    f"{time_text(held.first)} to {time_text(held.ended)}. {held.facts.reason}",
                },
            )
        ]

    def _open(self, time: datetime, facts: Facts) -> EventReport:
        self.started, self.facts = time, facts
        return self._report(time, None, facts)

    def _report(self, started: datetime, ended: datetime | None, facts: Facts) -> EventReport:
        name = event_id(self.machine, self.kind, started)
        return EventReport(
            machine=self.machine,
            id=name,
            kind=self.kind,
            started=started,
            ended=ended,
            **vars(facts),
        )
