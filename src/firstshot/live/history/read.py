"""A folder of daily JSON lines becomes arrays of windows, and events.

Input: what `firstshot.live.outputs.json_lines.History` has written. Output: a `MachineHistory` for
each machine. A line that cannot be read is passed over and counted.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.errors import DatasetError, advice_on
from firstshot.live.clock import read_utc
from firstshot.live.messages import EventReport, State, read_event
from firstshot.live.outputs.json_lines import DAY_FILES

QUIET_STATES = frozenset({State.learning, State.normal, State.suspicious})
"""States whose windows count as normal sound."""
_NUMBERS = ("score", "ranked", "threshold", "level_dbfs")
_STATES = list(State)


@dataclass
class MachineHistory:
    """One machine's past.

    Attributes
    ----------
    name : str
        The machine's name.
    events : dict of str to EventReport
        The latest message of each event, by id.
    """

    name: str
    events: dict[str, EventReport] = field(default_factory=dict)
    _times: array[float] = field(default_factory=lambda: array("d"))
    _numbers: array[float] = field(default_factory=lambda: array("f"))
    _states: bytearray = field(default_factory=bytearray)

    @cached_property
    def times(self) -> NDArray[np.float64]:
        """The ends of the windows in seconds since 1970, (windows,)."""
        return np.frombuffer(self._times, np.float64)

    def numbers(self, name: str) -> NDArray[np.float32]:
        """Return "score", "ranked", "threshold" or "level_dbfs" of the windows; NaN where none."""
        return np.frombuffer(self._numbers, np.float32).reshape(-1, 4)[:, _NUMBERS.index(name)]

    @property
    def quiet(self) -> NDArray[np.bool_]:
        """Which windows count as normal sound, (windows,)."""
        wanted = [_STATES.index(state) for state in QUIET_STATES]
        return np.isin(np.frombuffer(self._states, np.uint8), wanted)

    def of_kind(self, kind: str) -> list[EventReport]:
        """Return the events of one kind, the latest first."""
        found = [event for event in self.events.values() if event.kind == kind]
        return sorted(found, key=lambda event: event.started, reverse=True)

    def add_window(self, values: dict[str, Any]) -> None:
        """Take a window as it is in a file; raises ValueError, KeyError or TypeError."""
        time = read_utc(values["time"]).timestamp()
        state = _STATES.index(State(values["state"]))
        numbers = [_float(values.get(name)) for name in _NUMBERS]
        self._times.append(time)
        self._numbers.extend(numbers)
        self._states.append(state)


@dataclass
class PastDays:
    """All machines of a folder, the first and last moment, and how many lines are unreadable."""

    machines: dict[str, MachineHistory] = field(default_factory=dict)
    first: datetime | None = None
    last: datetime | None = None
    unreadable: int = 0


def read_history(folder: Path, days: int | None = None) -> PastDays:
    """Read a history.

    Parameters
    ----------
    folder : Path
        With one file a day.
    days : int, optional
        The latest days that have a file; None reads all.

    Raises
    ------
    DatasetError
        There is no history in the folder, or a file cannot be read.
    """
    files = sorted(folder.glob(DAY_FILES))[-(days or 0) :]
    if not files:
        raise DatasetError(
            f"{folder}: holds no history of a watched machine (files such as 2026-03-01.jsonl); "
            "name the folder that was given to `firstshot watch --state`"
        )
    past = PastDays()
    for path in files:
        try:
            for line in _lines(path):
                _take(past, line)
        except OSError as error:
            reason = error.strerror or error
            raise DatasetError(f"{path}: cannot be read ({reason}); {advice_on(error)}") from error
    return past


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file


def _take(past: PastDays, line: bytes) -> None:
    try:
        values = json.loads(line)
        kind, name = values["type"], values["machine"]
        if not isinstance(name, str) or values["schema"] != 1:
            raise ValueError("another schema")
        machine = past.machines.get(name) or MachineHistory(name)
        if kind == "window":
            machine.add_window(values)
            _span(past, read_utc(values["time"]))
        elif kind == "event":
            event = read_event(values)
            if isinstance(event, EventReport):
                machine.events[event.id] = event
                _span(past, event.time)
        past.machines[name] = machine
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        past.unreadable += bool(line.strip())


def _span(past: PastDays, time: datetime) -> None:
    past.first = time if past.first is None else min(past.first, time)
    past.last = time if past.last is None else max(past.last, time)


def _float(value: Any) -> float:
    return float("nan") if value is None else float(value)
