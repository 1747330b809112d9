"""A folder that a recorder fills: each file once, when it is whole, ordered by time.

A file is whole when it has not changed for a while; one whose header says that it is not finished
gets more time, since some recorders never finish it. Between two files is a cut, and after a long
pause a gap. The place is kept over restarts, to the sample: nothing is judged twice.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from firstshot.errors import DatasetError, SoundError
from firstshot.live.sources.protocol import Chunk
from firstshot.live.sources.reading import is_ffmpeg_installed, is_unfinished, read_chunks
from firstshot.log import logger
from firstshot.messages import shown
from firstshot.numbers import read_whole
from firstshot.sound.audio_kinds import AUDIO_SUFFIXES, UNREAD_SUFFIXES

SETTLED = 3.0
"""Seconds without a change after which a file is whole."""
UNFINISHED_SETTLED = 30.0
"""The same where the header says that the file is still being written."""
LOOK_EVERY = 1.0
LOOK_SHARE = 20
"""Looking into a folder takes at most one part in so many of the time."""
PATIENCE = 900.0


@dataclass(frozen=True, order=True)
class _File:
    """A file, ordered by the time of its last change."""

    changed: int
    name: str
    size: int

    def position(self, samples: int | None = None) -> str:
        """Return the place after so many samples of the file; None is its end."""
        return f"{self.changed} {'end' if samples is None else samples} {self.name}"


class FolderSource:
    """The files of a folder, those that come included.

    Parameters
    ----------
    folder : Path
        Its sub-folders are not looked into.
    position : str
        Where it stopped before a restart.
    patience : float
        Seconds without a new file after which the machine counts as blind.
    """

    can_reopen = False

    def __init__(self, folder: Path, position: str = "", patience: float = PATIENCE) -> None:
        self.name = str(folder)
        self.position = position
        self.patience: float | None = patience
        self._folder = folder
        self._seen: dict[str, tuple[_File, float]] = {}
        self._chunks: Iterator[Chunk] = iter(())
        self._current: _File | None = None
        self._ended: datetime | None = None
        self._look_at = 0.0

    def open(self) -> None:
        """Begin.

        Raises
        ------
        DatasetError
            There is no such folder.
        """
        if not self._folder.is_dir():
            raise DatasetError(f"{self._folder}: no such folder; name one that a recorder fills")

    def read(self, seconds: float) -> Chunk | None:
        """Return the next chunk of the file that is due, None where no file is whole."""
        end = time.monotonic() + seconds
        while True:
            if (chunk := self._next_chunk()) is not None:
                return chunk
            if (file := self._next_file()) is not None:
                self._current, self._chunks = file, self._read(file)
            elif (wait := min(self._look_at, end) - time.monotonic()) > 0:
                time.sleep(wait)
            if time.monotonic() >= end and self._current is None:
                return None

    def close(self) -> None:
        """Let go of the file that is read."""
        self._chunks, self._current = iter(()), None

    def _next_chunk(self) -> Chunk | None:
        if self._current is None:
            return None
        try:
            chunk = next(self._chunks, None)
        except (SoundError, OSError) as error:
            logger.warning("%s is passed over: %s", self._current.name, shown(error))
            chunk = None
        if chunk is None:
            self.position = self._current.position()
            self._seen.pop(self._current.name, None)
            self._current = None
        return chunk

    def _read(self, file: _File) -> Iterator[Chunk]:
        """Yield a file's chunks, the first one with what lies before it."""
        path, first = self._folder / file.name, True
        passed, taken = self._taken_of(file), 0
        for chunk in read_chunks(path):
            taken += len(chunk.samples)
            if taken <= passed:
                continue
            if first and chunk.time is not None:
                begun = chunk.time - timedelta(seconds=len(chunk.samples) / chunk.rate)
                pause = timedelta(seconds=self.patience or PATIENCE)
                gap = self._ended is None or begun - self._ended > pause
                chunk = replace(chunk, before="gap" if gap else "cut")
                first = False
            self._ended = chunk.time
            self.position = file.position(taken)
            yield chunk

    def _taken_of(self, file: _File) -> int:
        """Return how many samples of a file were taken before a restart."""
        changed, samples, name = _read_position(self.position)
        return (
            samples if samples is not None and (changed, name) == (file.changed, file.name) else 0
        )

    def _next_file(self) -> _File | None:
        """Return the oldest file that was not taken, if it is whole; the others wait for it."""
        now = time.monotonic()
        if now < self._look_at:
            return None
        files = self._list()
        self._look_at = now + max(LOOK_EVERY, LOOK_SHARE * (time.monotonic() - now))
        self._seen = {
            file.name: self._seen[file.name]
            if file.name in self._seen and self._seen[file.name][0] == file
            else (file, now)
            for file in files
        }
        if not files:
            return None
        oldest = files[0]
        since = now - self._seen[oldest.name][1]
        age = datetime.now(UTC).timestamp() - oldest.changed / 1e9
        needed = UNFINISHED_SETTLED if self._is_unfinished(oldest) else SETTLED
        if max(since, age) < needed:
            return None
        self._look_at = now  # the next one may be whole too
        return oldest

    def _list(self) -> list[_File]:
        """Return the sound files that come after the position, oldest first."""
        kinds = AUDIO_SUFFIXES | UNREAD_SUFFIXES if is_ffmpeg_installed() else AUDIO_SUFFIXES
        found = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name[0] == "." or Path(entry.name).suffix.lower() not in kinds:
                    continue
                try:
                    state = entry.stat()
                except OSError:
                    continue  # it was removed or renamed meanwhile
                file = _File(state.st_mtime_ns, entry.name, state.st_size)
                if entry.is_file() and _is_after(file, self.position):
                    found.append(file)
        return sorted(found)

    def _is_unfinished(self, file: _File) -> bool:
        """Tell whether a header says that the file is not finished, or says nothing yet."""
        return not file.size or is_unfinished(self._folder / file.name)


def _is_after(file: _File, position: str) -> bool:
    changed, samples, name = _read_position(position)
    there = (changed, name)
    return (file.changed, file.name) > there or (
        samples is not None and (file.changed, file.name) == there
    )


def _read_position(position: str) -> tuple[int, int | None, str]:
    """Return time, samples and name of `_File.position`; "" is before all files."""
    changed, samples, name = [*position.split(" ", 2), "", "", ""][:3]
    try:
        return int(changed or 0), read_whole(samples), name
    except ValueError:  # it was not written here
        return 0, None, ""
