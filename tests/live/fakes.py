"""A clock that a test sets, messages of a machine, and an output that notes what it gets."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from firstshot.errors import FirstshotError
from firstshot.live.messages import (
    EventKind,
    EventReport,
    State,
    StateReport,
    WindowReport,
    event_id,
)

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class SetClock:
    """Both clocks go on together by `pass_`; `now_is` may be set back alone."""

    def __init__(self) -> None:
        self.now_is = START
        self.seconds = 1000.0

    def now(self) -> datetime:
        return self.now_is

    def monotonic(self) -> float:
        return self.seconds

    def pass_(self, seconds: float) -> None:
        self.now_is += timedelta(seconds=seconds)
        self.seconds += seconds


class NotingOutput:
    """Notes what it gets; raises the errors in `errors` first, one an attempt."""

    def __init__(self, name: str = "noted") -> None:
        self.name = name
        self.errors: list[FirstshotError] = []
        self.got: list[tuple[str, EventReport | StateReport]] = []

    def open(self) -> None: ...

    def send(self, report: EventReport | StateReport, key: str) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.got.append((key, report))

    def close(self) -> None: ...


def an_event(after: float = 0.0, machine: str = "fan", kind: EventKind = "alarm") -> EventReport:
    """The beginning of an event, some seconds after START."""
    started = START + timedelta(seconds=after)
    return EventReport(
        machine=machine,
        id=event_id(machine, kind, started),
        kind=kind,
        started=started,
        ended=None,
        peak=3.5,
        threshold=2.0,
        p_value=0.01,
        threshold_kind="commissioned",
        detector="0123abcd",
        reason="5 of 8 windows sound unlike normal.",
    )


def its_end(event: EventReport, after: float = 60.0) -> EventReport:
    return replace(event, ended=event.started + timedelta(seconds=after))


def a_state(state: State, before: State, after: float = 0.0, machine: str = "fan") -> StateReport:
    return StateReport(machine, START + timedelta(seconds=after), state, before, "A reason.")


def a_window(
    after: float = 0.0, machine: str = "fan", state: State = State.normal, score: float | None = 1.5
) -> WindowReport:
    time = START + timedelta(seconds=after)
    return WindowReport(machine, time, state, score, 2.0, 0.2, -31.5, 1.2, False)
