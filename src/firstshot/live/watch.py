"""All machines of one process: their detectors, their threads, and when it ends.

Input: settings. Output: messages to all outputs, and an exit status. A machine whose source is lost
is blind and the others go on; a fault that no waiting mends ends the process, so that whatever
started it can start it again and somebody sees it.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from firstshot.disk.files import check_folder_writable
from firstshot.disk.locks import hold_folder
from firstshot.errors import FirstshotError, SoundError
from firstshot.live.clips.folder import ClipFolder
from firstshot.live.clips.recorder import ClipRecorder
from firstshot.live.clock import Clock, SystemClock
from firstshot.live.config import MachineSettings, WatchSettings
from firstshot.live.kept import StateFolder
from firstshot.live.listener import Health, Listener
from firstshot.live.machine import Machine
from firstshot.live.messages import EventReport, Report
from firstshot.live.outputs.protocol import Feed
from firstshot.live.outputs.publisher import Outputs
from firstshot.live.outputs.settings import make_outputs
from firstshot.live.scorer import Scorer, open_scorer
from firstshot.live.shadow import Shadow
from firstshot.live.sources import make_source
from firstshot.live.sources.protocol import Source, SourceLostError
from firstshot.log import logger
from firstshot.sound.audio_file import pick_channel

TICK_SECONDS = 0.5
FAREWELL_SECONDS = 10.0
"""What outputs get at the end to send what waits."""


class Watch:
    """Watches all machines of some settings.

    Parameters
    ----------
    settings : WatchSettings
        The machines, the outputs and the folder of all that is kept.
    feeds : sequence of Feed
        See every message, beside the outputs.
    clock : Clock
        Tells the time.
    again : bool
        Whether all places are learned anew.

    Raises
    ------
    FirstshotError
        A detector cannot be read, or does not fit its machine.
    """

    def __init__(
        self,
        settings: WatchSettings,
        feeds: Sequence[Feed] = (),
        clock: Clock | None = None,
        again: bool = False,
    ) -> None:
        self.settings = settings
        self.listeners: list[Listener] = []
        self.alarms = 0
        self._clock = clock or SystemClock()
        self._feeds = feeds
        self._again = again
        self._scorers = _open_scorers(settings)
        self._stop, self._reload = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._faults: list[tuple[str, Exception]] = []
        self._running = 0
        self._outputs: Outputs | None = None
        self._clips: ClipFolder | None = None

    def check(self) -> None:
        """Prove that all of it works, without listening: detectors, sources and outputs.

        Raises
        ------
        FirstshotError
            The first thing that does not.
        """
        for machine in self.settings.machines:
            if machine.input == "stdin":
                continue
            scorer = self._scorer(machine)
            source = make_source(machine.input, machine.sound, "", scorer.channels_needed)
            try:
                source.open()
                _check_channels(machine, scorer, source)
            finally:
                source.close()
        if (clips := self._clip_folder()) is not None:
            check_folder_writable(clips / "clip")
        with TemporaryDirectory(prefix="firstshot-") as folder:
            self._make_outputs(Path(folder)).check()

    def run(self, tick: Callable[[], object] = lambda: None) -> int:
        """Listen until a signal, `stop`, or the end of all sources; call `tick` now and then.

        Returns 1 where the sources have ended and there was an alarm, else 0.

        Raises
        ------
        FirstshotError
            Nothing can be listened to, or something can never work.
        """
        with ExitStack() as stack:
            folder = self.settings.state
            if folder is not None:
                stack.enter_context(hold_folder(folder))
            else:
                temporary = stack.enter_context(TemporaryDirectory(prefix="firstshot-"))
            outbox = folder / "outbox" if folder is not None else Path(temporary)
            self._outputs = outputs = self._make_outputs(outbox)
            if (clips := self._clip_folder()) is not None and self.settings.clips is not None:
                stack.enter_context(hold_folder(clips))
                self._clips = ClipFolder(clips, self.settings.clips.limits, self._clock)
            self.listeners = [self._make_listener(one) for one in self.settings.machines]
            self._open_sources()
            stack.callback(outputs.close, FAREWELL_SECONDS)
            outputs.start()
            stack.enter_context(self._signals())
            ended = self._listen(tick)
        if self._faults:
            raise _named(*self._faults[0])
        if ended:
            self._check_heard()
        return 1 if ended and self.alarms else 0

    def stop(self) -> None:
        """End soon; may be called from any thread."""
        self._stop.set()

    def reload(self) -> None:
        """Read all detectors again soon, without losing the sound that is held."""
        self._reload.set()

    def health(self) -> list[Health]:
        """Return how each listener is."""
        return [listener.health() for listener in self.listeners]

    def _listen(self, tick: Callable[[], object]) -> bool:
        """Run the threads until they end or are stopped; True where the sources have ended."""
        self._running = len(self.listeners)
        for listener in self.listeners:
            if self._again:
                listener.machine.commission_again(self._clock.now())
            listener.thread.start()
        try:
            while self._running and not self._stop.wait(TICK_SECONDS):
                tick()
                for health in self.health():
                    self._outputs_now().count_dropped(health.name, health.lost_samples)
                if self._reload.is_set():
                    self._reload.clear()
                    self._read_detectors_again()
        finally:
            ended = not self._stop.is_set()
            self._stop.set()
            for listener in self.listeners:
                listener.thread.join(FAREWELL_SECONDS)
        return ended

    def _check_heard(self) -> None:
        """Refuse to call sound normal that was too short to be judged."""
        for listener in self.listeners:
            machine = listener.machine
            if not machine.windows:
                raise SoundError(
                    f"{machine.name}: {listener.source.name} ended before the first window of "
                    f"{machine.scorer.window_seconds:g} s; give longer sound"
                )

    def _ended(self, listener: Listener, fault: Exception | None) -> None:
        """Take note that a thread has ended; a fault ends all of them."""
        with self._lock:
            self._running -= 1
            if fault is not None:
                self._faults.append((listener.machine.name, fault))
                self._stop.set()

    def _publish(self, report: Report) -> None:
        if isinstance(report, EventReport) and report.kind == "alarm" and report.ended is None:
            with self._lock:
                self.alarms += 1
        self._outputs_now().publish(report)

    def _outputs_now(self) -> Outputs:
        """Return the outputs, which `run` has made."""
        assert self._outputs is not None
        return self._outputs

    def _make_outputs(self, folder: Path) -> Outputs:
        names = [machine.name for machine in self.settings.machines]
        return make_outputs(self.settings.outputs, self._feeds, names, folder, self._clock)

    def _clip_folder(self) -> Path | None:
        """Return where clips are recorded, None where none are."""
        clips, state = self.settings.clips, self.settings.state
        if clips is None or clips.folder is not None:
            return clips.folder if clips is not None else None
        return state / "clips" if state is not None else None

    def _make_listener(self, settings: MachineSettings) -> Listener:
        scorer = self._scorer(settings)
        kept = StateFolder(self._place(settings))
        shadow = None
        if settings.shadow is not None:
            other = self._scorers[settings.shadow, settings.window_seconds]
            place = self._place(settings)
            beside = StateFolder(None if place is None else place / "shadow")
            shadow = Shadow(settings.name, other, beside, settings.rules)
        recorder = None
        if self._clips is not None and self.settings.clips is not None:
            recorder = ClipRecorder(self._clips, self.settings.clips.lengths)
        machine = Machine(
            settings.name, scorer, self._publish, kept, settings.rules, recorder, shadow
        )
        position = machine.kept.position
        source = make_source(settings.input, settings.sound, position, scorer.channels_needed)
        return Listener(machine, source, self._clock, self._stop, self._ended)

    def _place(self, settings: MachineSettings) -> Path | None:
        state = self.settings.state
        return None if state is None else state / "machines" / settings.name

    def _scorer(self, settings: MachineSettings) -> Scorer:
        return self._scorers[settings.detector, settings.window_seconds]

    def _open_sources(self) -> None:
        """Open all sources; where none is there, a wrong name is likelier than a lost device."""
        lost = []
        for listener in self.listeners:
            try:
                listener.open()
            except SourceLostError as error:
                lost.append(error)
        if len(lost) == len(self.listeners):
            raise lost[0]

    def _read_detectors_again(self) -> None:
        try:
            self._scorers = _open_scorers(self.settings)
        except FirstshotError as error:
            logger.warning("the detectors stay as they were: %s", error)
            return
        for listener, machine in zip(self.listeners, self.settings.machines, strict=True):
            shadow = machine.shadow
            other = None if shadow is None else self._scorers[shadow, machine.window_seconds]
            listener.replace_scorers(self._scorer(machine), other)
        logger.info("the detectors were read again")

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """End at SIGTERM and Ctrl-C, and read the detectors again at SIGHUP."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        wanted: dict[int, Callable[[], None]] = {
            signal.SIGTERM: self.stop,
            signal.SIGINT: self.stop,
        }
        if hasattr(signal, "SIGHUP"):
            wanted[signal.SIGHUP] = self.reload

        def handle(number: int, frame: Any) -> None:
            wanted[number]()

        before = {number: signal.signal(number, handle) for number in wanted}
        try:
            yield
        finally:
            for number, usual in before.items():
                signal.signal(number, usual)


def _open_scorers(settings: WatchSettings) -> dict[tuple[Path, float | None], Scorer]:
    """Return a scorer for each file, which its machines share."""
    wanted = [
        (path, machine.window_seconds)
        for machine in settings.machines
        for path in (machine.detector, machine.shadow)
        if path is not None
    ]
    return {one: open_scorer(*one) for one in dict.fromkeys(wanted)}


def _check_channels(machine: MachineSettings, scorer: Scorer, source: Source) -> None:
    """Refuse a file that has too few channels for the detector."""
    if machine.input.startswith("file:") and (chunk := source.read(0.0)) is not None:
        pick_channel(chunk.samples, scorer.settings.channel, source.name)


def _named(machine: str, fault: Exception) -> Exception:
    """Return a fault that ended a machine's thread, with the machine's name."""
    if isinstance(fault, FirstshotError):
        return type(fault)(f"{machine}: {fault}")
    return fault
