"""One machine, from its sound to what is told of it.

Input: chunks of sound with the time they came at, and times without sound. Output: messages, each
told once and in order, also over a restart. `stream` scores windows, `judging` has the states.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from firstshot.errors import FirstshotError
from firstshot.live.clock import Timeline
from firstshot.live.judging.commissioning import (
    BANK_SHARE,
    DEFAULT_DAYS,
    FLOOR_SHARE,
    LEAST_HOURS,
    BankLevels,
    Commissioning,
)
from firstshot.live.judging.faults import SILENCE, Heard, find_fault
from firstshot.live.judging.rule import Alarm, WindowRule
from firstshot.live.judging.states import BLIND_AFTER, Automaton, Judgement, Told
from firstshot.live.kept import StateFolder
from firstshot.live.messages import EventReport, Report, WindowReport
from firstshot.live.scorer import Scorer
from firstshot.live.stream import Stream, Window, check_hop
from firstshot.log import logger

SAVE_EVERY = timedelta(minutes=1)
"""The state is written so often even if nothing is told; a kill loses that much of learning."""


class Recorder(Protocol):
    """Keeps clips of events; see `firstshot.live.clips`."""

    def push(self, samples: NDArray[np.float32], rate: int, time: datetime) -> None:
        """Take sound at the source's rate, (samples, channels), which ends at `time`."""

    def gap(self, time: datetime) -> None:
        """Take note that sound is missing before what follows."""

    def event(self, report: EventReport, explanation: dict[str, Any] | None) -> str | None:
        """Take note that an event begins or ends; return the file of its clip, if it has one."""

    def close(self) -> None:
        """Finish what is recorded."""


class Beside(Protocol):
    """Judges the same sound by another detector; see `firstshot.live.shadow`."""

    machine: Machine

    def join(self, report: WindowReport | None = None, last: bool = False) -> list[WindowReport]:
        """Take a window; return those of which it has said its word, all of them at the `last`."""

    def sentence(self) -> str:
        """Say how often it would have raised an alarm."""


@dataclass(frozen=True)
class Rules:
    """How a machine is judged.

    Attributes
    ----------
    hop_seconds : float or None
        From window to window; None is half a window.
    days : float
        At most one false alarm in so many days.
    hours : float
        How long its place is learned, 24 h at least.
    """

    hop_seconds: float | None = None
    days: float = DEFAULT_DAYS
    hours: float = LEAST_HOURS


class Machine:
    """Judges one machine's sound.

    Parameters
    ----------
    name : str
        Its name in messages.
    scorer : Scorer
        Its detector.
    publish : callable
        Takes each message; it neither waits nor raises.
    folder : StateFolder
        Where its state is kept.
    rules, recorder, shadow
        How it is judged, what keeps clips of its events, what judges the same sound beside it.
    """

    def __init__(
        self,
        name: str,
        scorer: Scorer,
        publish: Callable[[Report], None],
        folder: StateFolder | None = None,
        rules: Rules = Rules(),
        recorder: Recorder | None = None,
        shadow: Beside | None = None,
    ) -> None:
        self.name = name
        self.rules = rules
        self.shadow = shadow
        self.windows = 0
        self._silent = 0.0
        self._publish = publish
        self._recorder = recorder
        self._folder = folder or StateFolder(None)
        self._stream: Stream | None = None
        self.kept = self._folder.load(name)
        self._use(scorer)
        self._timeline = Timeline(self.kept.last)
        self._saved = self.kept.last
        self._tell(self.kept.reports())
        alarm = self.kept.alarms.open_event()
        if recorder is not None and alarm is not None:
            recorder.event(alarm, None)  # a kill may have come before its clip began

    def push(self, samples: NDArray[np.float32], rate: int, now: datetime) -> None:
        """Take sound, (samples, channels) at `rate` Hz, that came at `now`, UTC."""
        time = self._timeline.stamp(now, len(samples) / rate)
        if self._recorder is not None:
            self._recorder.push(samples, rate, time)
        if self.shadow is not None:
            self.shadow.machine.push(samples, rate, now)
            self._show(self.shadow.join())
        expected = self.kept.sample_rate
        if expected is not None and rate != expected:
            why = (
                f"The source's rate is {rate} Hz, and {expected} Hz was learned here; set it back."
            )
            self._tell(self.automaton.unheard(time, why))
            return
        self.kept.sample_rate = rate
        if self._stream is None:
            self._stream = Stream(self.scorer, rate, self.rules.hop_seconds, self._find_fault)
        for window in self._stream.push(samples):
            self._judge(window, time - timedelta(seconds=self._stream.seconds - window.end_seconds))
        # A window of minutes would tell it too late.
        self._silent = 0.0 if samples.any() else self._silent + len(samples) / rate
        if self._silent >= BLIND_AFTER.total_seconds():
            self._tell(self.automaton.unheard(time, SILENCE))
        self.kept.last = time
        if self._saved is None or time - self._saved >= SAVE_EVERY:
            self._save()

    def gap(self, now: datetime) -> None:
        """Take note that sound is missing before what follows: no window reaches across."""
        if self._stream is not None:
            self._stream.gap()
        self.automaton.gap()
        if self._recorder is not None:
            self._recorder.gap(self._timeline.stamp(now, 0.0))
        if self.shadow is not None:
            self.shadow.machine.gap(now)

    def cut(self) -> None:
        """Take note that a window must not reach across this moment, though no sound is missing."""
        if self._stream is not None:
            self._stream.gap()
        if self.shadow is not None:
            self.shadow.machine.cut()

    def unheard(self, now: datetime, reason: str) -> None:
        """Take note that no sound comes, with the reason; may be called again and again."""
        time = self._timeline.stamp(now, 0.0)
        self._tell(self.automaton.unheard(time, reason))
        if self.shadow is not None:
            self.shadow.machine.unheard(now, reason)

    def commission_again(self, now: datetime) -> None:
        """Learn the place anew: after a move, a new gain, or too many false alarms."""
        time = self._timeline.stamp(now, 0.0)
        reports = self.automaton.commission_again(time)
        self.kept.place, self.kept.sample_rate = self.automaton.commissioning.place, None
        self._tell(reports)
        self._save()

    def replace_scorer(self, scorer: Scorer) -> None:
        """Judge by another detector from now on; the sound that is held stays if it fits."""
        if scorer.digest == self.scorer.digest:
            return
        self._save()
        if self._stream is not None and not self._stream.replace_scorer(scorer):
            self._stream = None
        self._use(scorer)
        self._save()

    def close(self) -> None:
        """Keep the state; an open event stays open, and goes on after the restart."""
        self._save()
        if self._recorder is not None:
            self._recorder.close()
        if self.shadow is not None:
            self._show(self.shadow.join(last=True))
            logger.info("%s: %s", self.name, self.shadow.sentence())
            self.shadow.machine.close()

    def _use(self, scorer: Scorer) -> None:
        """Judge by a detector, with what is kept of the machine."""
        hop = check_hop(self.rules.hop_seconds, scorer.window_seconds)
        self.scorer = scorer
        kept = self.kept
        kept.use(scorer.digest, hop)
        bank = BankLevels(
            scorer.held_out_quantile(BANK_SHARE),
            scorer.held_out_quantile(FLOOR_SHARE),
            scorer.unusual_p,
        )
        self.automaton = Automaton(
            self.name,
            scorer.digest,
            Alarm(WindowRule.of_windows(scorer.window_seconds, hop)),
            Commissioning(bank, hop, self.rules.days, self.rules.hours, kept.place),
            (kept.alarms, kept.blinds),
            kept.known,
        )
        self.automaton.gap()
        self._find_fault: Callable[[Heard], str | None] = partial(
            find_fault, normal_levels=scorer.normal_levels
        )

    def _judge(self, window: Window, end: datetime) -> None:
        """Judge one window, and tell what it changes and then the window itself."""
        self.windows += 1
        commissioning, threshold = self.automaton.commissioning, self.automaton.threshold
        learning, heard, score = commissioning.place.status, window.heard, window.score
        if window.score is None or window.p_value is None:
            start = end - timedelta(seconds=self.scorer.window_seconds)
            reports = self.automaton.unjudged(start, end, window.fault or "")
        else:
            judgement = Judgement(end, window.score, window.p_value, heard.level_db)
            reports = self.automaton.judged(judgement)
        if commissioning.place.status != learning:
            self._keep(self._folder.record, commissioning)
        self._tell(reports, window)
        report = WindowReport(
            machine=self.name,
            time=end,
            state=self.automaton.state,
            score=score,
            threshold=None if score is None else threshold,
            p_value=window.p_value,
            level_dbfs=heard.level_dbfs,
            ranked=self.automaton.alarm.ranked,
            anomalous=score is not None and score > threshold,
        )
        self._show([report] if self.shadow is None else self.shadow.join(report))

    def _show(self, windows: list[WindowReport]) -> None:
        for window in windows:
            self._publish(window)

    def _tell(self, reports: list[Told], window: Window | None = None) -> None:
        """Write down what is told, tell it, and write down that it was told."""
        if not reports:
            return
        self.kept.telling = [one.as_json() for one in reports]
        self._save()
        for report in reports:
            if self._recorder is not None and isinstance(report, EventReport):
                clip = self._recorder.event(report, self._explain(report, window))
                self._publish(replace(report, clip=clip))
            else:
                self._publish(report)
        self.kept.telling = []
        self._save()

    def _explain(self, report: EventReport, window: Window | None) -> dict[str, Any] | None:
        """Say why the window sounds unlike normal with which an alarm begins."""
        if window is None or report.kind != "alarm" or report.ended is not None:
            return None
        try:
            return self.scorer.explain(window.waveform)
        except FirstshotError as error:
            logger.info("%s: no explanation (%s)", self.name, error)
            return None

    def _save(self) -> None:
        self.kept.place = self.automaton.commissioning.place
        self._saved = self.kept.last
        self._keep(self._folder.save)

    def _keep(self, write: Callable[..., None], *more: object) -> None:
        """Write to the folder; a full disk stops neither listening nor telling."""
        try:
            write(self.kept, *more)
        except FirstshotError as error:
            logger.warning("%s: the state is not kept (%s)", self.name, error)
