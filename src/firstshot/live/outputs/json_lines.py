"""Messages as JSON lines: on standard output, and as a history of one file a day."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TextIO

from firstshot.errors import cannot_write
from firstshot.live.messages import Report
from firstshot.log import logger

MOST_WAITING = 10_000
HISTORY_DAYS = 90
DAY_FILES = "????-??-??.jsonl"


class JsonLines:
    """A thread writes messages to a stream; see `firstshot.live.outputs.protocol.Feed`.

    A reader that stops reading stops nothing else: messages wait in memory, and of more than
    MOST_WAITING the newest are dropped and counted. With `waits`, `show` waits for the reader
    instead, for sound that is judged as fast as it can be read.
    """

    def __init__(
        self, stream: TextIO, waits: bool = False, gone: Callable[[], object] = lambda: None
    ) -> None:
        """Prepare; `gone` is called once when the reader of the stream has left."""
        self.dropped = 0
        self._stream, self._waits, self._gone = stream, waits, gone
        self._queue: queue.Queue[str | None] = queue.Queue(MOST_WAITING)
        self._left = False
        self._thread = threading.Thread(target=self._write, name="JSON lines", daemon=True)

    def open(self) -> None:
        """Begin to write."""
        self._thread.start()

    def show(self, report: Report) -> None:
        """Take a message."""
        if self._left:
            return
        try:
            self._queue.put(json.dumps(report.as_json()), block=self._waits)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Write what waits, for five seconds at most."""
        if not self._thread.is_alive():
            return
        with suppress(queue.Full):
            self._queue.put(None, timeout=5)
            self._thread.join(5)

    def _write(self) -> None:
        while (line := self._queue.get()) is not None:
            if self._left:
                continue  # so that whoever waits for room goes on
            try:
                self._stream.write(line + "\n")
                self._stream.flush()
            except (OSError, ValueError):
                self._left = True
                self._gone()


class History:
    """A folder with one file of JSON lines a day (UTC); the oldest days are removed.

    `firstshot watch report` reads it.
    """

    def __init__(self, folder: Path, days: int = HISTORY_DAYS) -> None:
        """Prepare to write to a folder."""
        self.folder, self.days = folder, days
        self._stream: TextIO | None = None
        self._day = ""
        self._warned = False

    def open(self) -> None:
        """Make the folder; raises `OutputError` where it cannot be made."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def show(self, report: Report) -> None:
        """Append a message to the file of its day; a full disk is told once and stops nothing."""
        try:
            self._append(report)
            self._warned = False
        except OSError as error:
            self.close()
            if not self._warned:
                logger.warning("%s; the history has a gap", cannot_write(self.folder, error))
            self._warned = True

    def close(self) -> None:
        """Close the file."""
        stream, self._stream, self._day = self._stream, None, ""
        with suppress(OSError):
            if stream is not None:
                stream.close()

    def _append(self, report: Report) -> None:
        day = f"{report.time:%Y-%m-%d}"
        if day != self._day:
            self.close()
            path = self.folder / f"{day}.jsonl"
            is_cut = path.exists() and path.stat().st_size and not _ends_whole(path)
            self._stream = path.open("a", encoding="utf-8", buffering=1)
            self._day = day
            if is_cut:
                self._stream.write("\n")
            self._remove_old(report)
        if self._stream is not None:
            self._stream.write(json.dumps(report.as_json()) + "\n")

    def _remove_old(self, report: Report) -> None:
        oldest = f"{report.time - timedelta(days=self.days):%Y-%m-%d}.jsonl"
        for path in self.folder.glob(DAY_FILES):
            if path.name < oldest:
                path.unlink(missing_ok=True)


def _ends_whole(path: Path) -> bool:
    """Return whether no kill has cut the last line."""
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"
