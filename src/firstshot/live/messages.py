"""What `firstshot watch` tells: windows, changes of state, and events, as records and as JSON.

Every message is one of three records. `as_json` returns its public form, schema 1: plain values
with the message's `type`, and times in UTC that end with Z. Outputs send this form; a field is
added under the same schema number, and one that is renamed or dropped raises it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Literal, TypeAlias, cast, get_args

from firstshot.disk.documents import Table
from firstshot.live.clock import read_utc, utc_text

SCHEMA = 1

EventKind: TypeAlias = Literal["alarm", "blind", "digest"]
ThresholdKind: TypeAlias = Literal["commissioned", "provisional", "bank"]
"""Where a threshold comes from: 24 h of this place, at least 1 h of it, or the held-out clips."""


class State(StrEnum):
    """What is known of a machine."""

    learning = "learning"
    normal = "normal"
    suspicious = "suspicious"
    alarm = "alarm"
    recovering = "recovering"
    blind = "blind"


@dataclass(frozen=True)
class ShadowReport:
    """What a second detector says of the same window; its fields are those of `WindowReport`."""

    detector: str
    score: float
    threshold: float
    p_value: float
    ranked: float | None
    anomalous: bool


@dataclass(frozen=True)
class WindowReport:
    """One window, judged.

    Attributes
    ----------
    machine : str
        The machine's name.
    time : datetime
        The end of the window, UTC.
    state : State
        The machine's state after this window.
    score, threshold, p_value : float or None
        None for a window that is not judged, since its sound cannot be trusted. `threshold` is what
        `ranked` is compared with.
    level_dbfs : float
        The root mean square, where a full-scale square wave has 0 dB; -inf is written as null.
    ranked : float or None
        What the alarm rule compares: the k-th highest of the last n scores, None until there are n.
    anomalous : bool
        Whether this window's score alone is above the threshold.
    shadow : ShadowReport or None
        What the second detector says.
    """

    machine: str
    time: datetime
    state: State
    score: float | None
    threshold: float | None
    p_value: float | None
    level_dbfs: float
    ranked: float | None
    anomalous: bool
    shadow: ShadowReport | None = None

    type: ClassVar[str] = "window"

    def as_json(self) -> dict[str, Any]:
        """Return the message as plain values."""
        return _plain(self)


@dataclass(frozen=True)
class StateReport:
    """A change of a machine's state, with the reason as a sentence."""

    machine: str
    time: datetime
    state: State
    before: State
    reason: str

    type: ClassVar[str] = "state"

    def as_json(self) -> dict[str, Any]:
        """Return the message as plain values."""
        return _plain(self)


@dataclass(frozen=True)
class EventReport:
    """An event: sent once when it begins (`ended` is None) and once when it ends, under one id.

    Attributes
    ----------
    machine : str
        The machine's name.
    id : str
        The machine's name, the kind, and the beginning in UTC; the same after a restart.
    kind : "alarm", "blind" or "digest"
        A machine that sounds unlike normal, one that cannot be judged, or a summary of events that
        were not told one by one.
    started, ended : datetime, datetime or None
        UTC.
    peak, threshold, p_value : float or None
        The highest ranked score so far, the threshold then in force, the smallest p-value.
    threshold_kind : str
        Where the threshold comes from.
    detector : str
        The SHA-256 of the detector file.
    reason : str
        A sentence.
    clip : str or None
        The file of the event's recording, once there is one.
    count : int
        Events that a digest sums up; 1 otherwise.
    """

    machine: str
    id: str
    kind: EventKind
    started: datetime
    ended: datetime | None
    peak: float | None
    threshold: float | None
    p_value: float | None
    threshold_kind: ThresholdKind
    detector: str
    reason: str
    clip: str | None = None
    count: int = 1

    type: ClassVar[str] = "event"

    @property
    def time(self) -> datetime:
        """The moment that the message is about: the end, or the beginning of an open event."""
        return self.ended or self.started

    def as_json(self) -> dict[str, Any]:
        """Return the message as plain values."""
        return _plain(self)


Report: TypeAlias = WindowReport | StateReport | EventReport


def event_id(machine: str, kind: EventKind, started: datetime) -> str:
    """Return the id of a machine's event, from its kind and its beginning.

    >>> from datetime import UTC
    >>> event_id("fan", "alarm", datetime(2026, 3, 1, 12, tzinfo=UTC))
    'fan-alarm-20260301T120000.000Z'
    """
    return f"{machine}-{kind}-{utc_text(started).replace('-', '').replace(':', '')}"


def read_event(values: Any) -> EventReport | StateReport:
    """Return the event or change of state that `as_json` wrote, for what is kept on disk.

    Raises
    ------
    ValueError
        A field is missing or of another type; it names the field.
    """
    table = Table.of(values, "message")
    machine, kind = table.text("machine"), table.choice("type", ("event", "state"))
    if kind == "state":
        state, before = (State(table.choice(name, list(State))) for name in ("state", "before"))
        return StateReport(
            machine, read_utc(table.text("time")), state, before, table.text("reason")
        )
    return EventReport(
        machine=machine,
        id=table.text("id"),
        kind=cast(EventKind, table.choice("kind", get_args(EventKind))),
        started=read_utc(table.text("started")),
        ended=read_utc(table.text("ended")) if "ended" in table else None,
        **{
            name: table.number(name) if name in table else None
            for name in ("peak", "threshold", "p_value")
        },
        threshold_kind=cast(ThresholdKind, table.choice("threshold_kind", get_args(ThresholdKind))),
        detector=table.text("detector"),
        reason=table.text("reason"),
        clip=table.text("clip") if "clip" in table else None,
        count=table.whole("count", low=1),
    )


def _plain(report: Report) -> dict[str, Any]:
    values = {field.name: _value(getattr(report, field.name)) for field in fields(report)}
    return {"schema": SCHEMA, "type": report.type, **values}


def _value(value: Any) -> Any:
    if isinstance(value, datetime):
        return utc_text(value)
    if isinstance(value, ShadowReport):
        return {field.name: _value(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, StrEnum):
        return value.value
    # JSON has no infinity; the level of digital silence is one.
    return None if value in (float("-inf"), float("inf")) else value
