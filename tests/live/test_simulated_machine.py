"""A virtual machine plays for hours through the whole of what `firstshot watch` judges with."""

import shutil
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from firstshot import Detector
from firstshot.live.kept import StateFolder
from firstshot.live.machine import Machine
from firstshot.live.messages import EventReport, State, StateReport, WindowReport
from firstshot.live.scorer import Scorer
from firstshot.sound.synth import synthesize

RATE, WINDOW = 16000, 4
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = {
    None: synthesize("SynthFan", seconds=60.0, seed=5),
    "rubbing": synthesize("SynthFan", fault="rubbing", severity=1.0, seconds=60.0, seed=5),
}
pytestmark = pytest.mark.filterwarnings("ignore::firstshot.errors.FirstshotWarning")


def minutes(count, fault=None, seed=0):
    """The machine at its one operating point, in a room whose noise is never the same."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(count * 60 * RATE).astype(np.float32)
    return np.tile(MINUTE[fault], count) + np.float32(0.01) * noise


def growing(count, seed):
    """A fault that grows in `count` minutes from nothing to all of it."""
    share = np.linspace(0, 1, count * 60 * RATE, dtype=np.float32)
    return np.sqrt(1 - share) * minutes(count, seed=seed) + np.sqrt(share) * minutes(
        count, "rubbing", seed
    )


class Place:
    """A watched machine; `play` gives it sound in pieces of a second, as a source does."""

    def __init__(self, detector, folder):
        self.reports, self.now = [], NOON
        self.machine = Machine(
            "fan", Scorer(detector, "digest"), self.reports.append, StateFolder(folder)
        )
        self.now = self.machine.kept.last or NOON

    def play(self, samples):
        for start in range(0, len(samples), RATE):
            piece = samples[start : start + RATE, None]
            self.now += timedelta(seconds=len(piece) / RATE)
            self.machine.push(piece, RATE, self.now)

    def of(self, kind):
        return [one for one in self.reports if isinstance(one, kind)]


@pytest.fixture(scope="module")
def detector():
    sound, rng = minutes(12, seed=1), np.random.default_rng(2)
    starts = rng.integers(0, len(sound) - WINDOW * RATE, 90)
    return Detector("logmel").fit(
        [(sound[start : start + WINDOW * RATE], RATE) for start in starts]
    )


@pytest.fixture(scope="module")
def after_an_hour(detector, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hour") / "fan"
    place = Place(detector, folder)
    for quarter in range(4):
        place.play(minutes(16, seed=10 + quarter))
    place.machine.close()
    return place, folder


@pytest.fixture
def place(detector, after_an_hour, tmp_path):
    shutil.copytree(after_an_hour[1], tmp_path / "fan")
    return Place(detector, tmp_path / "fan")


def test_an_hour_of_normal_sound_raises_no_alarm_and_a_provisional_threshold(after_an_hour):
    place, _ = after_an_hour
    assert place.of(EventReport) == []
    assert place.machine.automaton.commissioning.kind == "provisional"
    assert len(place.of(WindowReport)) == 64 * 30 - 1


def test_a_fault_that_grows_is_one_alarm(place):
    begun = place.now
    place.play(growing(6, seed=20))
    place.play(minutes(2, "rubbing", seed=21))
    (alarm,) = place.of(EventReport)
    assert (alarm.kind, alarm.ended) == ("alarm", None)
    assert timedelta(0) < alarm.started - begun < timedelta(minutes=6)
    assert place.machine.automaton.state is State.alarm


def test_a_clear_fault_is_found_within_the_delay_of_the_rule(place):
    place.play(minutes(1, seed=30))
    begun = place.now
    place.play(minutes(1, "rubbing", seed=31))
    (alarm,) = place.of(EventReport)
    # The first window with a part of the fault, four more, and the last of them has to end.
    assert alarm.started - begun <= timedelta(seconds=5 * WINDOW / 2 + 1)


def test_a_slam_is_no_alarm(place):
    sound = minutes(3, seed=40)
    slam = np.random.default_rng(41).standard_normal(RATE // 2).astype(np.float32)
    slam *= np.float32(0.2) * np.exp(-np.arange(len(slam), dtype=np.float32) / 2000)
    for second in (60, 100, 140):
        sound[second * RATE : second * RATE + len(slam)] += slam
    place.play(sound)
    assert place.of(EventReport) == []
    assert any(one.anomalous for one in place.of(WindowReport))


def test_a_stopped_microphone_is_blind_within_thirty_seconds(place):
    place.play(minutes(1, seed=50))
    stopped = place.now
    place.play(np.zeros(60 * RATE, np.float32))
    (blind,) = place.of(EventReport)
    assert blind.kind == "blind"
    assert blind.reason.startswith("Digital silence")
    told = place.of(StateReport)[0]
    assert told.state is State.blind
    assert told.time - stopped <= timedelta(seconds=30)


def test_a_gain_that_was_turned_down_by_far_is_blind(place):
    place.play(minutes(1, seed=60))
    place.play(np.float32(0.003) * minutes(1, seed=61))
    assert place.machine.automaton.state is State.blind
    assert "below the quietest sound that was learned" in place.of(StateReport)[0].reason


def test_memory_does_not_grow_with_the_hours(after_an_hour):
    place, _ = after_an_hour
    stream = place.machine._stream
    assert len(stream._ring) == WINDOW * RATE
    assert len(stream._blocks) < 20 * WINDOW
    assert len(place.machine.automaton.alarm.scores) == 8
