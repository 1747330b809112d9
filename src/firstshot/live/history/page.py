"""The past days of watched machines become one offline HTML page.

Input: a history, a folder of clips, and the scores of learned clips if they are at hand. Output: a
page with each machine's score and level over time, its alarms with player and spectrogram, its
blind times and its drift.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import resources
from pathlib import Path

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from firstshot.errors import SoundError
from firstshot.live.clips.record import SOUND, base_of, read_record, with_end
from firstshot.live.clock import utc_text
from firstshot.live.history.drift import Week, bank_quantiles, tell_drift, weekly_quantiles
from firstshot.live.history.plot import plot_history
from firstshot.live.history.read import MachineHistory, PastDays
from firstshot.live.messages import EventReport
from firstshot.report.examples import EXAMPLE_RATE, ExampleView, example_view
from firstshot.report.page import fill_template, has_mark
from firstshot.results import Example
from firstshot.sound.audio import load_waveform

MARK = "firstshot watch report"
MOST_ALARMS = 20
"""Alarms with player and spectrogram, for each machine; about 0.1 MB each."""
MOST_BLIND = 100


@dataclass(frozen=True)
class EventView:
    """An event as the page shows it."""

    event: EventReport
    started: str
    lasted: str
    view: ExampleView | None = None
    words: str = ""
    note: str = ""


@dataclass(frozen=True)
class MachineView:
    """A machine as the page shows it."""

    anchor: str
    name: str
    summary: str
    plot: Markup | None
    alarms: list[EventView]
    left_out: int
    blind: list[EventView]
    blind_left_out: int
    drift: str
    weeks: list[Week]


def is_history_page(path: Path) -> bool:
    """Return whether a file is a page of past days."""
    return has_mark(path, MARK)


def render_history(
    past: PastDays,
    title: str,
    clips: Path,
    bank_scores: Mapping[str, NDArray[np.float64]] | None = None,
) -> str:
    """Return the page.

    Parameters
    ----------
    past : PastDays
        With one machine or more.
    title : str
        The page's heading.
    clips : Path
        The folder of clips; it may be missing.
    bank_scores : mapping of str to float64 (clips,), optional
        Held-out scores of the learned clips, by machine.
    """
    names = sorted(past.machines)
    template = resources.files("firstshot.live.history").joinpath("history.html.jinja")
    views = [
        _machine_view(past, past.machines[name], f"machine-{number}", clips, bank_scores or {})
        for number, name in enumerate(names, start=1)
    ]
    return fill_template(
        template.read_text(encoding="utf-8"),
        title=title,
        mark=MARK,
        first=_minute(past.first),
        last=_minute(past.last),
        alarms=sum(len(past.machines[name].of_kind("alarm")) for name in names),
        machines=views,
        unreadable=past.unreadable,
    )


def _machine_view(
    past: PastDays,
    machine: MachineHistory,
    anchor: str,
    clips: Path,
    bank_scores: Mapping[str, NDArray[np.float64]],
) -> MachineView:
    alarms, blind = machine.of_kind("alarm"), machine.of_kind("blind")
    scores = bank_scores.get(machine.name)
    bank = None if scores is None else bank_quantiles(scores)
    weeks = weekly_quantiles(machine)
    shown = past.first is not None and past.last is not None and machine.times.size > 0
    return MachineView(
        anchor=anchor,
        name=machine.name,
        summary=_summary(machine, past.last),
        plot=plot_history(machine, past.first, past.last) if shown else None,  # type: ignore[arg-type]
        alarms=[
            _alarm_view(event, clips, f"{anchor}-alarm-{number}")
            for number, event in enumerate(alarms[:MOST_ALARMS], start=1)
        ],
        left_out=max(0, len(alarms) - MOST_ALARMS),
        blind=[_event_view(event) for event in blind[:MOST_BLIND]],
        blind_left_out=max(0, len(blind) - MOST_BLIND),
        drift=tell_drift(weeks, bank),
        weeks=[*([bank] if bank else []), *weeks],
    )


def _summary(machine: MachineHistory, last: datetime | None) -> str:
    alarms, blind = machine.of_kind("alarm"), machine.of_kind("blind")
    seconds = sum(
        ((event.ended or last or event.started) - event.started).total_seconds() for event in blind
    )
    parts = [f"{machine.times.size} windows", f"{len(alarms)} alarm{_s(len(alarms))}"]
    if blind:
        lasted = _duration(timedelta(seconds=seconds))
        parts.append(f"{lasted} without usable sound, in {len(blind)} time{_s(len(blind))}")
    return f"{', '.join(parts)}."


def _event_view(event: EventReport) -> EventView:
    lasted = "" if event.ended is None else _duration(event.ended - event.started)
    return EventView(event, _second(event.started), lasted)


def _alarm_view(event: EventReport, clips: Path, anchor: str) -> EventView:
    """Return an alarm with its sound, or with the reason why there is none."""
    plain = _event_view(event)
    base = base_of(clips, event.machine, event.id)
    words = note = ""
    try:
        record = read_record(base)
        note = record.note
        explanation = record.explanation
        if isinstance(explanation, dict) and isinstance(explanation.get("words"), str):
            words = explanation["words"]
            words = f"{words[:1].upper()}{words[1:].rstrip('.')}."
        waveform = load_waveform(with_end(base, SOUND), EXAMPLE_RATE)
    except (OSError, ValueError, SoundError):
        note = "There is no clip of it (any more)."
        return EventView(event, plain.started, plain.lasted, None, words, note)
    return EventView(
        event, plain.started, plain.lasted, _sound_view(event, waveform, anchor), words, note
    )


def _sound_view(event: EventReport, waveform: NDArray[np.float32], anchor: str) -> ExampleView:
    example = Example(
        clip=event.id,
        domain="",
        label=None,
        score=event.peak if event.peak is not None else float("nan"),
        p_value=event.p_value if event.p_value is not None else float("nan"),
        waveform=waveform,
        sample_rate=EXAMPLE_RATE,
        nearest="",
        nearest_domain="",
        nearest_waveform=np.zeros(0, np.float32),
        bands=(),
        words="",
    )
    return example_view(example, anchor, True, event.threshold or float("nan"), "")


def _duration(length: timedelta) -> str:
    """Return a length as people say it.

    >>> _duration(timedelta(seconds=75)), _duration(timedelta(hours=26, minutes=5))
    ('1 min 15 s', '26 h 5 min')
    """
    seconds = round(length.total_seconds())
    units = {"h": seconds // 3600, "min": seconds // 60 % 60, "s": seconds % 60}
    some = [f"{number} {unit}" for unit, number in units.items() if number]
    return " ".join(some[:2]) or "0 s"


def _second(time: datetime) -> str:
    return utc_text(time)[:19].replace("T", " ")


def _minute(time: datetime | None) -> str:
    return "" if time is None else utc_text(time)[:16].replace("T", " ")


def _s(number: int) -> str:
    return "" if number == 1 else "s"
