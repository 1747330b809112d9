"""The folder of all clips: what is recorded, what is kept, and what was removed and why.

Several machines record into it at once; one process at a time uses it. A recording is a file of raw
samples until it is complete, so that a kill leaves all of it but the last moment. `removed.jsonl`
tells of each clip that was removed.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from firstshot.disk.drafts import clear_leftovers
from firstshot.disk.files import write_result
from firstshot.errors import FirstshotError, OutputError, cannot_write, warn
from firstshot.live.clips.encode import SAMPLE, encode
from firstshot.live.clips.record import (
    RAW,
    RECORD,
    SOUND,
    ClipRecord,
    is_locked,
    read_record,
    records_in,
    size_of,
    with_end,
    write_record,
)
from firstshot.live.clips.retention import KeptClip, Limits, Removal, to_remove
from firstshot.live.clock import Clock, utc_text
from firstshot.log import logger

REMOVED = "removed.jsonl"
_REMOVED_LINES = 1000
_BESIDE = 1 << 16
"""Bytes held free for the JSON files of a recording and the list of removed clips."""


@dataclass
class Recording:
    """A recording that goes on: raw samples in a file, and what is known of them."""

    base: Path
    record: ClipRecord
    file: BinaryIO | None = None
    samples: int = 0

    @property
    def seconds(self) -> float:
        """The length so far."""
        return self.samples / self.record.rate

    def needs(self, more_samples: int = 0) -> int:
        """Return the bytes that its FLAC file may take: 24 bits a sample, and a little more."""
        values = (self.samples + more_samples) * self.record.channels
        return values * 3 + values // 64 + _BESIDE


class ClipFolder:
    """Keeps clips within limits; its methods may be called by several threads."""

    def __init__(self, folder: Path, limits: Limits, clock: Clock) -> None:
        """Open a folder; what a kill has left of recordings becomes clips.

        Raises
        ------
        OutputError
            It cannot be made or written to.
        """
        self.folder, self.limits, self._clock = folder, limits, clock
        self._lock = threading.RLock()
        self._recordings: dict[Path, Recording] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for of_machine in folder.iterdir():
                clear_leftovers(of_machine)
            self._clips = {clip.base: clip for clip in find_clips(folder)}
            self._used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            self._recover()
        except OSError as error:
            raise cannot_write(folder, error) from error
        self.tidy()

    @property
    def used(self) -> int:
        """Bytes of all files."""
        return self._used

    def begin(self, base: Path, record: ClipRecord) -> Recording:
        """Begin a recording; raises `OutputError`."""
        recording = Recording(base, record)
        with self._lock, _one_line(base):
            self._make_room(recording, 0)
            with self._counted(base):
                write_record(base, record)
                recording.file = with_end(base, RAW).open("wb")
            self._recordings[base] = recording
        return recording

    def append(self, recording: Recording, samples: NDArray[np.float32]) -> None:
        """Add samples, (samples, channels), to a recording; raises `OutputError`."""
        data = np.ascontiguousarray(samples, SAMPLE)
        with self._lock, _one_line(recording.base):
            self._make_room(recording, len(data))
            if recording.file is not None:
                with self._counted(recording.base):
                    recording.file.write(data.tobytes())
                    recording.file.flush()
            recording.samples += len(data)

    def finish(self, recording: Recording) -> None:
        """Make a recording a clip; raises `OutputError`, and then a restart tries it again."""
        try:
            with _one_line(recording.base):
                if recording.file is not None:
                    recording.file.close()
                self._finish(recording.base, recording.record)
        finally:
            with self._lock:
                self._recordings.pop(recording.base, None)
        self.tidy()

    def update(self, base: Path, record: ClipRecord) -> None:
        """Write what is known of a clip anew; raises `OutputError`."""
        with self._counted(base):
            write_record(base, record)

    def tidy(self) -> None:
        """Remove what is too old or too much."""
        with self._lock:
            self._remove(0)

    def _make_room(self, recording: Recording, more: int) -> None:
        """Remove clips until `more` samples of a recording fit; raises `OutputError` if never."""
        others = sum(other.needs() for other in self._recordings.values() if other is not recording)
        needed = others + recording.needs(more) + more * recording.record.channels * SAMPLE.itemsize
        if self._used + needed <= self.limits.most_bytes:
            return
        self._remove(needed)
        if self._used + needed > self.limits.most_bytes:
            raise OutputError(
                f"{self.folder}: the limit of {self.limits.most_bytes / 10**6:g} MB is reached; "
                "raise it, unlock clips, or keep fewer of each machine"
            )

    def _remove(self, needed: int) -> None:
        clips = [clip for base, clip in self._clips.items() if base not in self._recordings]
        now = self._clock.now()
        for removal in list(to_remove(clips, self.limits, now, self._used, needed)):
            base = removal.clip.base
            if is_locked(base):  # since this process began
                continue
            with self._counted(base):
                for end in (SOUND, RECORD):
                    with_end(base, end).unlink(missing_ok=True)
            self._clips.pop(base, None)
            self._note(removal)

    def _note(self, removal: Removal) -> None:
        """Tell in the folder and in the log why a clip is gone."""
        clip, path = removal.clip, self.folder / REMOVED
        logger.info("%s is removed: %s", clip.base.name, removal.reason)
        line = {
            "event": clip.base.name,
            "machine": clip.machine,
            "started": utc_text(clip.started),
            "removed": utc_text(self._clock.now()),
            "reason": removal.reason,
        }
        try:
            before = path.read_text("utf-8") if path.exists() else ""
            lines = [*before.splitlines()[1 - _REMOVED_LINES :], json.dumps(line)]
            after = "\n".join(lines) + "\n"
            write_result(path, after)
            self._used += len(after.encode()) - len(before.encode())
        except (OSError, ValueError, FirstshotError) as error:
            logger.warning("%s: %s", path, error)

    def _finish(self, base: Path, record: ClipRecord) -> None:
        raw = with_end(base, RAW)
        with self._counted(base):
            record.samples = encode(raw, with_end(base, SOUND), record.rate, record.channels)
            write_record(base, record)
            raw.unlink()
        report = record.report
        clip = KeptClip(base, report.machine, report.started, size_of(base), record.locked)
        with self._lock:
            self._clips[base] = clip

    def _recover(self) -> None:
        """Make clips of what a kill has left of recordings."""
        for base in records_in(self.folder):
            path = with_end(base, RAW)
            if not path.exists():
                continue
            try:
                record = read_record(base)
                record.note = record.note or "The program was ended in the middle of it."
                with _one_line(base):
                    self._finish(base, record)
            except (OSError, ValueError, FirstshotError) as error:
                warn(f"{path}: is left by a recording that cannot be finished ({error})")

    @contextmanager
    def _counted(self, base: Path) -> Iterator[None]:
        """Keep the sum of bytes right over a change of one clip's files."""
        before = size_of(base)
        try:
            yield
        finally:
            with self._lock:
                self._used += size_of(base) - before


def find_clips(folder: Path) -> Iterator[KeptClip]:
    """Yield the complete clips of a folder; what has no readable record is passed over."""
    for base in records_in(folder):
        try:
            record = read_record(base)
        except (OSError, ValueError) as error:
            logger.warning("%s: is no clip's record (%s)", with_end(base, RECORD), error)
            continue
        if not with_end(base, RAW).exists():
            report = record.report
            yield KeptClip(base, report.machine, report.started, size_of(base), record.locked)


@contextmanager
def _one_line(base: Path) -> Iterator[None]:
    """Let a fault of the file system name the clip."""
    try:
        yield
    except OSError as error:
        raise cannot_write(with_end(base, SOUND), error) from error
