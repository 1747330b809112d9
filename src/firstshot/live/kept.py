"""A machine's state on disk: a restart neither forgets nor repeats.

One file per machine, replaced whole or not at all. What is to be told is written into it before it
is told, so a process that is killed in between tells it after the restart; outputs know a message
that they have had by its key. Every finished commissioning is a file of its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from firstshot.disk.documents import read_json
from firstshot.disk.files import write_result
from firstshot.errors import OutputError, warn
from firstshot.live.judging.commissioning import Commissioning, Place
from firstshot.live.judging.events import EventBook
from firstshot.live.judging.states import Known
from firstshot.live.messages import EventReport, StateReport, read_event
from firstshot.live.records import from_plain, to_plain

SCHEMA = 1
STATE = "state.json"


@dataclass
class Kept:
    """What is kept of one machine.

    Attributes
    ----------
    machine : str
        Its name.
    detector, hop_seconds : str, float
        What its threshold belongs to: the SHA-256 of the detector's file, and the hop.
    place : Place
        What was heard for commissioning.
    known : Known
        Its state.
    alarms, blinds : EventBook
        Open events.
    sample_rate : int or None
        The source's rate in Hz, once it is known.
    last : datetime or None
        The end of the last sound, UTC.
    position : str
        How far a source has come that can go on, such as a folder.
    telling : list
        Messages that were to be told when this was written, as JSON.
    """

    machine: str
    detector: str
    hop_seconds: float
    place: Place
    known: Known
    alarms: EventBook
    blinds: EventBook
    sample_rate: int | None = None
    last: datetime | None = None
    position: str = ""
    telling: list[Any] = field(default_factory=list)

    @classmethod
    def new(cls, machine: str) -> Kept:
        """Return the state of a machine that was never heard."""
        books = EventBook(machine, "alarm"), EventBook(machine, "blind")
        return cls(machine, "", 0.0, Place(), Known(), *books)

    def use(self, detector: str, hop_seconds: float) -> None:
        """Take a detector and a hop; a threshold of others is learned anew."""
        if (self.detector, self.hop_seconds) == (detector, hop_seconds):
            return
        if self.place.windows:
            self.place = Place(version=self.place.version + 1)
            warn(
                f"{self.machine}: its threshold belongs to another detector or hop; this place is "
                "learned anew"
            )
        self.known.alarm_threshold = None
        self.detector, self.hop_seconds = detector, hop_seconds

    def reports(self) -> list[EventReport | StateReport]:
        """Return the messages that were to be told."""
        return [read_event(one) for one in self.telling]


class StateFolder:
    """The folder of one machine's state; without a folder nothing is kept.

    Raises
    ------
    OutputError
        It cannot be written to.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def load(self, machine: str) -> Kept:
        """Return the state of a machine; a file that cannot be read is put aside with a warning."""
        return self._read(machine) or Kept.new(machine)

    def save(self, kept: Kept) -> None:
        """Write the state; raises OutputError where the disk does not take it."""
        if self.folder is not None:
            text = json.dumps({"schema": SCHEMA, **to_plain(kept)})
            write_result(self.folder / STATE, text)

    def record(self, kept: Kept, commissioning: Commissioning) -> None:
        """Write what a finished commissioning rests on, for people: commissioning-1.json, ..."""
        if self.folder is None:
            return
        place = kept.place
        values = {
            "schema": SCHEMA,
            "machine": kept.machine,
            "detector": kept.detector,
            "hop_seconds": kept.hop_seconds,
            "false_alarms_days": commissioning.days,
            "threshold": commissioning.threshold,
            "threshold_kind": commissioning.kind,
            "promise": commissioning.sentence(),
            **to_plain(place),
        }
        path = self.folder / f"commissioning-{place.version}.json"
        write_result(path, json.dumps(values, indent=1))

    def _read(self, machine: str) -> Kept | None:
        if self.folder is None:
            return None
        path = self.folder / STATE
        try:
            values = read_json(path)
            schema = values.pop("schema", None) if isinstance(values, dict) else None
            if schema != SCHEMA:
                raise ValueError(f"its schema is {schema}, expected {SCHEMA}")
            kept = from_plain(Kept, values)
            if kept.machine != machine:
                raise ValueError(f"it is of the machine {kept.machine[:40]!r}")
            kept.reports()
            return kept
        except FileNotFoundError:
            return None
        except OSError as error:
            raise OutputError(f"{path}: cannot be read ({error.strerror})") from error
        except ValueError as error:
            aside = path.with_name(f"{STATE}.damaged")
            path.replace(aside)
            warn(f"{path}: {error}; it is kept as {aside.name}, and the place is learned anew")
            return None
