"""A thread that listens to one machine: it reads its source and lets nothing stop it in silence.

Input: a source and a machine. A source that is lost is opened again, after pauses that grow; one
that sends nothing is closed first. Meanwhile the machine is blind. A fault that no waiting mends
ends the thread, and whoever started it is told.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from firstshot.errors import FirstshotError
from firstshot.live.clock import Clock
from firstshot.live.machine import Machine
from firstshot.live.scorer import Scorer
from firstshot.live.sources.protocol import Chunk, Source, SourceEndedError, SourceLostError
from firstshot.log import logger
from firstshot.messages import shown

READ_SECONDS = 1.0
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 60.0
"""Seconds between attempts to open a source again."""


@dataclass(frozen=True)
class Health:
    """How a listener is: when it last went round its loop, and what it has lost."""

    name: str
    beat: float
    lost_samples: int
    running: bool


class Listener:
    """Listens to one machine.

    Parameters
    ----------
    machine : Machine
        What judges.
    source : Source
        Where the sound comes from.
    clock : Clock
        Tells the time.
    stop : threading.Event
        Set to end.
    ended : callable
        Called once when the thread ends, with the fault, or None for a source that has ended.
    """

    def __init__(
        self,
        machine: Machine,
        source: Source,
        clock: Clock,
        stop: threading.Event,
        ended: Callable[[Listener, Exception | None], None],
    ) -> None:
        self.machine = machine
        self.source = source
        self.lost_samples = 0
        self._clock = clock
        self._stop = stop
        self._ended = ended
        self._opened = False
        self._pause = FIRST_PAUSE
        self._heard = self._beat = clock.monotonic()
        self._missing = False
        self._scorers: queue.Queue[tuple[Scorer, Scorer | None]] = queue.Queue()
        self.thread = threading.Thread(target=self.run, name=machine.name, daemon=True)

    def replace_scorers(self, scorer: Scorer, shadow: Scorer | None) -> None:
        """Judge by other detectors, from the next chunk on."""
        self._scorers.put((scorer, shadow))

    def health(self) -> Health:
        """Return how it is."""
        name, running = self.machine.name, self.thread.is_alive()
        return Health(name, self._beat, self.lost_samples, running)

    def run(self) -> None:
        """Listen until told to stop, or until there is no more sound."""
        fault: Exception | None = None
        try:
            while not self._stop.is_set():
                self.step()
        except SourceEndedError:
            pass
        except Exception as error:  # nothing may end the thread unseen
            fault = error
        finally:
            with suppress(Exception):
                self.source.close()
            try:
                self.machine.close()
            except Exception as error:
                fault = fault or error
            self._ended(self, fault)

    def step(self) -> None:
        """Read once, and judge what has come.

        Raises
        ------
        SourceEndedError
            There is no more sound.
        FirstshotError
            The source or the detector can never work.
        """
        self._beat = self._clock.monotonic()
        with suppress(queue.Empty):
            while True:
                self._replace(*self._scorers.get_nowait())
        try:
            if not self._opened:
                self.open()
            chunk = self.source.read(READ_SECONDS)
        except SourceLostError as error:
            self._lose(str(error))
            return
        if chunk is None:
            self._wait_on()
        elif len(chunk.samples):
            self._take(chunk)

    def open(self) -> None:
        """Open the source before the thread begins, so that a wrong name is refused at once."""
        self.source.open()
        self._opened, self._heard = True, self._clock.monotonic()

    def _take(self, chunk: Chunk) -> None:
        now = self._clock.now()
        self._heard, self._pause = self._clock.monotonic(), FIRST_PAUSE
        if chunk.lost:
            self.lost_samples += chunk.lost
            seconds = chunk.lost / chunk.rate
            logger.warning("%s: %.1f s of sound were dropped", self.machine.name, seconds)
        if chunk.before == "gap" or self._missing:
            self.machine.gap(chunk.time or now)
        elif chunk.before == "cut":
            self.machine.cut()
        self._missing = False
        self.machine.push(chunk.samples, chunk.rate, chunk.time or now)
        self.machine.kept.position = self.source.position

    def _wait_on(self) -> None:
        """Nothing has come: that is a fault only after a while."""
        patience = self.source.patience
        if patience is None:
            return
        silent = self._clock.monotonic() - self._heard
        if silent < patience:
            return
        self._missing = True
        reason = f"No sound has come for {silent:.0f} s from {self.source.name}."
        if self.source.can_reopen:
            self._lose(f"{reason} Is it plugged in, and on?")
        else:
            self.machine.unheard(self._clock.now(), reason)

    def _lose(self, reason: str) -> None:
        """Say that the machine is blind, and wait before the source is opened again."""
        self.source.close()
        self._opened, self._missing = False, True
        self.machine.unheard(self._clock.now(), shown(reason))
        self._stop.wait(self._pause)
        self._beat = self._clock.monotonic()
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _replace(self, scorer: Scorer, shadow: Scorer | None) -> None:
        try:
            self.machine.replace_scorer(scorer)
            if shadow is not None and self.machine.shadow is not None:
                self.machine.shadow.machine.replace_scorer(shadow)
        except FirstshotError as error:
            logger.warning("%s: the detector stays as it was: %s", self.machine.name, error)
