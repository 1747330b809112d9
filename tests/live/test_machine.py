import json
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.live.loud import NOON, RATE, Listener, LoudScorer, sound

from firstshot.errors import FirstshotWarning
from firstshot.live.kept import StateFolder
from firstshot.live.machine import Rules
from firstshot.live.messages import State
from firstshot.live.shadow import Shadow


def test_every_window_is_told_with_its_end_score_threshold_and_level():
    fan = Listener()
    fan.play(sound(20.0))
    assert [one.time for one in fan.windows] == [NOON + timedelta(seconds=s) for s in (10, 15, 20)]
    last = fan.windows[-1]
    assert last.state is State.learning
    assert last.score == pytest.approx(0.05, abs=1e-3)
    assert last.threshold == pytest.approx(np.quantile(LoudScorer.normal_scores, 0.98))
    assert last.level_dbfs == pytest.approx(20 * np.log10(0.05 / np.sqrt(3)), abs=0.4)
    assert not last.anomalous


def test_a_fault_is_one_event_and_its_end():
    fan = Listener()
    fan.play(sound(60))
    fan.play(sound(120, loud=0.3))
    fan.play(sound(200))
    opened, closed = fan.events
    assert opened.id == closed.id
    assert opened.peak == pytest.approx(0.3, abs=0.01)
    assert NOON + timedelta(seconds=60) < opened.started < NOON + timedelta(seconds=95)
    assert NOON + timedelta(seconds=240) < closed.ended < NOON + timedelta(seconds=270)


def test_the_window_after_a_message_tells_the_new_state():
    fan = Listener()
    fan.play(sound(60))
    fan.play(sound(60, loud=0.3))
    began = fan.events[0].started
    (window,) = [one for one in fan.windows if one.time == began]
    assert window.state is State.alarm
    assert window.ranked > window.threshold


def test_a_restart_in_an_event_goes_on_with_it(tmp_path):
    fan = Listener(StateFolder(tmp_path / "fan"))
    fan.play(sound(60))
    fan.play(sound(60, loud=0.3))
    fan.machine.close()
    fan.now += timedelta(minutes=5)
    fan.start()
    fan.play(sound(60, loud=0.3))
    fan.play(sound(200))
    assert [one.ended is None for one in fan.events] == [True, False]
    assert len({one.id for one in fan.events}) == 1


class NotingRecorder:
    """Notes the events that clips are kept of."""

    def __init__(self):
        self.ids = []

    def push(self, samples, rate, time): ...

    def event(self, report, explanation):
        self.ids.append((report.id, report.ended is None))

    def close(self): ...


def test_an_open_alarm_is_told_to_the_recorder_after_a_restart_and_a_closed_one_is_not(tmp_path):
    fan = Listener(StateFolder(tmp_path / "fan"))
    fan.play(sound(60))
    fan.play(sound(60, loud=0.3))
    fan.machine.close()
    fan.settings["recorder"] = recorder = NotingRecorder()
    fan.start()
    assert recorder.ids == [(fan.events[0].id, True)]
    fan.play(sound(200))
    fan.machine.close()
    fan.start()
    assert recorder.ids == [(fan.events[0].id, True), (fan.events[0].id, False)]
    assert len(fan.events) == 2


def test_commissioning_goes_on_over_a_restart_and_ends_in_a_record(tmp_path):
    fan = Listener(StateFolder(tmp_path / "fan"), rules=Rules(hours=2.0, days=7.0))
    for part in range(10):
        fan.play(sound(800, loud=0.05, seed=part), chunk=60.0)
        if part == 5:
            fan.machine.close()
            fan.start()
    assert [one.state for one in fan.states] == [State.normal]
    record = json.loads((tmp_path / "fan/commissioning-1.json").read_text())
    assert record["schema"] == 1
    assert record["threshold_kind"] == "commissioned"
    assert record["promise"].startswith("At most one false alarm in 7 days.")
    assert record["first"].startswith("2026-03-01T12:00:10")
    assert record["threshold"] == fan.machine.automaton.commissioning.threshold


def test_another_detector_learns_the_place_anew(tmp_path):
    fan = Listener(StateFolder(tmp_path / "fan"))
    fan.play(sound(4000), chunk=60.0)
    assert fan.machine.automaton.commissioning.kind == "provisional"
    fan.machine.close()
    fan.scorer = LoudScorer("other")
    with pytest.warns(FirstshotWarning, match="belongs to another detector or hop"):
        fan.start()
    commissioning = fan.machine.automaton.commissioning
    assert (commissioning.kind, commissioning.place.version) == ("bank", 2)


def test_a_damaged_state_is_put_aside_with_a_warning(tmp_path):
    (tmp_path / "state.json").write_text('{"schema": 1, "machine": "fan"}')
    with pytest.warns(FirstshotWarning, match=r"detector is missing; it is kept as state.json.dam"):
        Listener(StateFolder(tmp_path))
    assert (tmp_path / "state.json.damaged").exists()


def test_a_stopped_source_is_blind_and_comes_back(tmp_path):
    fan = Listener()
    fan.play(sound(60))
    for _ in range(10):
        fan.now += timedelta(seconds=10)
        fan.machine.unheard(fan.now, "No sound has come for 20 s.")
    fan.machine.gap(fan.now)
    fan.play(sound(120))
    assert [one.state for one in fan.states] == [State.blind, State.learning]
    assert [(one.kind, one.ended is None) for one in fan.events] == [
        ("blind", True),
        ("blind", False),
    ]


def test_digital_silence_is_blind_within_thirty_seconds_however_long_a_window_is():
    fan = Listener(scorer=LoudScorer(window_seconds=300.0))
    fan.play(sound(60))
    fan.play(0 * sound(30))
    assert [one.state for one in fan.states] == [State.blind]
    assert fan.states[0].time - NOON == timedelta(seconds=80)
    assert fan.states[0].reason.startswith("Digital silence")


def test_a_rate_that_changes_is_blind_until_it_is_back():
    fan = Listener()
    fan.play(sound(60))
    fan.play(sound(60), rate=2 * RATE)
    assert fan.machine.automaton.state is State.blind
    assert "rate is 200 Hz, and 100 Hz was learned here" in fan.states[-1].reason
    fan.play(sound(100))
    assert fan.machine.automaton.state is State.learning


def test_a_gain_far_from_the_learned_levels_is_blind():
    fan = Listener()
    fan.play(sound(60))
    fan.play(sound(60, loud=0.0001))
    assert fan.machine.automaton.state is State.blind
    assert "below the quietest sound that was learned" in fan.states[-1].reason


def test_a_clock_that_is_set_back_neither_repeats_nor_reorders():
    fan = Listener()
    fan.play(sound(60))
    fan.play(sound(40, loud=0.3))
    fan.now -= timedelta(hours=1)
    fan.play(sound(40, loud=0.3))
    fan.play(sound(200))
    times = [one.time for one in fan.windows]
    assert times == sorted(set(times))
    assert [one.ended is None for one in fan.events] == [True, False]


def test_a_shadow_tells_its_score_beside_and_counts_its_own_alarms(tmp_path):
    class Deaf(LoudScorer):
        normal_scores = np.linspace(1.0, 2.0, 99)

    shadow = Shadow("fan", Deaf("deaf"), StateFolder(tmp_path / "shadow"), Rules())
    fan = Listener(shadow=shadow)
    fan.play(sound(60))
    fan.play(sound(60, loud=0.3))
    last = fan.windows[-1]
    assert last.shadow.detector == "deaf"
    assert last.shadow.score == last.score
    assert (last.anomalous, last.shadow.anomalous) == (True, False)
    assert "judged 23 windows, and would have raised 0 alarms" in shadow.sentence()


class Killed(BaseException):
    pass


class Deadly:
    """Ends the process at its n-th step: before or after the state is written, or told."""

    def __init__(self, steps):
        self.left = steps

    def step(self):
        self.left -= 1
        if self.left == 0:
            raise Killed

    def around(self, call):
        def called(*given):
            self.step()
            call(*given)
            self.step()

        return called


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=4))
def test_a_kill_at_any_moment_neither_loses_nor_doubles_an_event(tmp_path_factory, kills):
    place = tmp_path_factory.mktemp("kept")
    pieces = [sound(60), sound(150, loud=0.3), sound(300)]
    samples = np.concatenate(pieces)
    chunks = [samples[start : start + 500] for start in range(0, len(samples), 500)]
    fan, kills = Listener(StateFolder(place)), iter(kills)
    deadly = Deadly(next(kills))

    def arm():
        fan.machine._publish = deadly.around(fan.reports.append)
        fan.machine._folder.save = deadly.around(StateFolder(place).save)

    arm()
    for chunk in chunks:
        fan.now += timedelta(seconds=5)
        try:
            fan.machine.push(chunk, RATE, fan.now)
        except Killed:
            deadly = Deadly(next(kills, 0))
            fan.folder = StateFolder(place)
            fan.start()
            arm()
    assert sorted(key.rsplit("-")[-1] for key in fan.delivered()) == ["begin", "end"]
    assert len({one.id for one in fan.events}) == 1
