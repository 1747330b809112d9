"""What is known of a clip: a JSON file beside its sound.

It is there before the first sample, so that what a kill leaves of a recording can be made a clip.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from firstshot.disk.documents import read_json
from firstshot.disk.files import write_result
from firstshot.live.messages import EventReport, read_event
from firstshot.live.records import from_plain, to_plain

SCHEMA = 1
SOUND, RAW, RECORD = ".flac", ".raw", ".json"


@dataclass
class Gap:
    """Sound is missing at a moment of a clip; what follows was heard at `time`."""

    seconds: float
    time: datetime


@dataclass
class ClipRecord:
    """One clip.

    Attributes
    ----------
    event : dict
        The event's latest message: score, threshold, p-value, detector, times.
    started : datetime
        When the clip's first sample was heard, UTC.
    rate, channels, samples : int
        Of the clip; `samples` is None until it is complete.
    gaps : list of Gap
        Where sound is missing.
    explanation : dict or None
        Why the event's first window sounds unlike normal.
    locked : bool
        Whether it is never removed.
    note : str
        Why the clip is shorter than the event, "" where it is not.
    """

    event: Any
    started: datetime
    rate: int
    channels: int
    samples: int | None = None
    gaps: list[Gap] = field(default_factory=list)
    explanation: Any = None
    locked: bool = False
    note: str = ""

    @property
    def report(self) -> EventReport:
        """The event's latest message; raises ValueError where the file was changed."""
        report = read_event(self.event)
        if not isinstance(report, EventReport):
            raise ValueError("its event is a change of state")
        return report

    @property
    def ended(self) -> datetime | None:
        """When the last sample was heard, if nothing is missing; None until it is complete."""
        if self.samples is None:
            return None
        return self.started + timedelta(seconds=self.samples / self.rate)


def base_of(folder: Path, machine: str, event: str) -> Path:
    """Return the path of a clip's files, without their endings.

    >>> base_of(Path("clips"), "fan 3/left", "fan 3/left-alarm-20260301T120000.000Z").as_posix()
    'clips/fan%203%2Fleft/fan%203%2Fleft-alarm-20260301T120000.000Z'
    """
    return folder / _file_name(machine) / _file_name(event)


def _file_name(text: str) -> str:
    name = quote(text, safe=" ").replace(" ", "%20")
    return name.replace(".", "%2E", 1) if name.startswith(".") else name


def with_end(base: Path, end: str) -> Path:
    """Return one of a clip's files; the name may have a dot in it.

    >>> with_end(Path("fan-20260301T120000.000Z"), ".flac").name
    'fan-20260301T120000.000Z.flac'
    """
    return base.with_name(base.name + end)


def write_record(base: Path, record: ClipRecord) -> None:
    """Write a clip's JSON; raises `OutputError` where the disk does not take it."""
    text = json.dumps({"schema": SCHEMA, **to_plain(record)}, indent=1)
    write_result(with_end(base, RECORD), text + "\n")


def read_record(base: Path) -> ClipRecord:
    """Return what is known of a clip; raises `OSError`, or ValueError for a damaged file."""
    values = read_json(with_end(base, RECORD))
    if not isinstance(values, dict) or values.pop("schema", None) != SCHEMA:
        raise ValueError(f"it is no clip's record of schema {SCHEMA}")
    record = from_plain(ClipRecord, values)
    _ = record.report
    return record


def records_in(folder: Path) -> list[Path]:
    """Return the paths, without endings, of all clips and recordings in a folder."""
    found = [path for path in folder.glob(f"*/*{RECORD}") if not path.name.startswith(".")]
    return sorted(path.with_name(path.name.removesuffix(RECORD)) for path in found)


def size_of(base: Path) -> int:
    """Return the bytes of a clip's files."""
    total = 0
    for end in (SOUND, RAW, RECORD):
        with suppress(FileNotFoundError):
            total += with_end(base, end).stat().st_size
    return total


def is_locked(base: Path) -> bool:
    """Return whether a clip's record says that it stays."""
    try:
        return read_record(base).locked
    except (OSError, ValueError):
        return False
