"""One machine's sound is held for a while, and what is around an alarm is kept.

Input: chunks at the source's rate, gaps, and the machine's events. Output: clips in a `ClipFolder`.
A clip goes from some seconds before the alarm to some seconds after it, and is cut after the
longest time. A fault in writing ends the recording and nothing else: listening goes on.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.errors import FirstshotError
from firstshot.live.clips.encode import MOST_CHANNELS
from firstshot.live.clips.folder import ClipFolder, Recording
from firstshot.live.clips.record import SOUND, ClipRecord, Gap, base_of, read_record, with_end
from firstshot.live.messages import EventReport
from firstshot.log import logger


@dataclass(frozen=True)
class Lengths:
    """Seconds of a clip: before an alarm, after it, and in all."""

    before: float = 10.0
    after: float = 5.0
    most: float = 300.0


@dataclass(frozen=True)
class _Chunk:
    samples: NDArray[np.float32]
    end: datetime
    after_gap: bool


class ClipRecorder:
    """Records one machine; its methods are called by one thread."""

    def __init__(self, folder: ClipFolder, lengths: Lengths = Lengths()) -> None:
        self._folder, self._lengths = folder, lengths
        self._held: deque[_Chunk] = deque()
        self._held_samples = 0
        self._format: tuple[int, int] | None = None
        self._gap = False
        self._recording: Recording | None = None
        self._left: float | None = None
        self._due: EventReport | None = None
        """An open alarm without a clip, before any sound has come after a restart."""
        self._warned = False
        self._to_finish: queue.Queue[Recording | None] = queue.Queue()
        self._finisher = threading.Thread(target=self._finish, name="clips", daemon=True)
        self._finisher.start()

    def push(self, samples: NDArray[np.float32], rate: int, time: datetime) -> None:
        """Take sound, (samples,) or (samples, channels), whose end was heard at `time`."""
        samples = samples.reshape(len(samples), -1)
        if self._format != (rate, samples.shape[1]):
            self._end("The source's rate or channels changed.")
            self._held.clear()
            self._held_samples, self._format = 0, (rate, samples.shape[1])
        chunk = _Chunk(samples, time, self._gap)
        self._gap = False
        self._hold(chunk, rate)
        if self._recording is not None:
            self._append(chunk)
        elif self._due is not None:
            due, self._due = self._due, None
            self._begin(base_of(self._folder.folder, due.machine, due.id), due, None)

    def gap(self, time: datetime) -> None:
        """Take note that sound is missing before what follows."""
        self._gap = True

    def event(self, report: EventReport, explanation: dict[str, Any] | None = None) -> str | None:
        """Take note that an event begins or ends; return the file of its clip, if it has one."""
        if report.kind != "alarm":
            return None
        self._due = None
        base = base_of(self._folder.folder, report.machine, report.id)
        report = replace(report, clip=str(with_end(base, SOUND)))
        if report.ended is None and with_end(base, SOUND).exists():
            return str(with_end(base, SOUND))  # told again after a restart
        if report.ended is None:
            self._begin(base, report, explanation)
        elif self._recording is not None and self._recording.base == base:
            self._recording.record.event = report.as_json()
            self._left = self._lengths.after
        else:
            return self._update(base, report)
        is_recorded = self._recording is not None or self._due is not None
        return str(with_end(base, SOUND)) if is_recorded else None

    def close(self) -> None:
        """Finish what is recorded."""
        self._end("Listening ended in the middle of it.")
        self._to_finish.put(None)
        self._finisher.join()

    def _hold(self, chunk: _Chunk, rate: int) -> None:
        self._held.append(chunk)
        self._held_samples += len(chunk.samples)
        while self._held_samples - len(self._held[0].samples) >= self._lengths.before * rate:
            self._held_samples -= len(self._held.popleft().samples)

    def _begin(self, base: Path, report: EventReport, explanation: dict[str, Any] | None) -> None:
        self._end("The next event began.")
        if self._format is None or not self._held:
            self._due = report
            return
        rate, channels = self._format
        if channels > MOST_CHANNELS:
            self._fail(f"{report.machine}: clips have at most {MOST_CHANNELS} channels")
            return
        first, surplus = self._held[0], self._held_samples - round(self._lengths.before * rate)
        surplus = max(0, min(surplus, len(first.samples) - 1))
        first = _Chunk(first.samples[surplus:], first.end, False)
        started = first.end - timedelta(seconds=len(first.samples) / rate)
        record = ClipRecord(report.as_json(), started, rate, channels, explanation=explanation)
        try:
            self._recording = self._folder.begin(base, record)
        except FirstshotError as error:
            self._fail(error)
            return
        self._left = None
        for chunk in (first, *list(self._held)[1:]):
            self._append(chunk)

    def _append(self, chunk: _Chunk) -> None:
        recording = self._recording
        if recording is None:
            return
        record, samples = recording.record, chunk.samples
        if chunk.after_gap:
            start = chunk.end - timedelta(seconds=len(samples) / record.rate)
            record.gaps.append(Gap(recording.seconds, start))
        room = self._lengths.most - recording.seconds
        left = room if self._left is None else min(room, self._left)
        samples = samples[: max(0, round(left * record.rate))]
        try:
            self._folder.append(recording, samples)
        except FirstshotError as error:
            self._fail(error)
            self._end(str(error))
            return
        self._warned = False
        if self._left is not None:
            self._left -= len(samples) / record.rate
        if len(samples) < len(chunk.samples) or left * record.rate - len(samples) < 1:
            is_cut = self._left is None or self._left > 0.5 / record.rate
            self._end(f"It has the first {self._lengths.most:g} s." if is_cut else "")

    def _end(self, note: str) -> None:
        """End the recording, if there is one."""
        recording, self._recording, self._left = self._recording, None, None
        if recording is not None:
            recording.record.note = note
            self._to_finish.put(recording)

    def _update(self, base: Path, report: EventReport) -> str | None:
        """Write the end of an event into the record of its clip, which is complete already."""
        self._to_finish.join()
        try:
            record = read_record(base)
            record.event = report.as_json()
            self._folder.update(base, record)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, FirstshotError) as error:
            self._fail(error)
            return None
        return str(with_end(base, SOUND))

    def _finish(self) -> None:
        """Make clips of finished recordings, in a thread: listening does not wait for it."""
        while (recording := self._to_finish.get()) is not None:
            try:
                self._folder.finish(recording)
            except FirstshotError as error:
                self._fail(error)
            finally:
                self._to_finish.task_done()
        self._to_finish.task_done()

    def _fail(self, reason: object) -> None:
        """Tell of a fault once, until something can be written again."""
        if not self._warned:
            logger.warning("no clip is recorded: %s", reason)
        self._warned = True
