"""What is watched, and how: one TOML file for all machines, or the options of the command line.

Input: a file. Output: `WatchSettings`, every field checked; nothing is opened yet. Paths in the
file are relative to its folder. `${NAME}` in an input stands for an environment variable: no
password of a camera has to be in the file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from firstshot.disk.documents import Table, read_toml
from firstshot.errors import ParameterError, advice_on
from firstshot.live.clips.settings import ClipSettings, read_clips
from firstshot.live.judging.commissioning import DEFAULT_DAYS, LEAST_HOURS
from firstshot.live.machine import Rules
from firstshot.live.outputs.json_lines import HISTORY_DAYS
from firstshot.live.outputs.settings import OutputSettings, read_outputs
from firstshot.live.sources import KINDS, Sound, make_source
from firstshot.live.sources.pcm import FORMATS

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
NAME_EXPECTED = "1 to 40 letters, digits, - and _"
MOST_DAYS, MOST_HOURS = 3650.0, 24.0 * 30
_TOP = ("state", "machines", "outputs", "clips", "history_days")
_MACHINE = (
    "name", "detector", "input", "every", "window", "false_alarms_days", "commission_hours",
    "shadow", "rate", "channels", "sample_format", "blind_after",
)  # fmt: skip
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True)
class MachineSettings:
    """One machine: its detector, its source, and how it is judged.

    Attributes
    ----------
    name : str
        In messages and file names.
    detector, shadow : Path, Path or None
        Files of `firstshot fit` or folders of `firstshot export`.
    input : str
        The source, as `make_source` takes it.
    sound : Sound
        What the source cannot know.
    window_seconds : float or None
        The length of a window, for detectors of old files.
    rules : Rules
        How it is judged.
    """

    name: str
    detector: Path
    input: str = field(repr=False)
    sound: Sound = Sound()  # noqa: RUF009
    window_seconds: float | None = None
    rules: Rules = Rules()  # noqa: RUF009
    shadow: Path | None = None


@dataclass(frozen=True)
class WatchSettings:
    """All that is watched by one process.

    Attributes
    ----------
    machines : tuple of MachineSettings
        One at least, each with a name of its own.
    state : Path or None
        The folder of all that is kept; None keeps nothing.
    outputs : tuple of OutputSettings
        Where messages go.
    clips : ClipSettings or None
        How clips of alarms are recorded; None records none.
    history_days : int
        How long the history of windows is kept.
    """

    machines: tuple[MachineSettings, ...]
    state: Path | None = None
    outputs: tuple[OutputSettings, ...] = ()
    clips: ClipSettings | None = None
    history_days: int = HISTORY_DAYS


def read_config(path: Path) -> WatchSettings:
    """Read a configuration.

    Raises
    ------
    ParameterError
        The file cannot be read, or a field is missing, not known or wrong.
    """
    try:
        table = Table.of(read_toml(path)).only(_TOP)
        machines = tuple(
            _read_machine(Table.of(values, f"machines[{i}]"), path.parent)
            for i, values in enumerate(table.items("machines"))
        )
        check_machines(machines)
        outputs = read_outputs(table.items("outputs")) if "outputs" in table else ()
        state = _path(table, "state", path.parent)
        if state is None:
            raise ValueError("state is missing; name the folder where everything is kept")
        clips = read_clips(table.table("clips"), path.parent) if "clips" in table else None
        days = table.whole("history_days", 1, 36500) if "history_days" in table else HISTORY_DAYS
        return WatchSettings(machines, state, tuple(outputs), clips, days)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ParameterError(f"{path}: cannot be read ({reason}); {advice_on(error)}") from error
    except ValueError as error:
        raise ParameterError(f"{path}: {error}") from error


def check_machines(machines: Sequence[MachineSettings]) -> None:
    """Raise ValueError where there is no machine, or two share a name or what only one can read."""
    if not machines:
        raise ValueError("machines: none; describe one in [[machines]]")
    for what in ("name", "input"):
        values = [getattr(one, what) for one in machines]
        single = [value for value in values if what == "name" or value in ("stdin", "mic")]
        twice = [value for value in single if values.count(value) > 1]
        if twice:
            raise ValueError(f"machines: two have the {what} {twice[0]!r}; each needs its own")


def _read_machine(table: Table, folder: Path) -> MachineSettings:
    table.only(_MACHINE)
    name = table.line("name")
    if not NAME.fullmatch(name):
        raise ValueError(f"{table.place}.name is {name!r}, expected {NAME_EXPECTED}")
    detector = _path(table, "detector", folder)
    if detector is None:
        raise ValueError(f"{table.place}.detector is missing")
    settings = MachineSettings(
        name=name,
        detector=detector,
        input=_input(table, folder),
        sound=_read_sound(table),
        window_seconds=_number(table, "window", 0.1, 3600),
        rules=Rules(
            _number(table, "every", 0.01, 3600),
            _number(table, "false_alarms_days", 0.01, MOST_DAYS) or DEFAULT_DAYS,
            _number(table, "commission_hours", LEAST_HOURS, MOST_HOURS) or LEAST_HOURS,
        ),
        shadow=_path(table, "shadow", folder),
    )
    try:
        make_source(settings.input, settings.sound)
    except ParameterError as error:
        raise ValueError(f"{table.place}: {error}") from error
    return settings


def _read_sound(table: Table) -> Sound:
    return Sound(
        rate=table.whole("rate", 100, 1_000_000) if "rate" in table else None,
        channels=table.whole("channels", 1, 64) if "channels" in table else None,
        sample_format=(
            table.choice("sample_format", tuple(FORMATS)) if "sample_format" in table else "s16le"
        ),
        patience=_number(table, "blind_after", 5, 7 * 86400),
    )


def _input(table: Table, folder: Path) -> str:
    """Return the input, variables put in and its path made absolute."""
    text = table.line("input", 1000)
    for name in _VARIABLE.findall(text):
        if name not in os.environ:
            raise ValueError(f"{table.place}.input: the environment variable {name} is not set")
    text = _VARIABLE.sub(lambda match: os.environ[match[1]], text)
    kind, _, rest = text.partition(":")
    if kind in ("folder", "file") and rest:
        return f"{kind}:{folder / rest}"
    return text


def _path(table: Table, name: str, folder: Path) -> Path | None:
    return folder / table.line(name, 1000) if name in table else None


def _number(table: Table, name: str, low: float, high: float) -> float | None:
    return table.number(name, low, high) if name in table else None


def single_machine(values: dict[str, Any]) -> MachineSettings:
    """Return the machine that command-line options describe: fields as in a file.

    Raises
    ------
    ParameterError
        A value cannot be used.
    """
    given = {name: value for name, value in values.items() if value is not None}
    fast = given.pop("fast", False)
    try:
        machine = _read_machine(Table(given, ""), Path())
    except ValueError as error:
        raise ParameterError(str(error).lstrip(".")) from error
    return replace(machine, sound=replace(machine.sound, fast=fast))


__all__ = ["KINDS", "MachineSettings", "WatchSettings", "read_config", "single_machine"]
