"""Messages wait on disk until they have arrived, in order, each once, through any kill.

Input: messages with keys. Output: the waiting ones, oldest first. The file is a log of JSON lines
that only grows: one line puts a message in, one tells that it is done. A line that a kill has cut
is dropped when the file is opened. A key that was put in before is not put in again, even if its
message is done: the log keeps the latest done keys when it is written anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from firstshot.disk.documents import Table, parse_json
from firstshot.disk.files import write_result
from firstshot.errors import cannot_write, warn
from firstshot.live.clock import read_utc, utc_text
from firstshot.live.messages import EventReport, StateReport, read_event
from firstshot.live.outputs.protocol import key_of

DONE_KEPT = 1000
"""Done keys that a file keeps, to know a message that comes again."""
MOST_WAITING = 10_000
"""Messages; of more than that, the oldest are given up."""
_LINES = 4 * DONE_KEPT


@dataclass(frozen=True)
class Waiting:
    """A message that has not arrived yet, and when it was put in."""

    key: str
    time: datetime
    report: EventReport | StateReport


class Outbox:
    """The waiting messages of one output; its methods are called under one lock."""

    def __init__(self, path: Path) -> None:
        """Read what waits in a file; it is made by the first message.

        Raises
        ------
        OutputError
            The file cannot be read or written.
        """
        self.path = path
        self._waiting: dict[str, Waiting] = {}
        self._done: dict[str, datetime] = {}
        self._last_sent: dict[str, datetime] = {}
        self._lines = 0
        self._file: int | None = None
        try:
            self._read()
        except OSError as error:
            raise cannot_write(path, error) from error

    def put(self, report: EventReport | StateReport, time: datetime) -> bool:
        """Keep a message until `done` is told; False if its key is known already.

        Raises
        ------
        OutputError
            The disk does not take it; it waits in memory nevertheless.
        """
        key = key_of(report)
        if key in self._waiting or key in self._done:
            return False
        if len(self._waiting) >= MOST_WAITING:
            self.done([next(iter(self._waiting))], time)
        self._waiting[key] = Waiting(key, time, report)
        self._append({"put": key, "time": utc_text(time), "report": report.as_json()})
        return True

    def done(self, keys: Iterable[str], time: datetime, pause: str | None = None) -> None:
        """Forget messages that have arrived or are given up.

        Parameters
        ----------
        keys : iterable of str
            The keys of the messages.
        time : datetime
            UTC.
        pause : str, optional
            Which pause begins; `last_sent` returns the latest time of each.

        Raises
        ------
        OutputError
            The disk does not take it; a restart would deliver the messages again.
        """
        keys = list(keys)
        self._mark_done(keys, time, pause)
        self._append({"done": keys, "time": utc_text(time), "pause": pause})

    def waiting(self) -> list[Waiting]:
        """Return the waiting messages, oldest first."""
        return list(self._waiting.values())

    def last_sent(self) -> dict[str, datetime]:
        """Return the latest time of each pause that `done` was given."""
        return dict(self._last_sent)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _append(self, line: dict[str, Any]) -> None:
        if self._lines > _LINES + 2 * len(self._waiting):
            self._write_anew()
        data = json.dumps(line).encode() + b"\n"
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            end = os.fstat(self._file).st_size
            try:
                _write_whole(self._file, data)
                os.fsync(self._file)
            except OSError:
                os.ftruncate(self._file, end)  # half a line would spoil the next one
                raise
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self._lines += 1

    def _write_anew(self) -> None:
        """Write the file without what is done long ago."""
        self._done = dict(list(self._done.items())[-DONE_KEPT:])
        lines: list[dict[str, Any]] = [
            {"done": [key], "time": utc_text(time), "pause": None}
            for key, time in self._done.items()
        ]
        lines += [
            {"done": [], "time": utc_text(time), "pause": pause}
            for pause, time in list(self._last_sent.items())[-DONE_KEPT:]
        ]
        lines += [
            {"put": item.key, "time": utc_text(item.time), "report": item.report.as_json()}
            for item in self._waiting.values()
        ]
        self.close()
        write_result(self.path, "".join(json.dumps(line) + "\n" for line in lines))
        self._lines = len(lines)

    def _read(self) -> None:
        if not self.path.exists():
            return
        data = self.path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        unread = 0
        for line in whole.splitlines():
            try:
                self._take(Table.of(parse_json(line)))
            except ValueError:
                unread += 1
        self._lines = whole.count(b"\n")
        if len(whole) < len(data):
            os.truncate(self.path, len(whole))
        if unread:
            warn(f"{self.path}: {unread} lines cannot be read and are passed over")

    def _take(self, line: Table) -> None:
        time = read_utc(line.text("time"))
        if "put" in line:
            key = line.text("put")
            self._waiting[key] = Waiting(key, time, read_event(line.table("report").values))
            return
        keys = [key for key in line.items("done") if isinstance(key, str)]
        self._mark_done(keys, time, line.text("pause") if "pause" in line else None)

    def _mark_done(self, keys: list[str], time: datetime, pause: str | None) -> None:
        for key in keys:
            self._waiting.pop(key, None)
            self._done[key] = time
        if pause is not None:
            self._last_sent.pop(pause, None)
            self._last_sent[pause] = time


def _write_whole(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]
