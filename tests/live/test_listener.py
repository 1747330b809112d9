import threading
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest
from tests.live.loud import NOON, RATE, LoudScorer, sound

from firstshot import ParameterError
from firstshot.live.listener import FIRST_PAUSE, LONGEST_PAUSE, Listener
from firstshot.live.machine import Machine
from firstshot.live.messages import EventReport, State, StateReport, WindowReport
from firstshot.live.sources.protocol import Chunk, SourceEndedError, SourceLostError


class FakeClock:
    def __init__(self):
        self.passed = 0.0

    def now(self):
        return NOON + timedelta(seconds=self.passed)

    def monotonic(self):
        return 1000.0 + self.passed


class Script:
    """A source that does what a test has written down: sound, seconds of nothing, or errors."""

    name, position, can_reopen = "mic:UMM-6", "", True
    patience = 20.0

    def __init__(self, clock, *steps):
        self.clock, self.steps = clock, list(steps)
        self.opened, self.opened_at = 0, []

    def open(self):
        self.opened += 1
        self.opened_at.append(self.clock.passed)
        if self.steps and isinstance(self.steps[0], SourceLostError):
            raise self.steps.pop(0)

    def read(self, seconds):
        if not self.steps:
            raise SourceEndedError
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        if step is None:
            self.clock.passed += seconds
            return None
        self.clock.passed += len(step.samples) / step.rate
        return step

    def close(self): ...


class Stop(threading.Event):
    """Waiting for it passes the clock's time."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def wait(self, timeout=None):
        self.clock.passed += timeout or 0.0
        return self.is_set()


def pieces(seconds, loud=0.05, **more):
    samples = sound(seconds, loud)
    chunks = [samples[start : start + 5 * RATE] for start in range(0, len(samples), 5 * RATE)]
    return [Chunk(one, RATE, **(more if i == 0 else {})) for i, one in enumerate(chunks)]


def listen(*steps, source_kind=Script, folder=None):
    """Play a script, and return what is told, how it ended, and the source."""
    clock, reports, ends = FakeClock(), [], []
    machine = Machine("fan", LoudScorer(), reports.append, folder)
    source = source_kind(clock, *steps)
    listener = Listener(machine, source, clock, Stop(clock), lambda _, fault: ends.append(fault))
    listener.run()
    return reports, ends, listener


def of(kind, reports):
    return [one for one in reports if isinstance(one, kind)]


def test_a_source_that_ends_is_no_fault():
    reports, ends, _ = listen(*pieces(30))
    assert ends == [None]
    assert len(of(WindowReport, reports)) == 5


def test_a_microphone_that_sends_nothing_is_blind_within_thirty_seconds_and_opened_again():
    steps = [*pieces(30), *[None] * 25, *pieces(100)]
    reports, _, listener = listen(*steps)
    blind, back = of(StateReport, reports)
    assert (blind.state, back.state) == (State.blind, State.learning)
    assert blind.time - NOON <= timedelta(seconds=30 + 30)
    assert blind.reason == ("No sound has come for 20 s from mic:UMM-6. Is it plugged in, and on?")
    assert listener.source.opened == 2
    assert [one.kind for one in of(EventReport, reports)] == ["blind", "blind"]


def test_a_lost_source_is_opened_again_after_pauses_that_grow_to_a_minute():
    away = [SourceLostError("mic:UMM-6: unplugged") for _ in range(8)]
    reports, ends, listener = listen(*pieces(30), *away, *pieces(100))
    times = listener.source.opened_at[1:]
    pauses = [b - a for a, b in pairwise(times)]
    assert pauses[0] == 2 * FIRST_PAUSE
    assert pauses[-1] == LONGEST_PAUSE
    assert ends == [None]
    assert len(of(EventReport, reports)) == 2


def test_no_window_reaches_across_missing_sound():
    reports, _, _ = listen(*pieces(15), *[None] * 25, *pieces(15))
    ends = [(one.time - NOON).total_seconds() for one in of(WindowReport, reports)]
    missing = ends[2] - ends[1]
    assert len(ends) == 4
    assert missing > 25


def test_dropped_samples_are_counted_and_leave_a_gap(caplog):
    lost = pieces(15, before="gap", lost=300)
    reports, _, listener = listen(*pieces(15), *lost)
    assert listener.health().lost_samples == 300
    assert "3.0 s of sound were dropped" in caplog.text
    assert len(of(WindowReport, reports)) == 4


def test_a_cut_between_files_keeps_the_alarm_rule():
    steps = [chunk for _ in range(9) for chunk in pieces(10, loud=0.3, before="cut")]
    reports, _, _ = listen(*steps)
    assert len(of(WindowReport, reports)) == 9
    assert [one.kind for one in of(EventReport, reports)] == ["alarm"]


def test_a_fault_that_no_waiting_mends_ends_the_thread_and_is_told():
    fault = ParameterError("several devices have this name")
    _, ends, _ = listen(fault)
    assert ends == [fault]


def test_a_fault_in_judging_is_told_and_not_swallowed(monkeypatch):
    monkeypatch.setattr(LoudScorer, "score", lambda self, sounds: 1 / 0)
    _, (fault,), _ = listen(*pieces(30))
    assert isinstance(fault, ZeroDivisionError)


def test_a_folder_that_stays_empty_is_blind_and_not_opened_again():
    class Folder(Script):
        can_reopen = False

    reports, _, listener = listen(*[None] * 40, source_kind=Folder)
    assert listener.source.opened == 1
    assert [one.state for one in of(StateReport, reports)] == [State.blind]


def test_detectors_are_replaced_without_losing_the_sound_that_is_held():
    clock, reports = FakeClock(), []
    machine = Machine("fan", LoudScorer(), reports.append)
    source = Script(clock, *pieces(40))
    listener = Listener(machine, source, clock, Stop(clock), lambda *_: None)
    for _ in range(3):
        listener.step()
    listener.replace_scorers(LoudScorer("new"), None)
    with (
        pytest.warns(UserWarning, match="belongs to another detector"),
        pytest.raises(SourceEndedError),
    ):
        while True:
            listener.step()
    assert machine.automaton.detector == "new"
    times = [one.time for one in of(WindowReport, reports)]
    assert np.allclose(np.diff([time.timestamp() for time in times]), 5.0)
