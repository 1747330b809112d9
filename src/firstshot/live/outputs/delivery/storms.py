"""A storm of events becomes one message and a digest.

Input: the waiting messages of an output, oldest first, and how long each machine's pause still
lasts. Output: what is sent next. The first event of a machine is told at once, and begins a pause
of QUIET_SECONDS; it begins when the message has arrived, not when the event was. Events in the
pause wait for its end. Then they are told: one event as it is, several as one digest. The end of an
event is told at once, unless its beginning still waits. Of several changes of state only the last
one is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from firstshot.live.clock import utc_text
from firstshot.live.messages import EventReport, StateReport
from firstshot.live.outputs.delivery.outbox import Waiting

QUIET_SECONDS = 600.0


@dataclass(frozen=True)
class OutgoingMessage:
    """What is sent as one message.

    `keys` are the waiting messages that it stands for, `pause` is what pauses once it has arrived.
    """

    report: EventReport | StateReport
    key: str
    keys: tuple[str, ...]
    pause: str | None = None


def next_message(waiting: Sequence[Waiting], pauses: Mapping[str, float]) -> OutgoingMessage | None:
    """Return what is sent next, None where nothing waits or all of it has to wait.

    `pauses` has the seconds that each pause still lasts.
    """
    groups: dict[str, list[Waiting]] = {}
    begun: set[str] = set()
    for item in waiting:
        report = item.report
        if isinstance(report, StateReport):
            groups.setdefault(f"state of {report.machine}", []).append(item)
        elif report.kind == "digest" or (report.ended is not None and report.id not in begun):
            groups[item.key] = [item]
        else:
            begun.add(report.id)
            groups.setdefault(pause_key(report), []).append(item)
    for name, items in groups.items():
        if pauses.get(name, 0.0) <= 0:
            return _message_of(items)
    return None


def pause_key(report: EventReport) -> str:
    """Return what pauses after an event was told: one kind of event of one machine."""
    return f"{report.kind} of {report.machine}"


def _message_of(items: Sequence[Waiting]) -> OutgoingMessage:
    """Return the one message of a group: a state, an event's beginning or end, or a digest."""
    keys = tuple(item.key for item in items)
    events = [item.report for item in items if isinstance(item.report, EventReport)]
    if not events:
        return OutgoingMessage(items[-1].report, keys[-1], keys)
    latest = {event.id: event for event in events}
    if len(latest) > 1:
        digest = digest_of(list(latest.values()))
        return OutgoingMessage(digest, f"{digest.id}-{len(keys)}", keys, pause_key(events[0]))
    first = events[0]
    begins = first.kind != "digest" and first.ended is None
    return OutgoingMessage(first, keys[0], keys[:1], pause_key(first) if begins else None)


def digest_of(events: Sequence[EventReport]) -> EventReport:
    """Return one message for several events of a machine, oldest first.

    It ends when the last of them has ended, and is open while that is.
    """
    first, last = events[0], events[-1]
    peaks = [event.peak for event in events if event.peak is not None]
    p_values = [event.p_value for event in events if event.p_value is not None]
    still = "the last one is still open" if last.ended is None else "all have ended"
    what = "alarms" if first.kind == "alarm" else "times without usable sound"
    return replace(
        last,
        id=f"{first.id}-digest",
        kind="digest",
        started=first.started,
        peak=max(peaks, default=None),
        p_value=min(p_values, default=None),
        reason=f"{len(events)} {what} since {utc_text(first.started)}; {still}.",
        count=len(events),
    )
