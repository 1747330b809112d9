"""The bank looked at: clips unlike the others, near-copies, odd lengths and levels."""

from __future__ import annotations

import numpy as np
import pytest

from firstshot.detector import Detector
from firstshot.detector.inspection import far_from_median, tail_p_values

RATE = 16000


def sound(seed, seconds=0.5, gain=0.1):
    white = np.random.default_rng(seed).standard_normal(int(seconds * RATE))
    return gain * (white + 0.6 * np.concatenate([[0.0], white[:-1]])), RATE


def hush(seed):
    """A stopped machine: mains hum and a little noise."""
    time = np.arange(RATE // 2) / RATE
    return 1e-3 * np.sin(2 * np.pi * 50 * time) + sound(seed, gain=1e-5)[0], RATE


@pytest.fixture(scope="module")
def usual():
    return [sound(i) for i in range(60)]


def test_usual_clips_give_no_note(usual):
    inspection = Detector("logmel").fit(usual, [sound(100 + i) for i in range(20)]).inspect()
    assert inspection.looked_at == 80
    assert (inspection.unlike, inspection.near_copies, inspection.odd) == ((), (), ())
    assert inspection.notes == []


def test_a_stopped_machine_among_the_normal_clips_is_named_with_its_neighbours(usual, tmp_path):
    detector = Detector("logmel").fit([*usual, hush(1)])
    detector.save(tmp_path / "a.firstshot")
    for one in (detector, Detector.load(tmp_path / "a.firstshot")):
        inspection = one.inspect()
        (unlike,) = inspection.unlike
        assert (unlike.clip, unlike.domain) == ("array 60", "source")
        assert unlike.score == detector.training_scores_[60]
        assert unlike.p_value * 61 < 0.01
        assert len(unlike.nearest) == 3
        assert unlike.clip not in {near.clip for near in unlike.nearest}
        assert inspection.notes[0] == (
            "1 of 61 normal clips does not sound like the others "
            "(p < 0.01 after Bonferroni's correction for 61 clips): array 60"
        )
        assert [(odd.clip, odd.quantity) for odd in inspection.odd] == [("array 60", "level")]
    detector.remove("array 60")
    assert detector.inspect().notes == []


def test_dithered_copies_are_one_group(usual):
    copies = [(usual[3][0] + sound(900 + i, gain=1e-6)[0], RATE) for i in range(4)]
    inspection = Detector("logmel").fit([*usual, *copies]).inspect()
    names = ("array 3", "array 60", "array 61", "array 62", "array 63")
    assert inspection.near_copies == (tuple(("source", name) for name in names),)
    assert inspection.notes[0].startswith(
        "5 normal clips are near-copies of each other, in 1 group: array 3 = array 60"
    )


def test_a_clip_of_another_length_or_level_is_odd(usual):
    clips = [*usual, sound(100, 0.9), sound(101, gain=0.01)]
    odd = Detector("logmel").fit(clips).inspect().odd
    assert [(one.clip, one.quantity) for one in odd] == [
        ("array 61", "level"),
        ("array 60", "length"),
    ]
    assert odd[0].value == pytest.approx(odd[0].usual - 20.0, abs=1.0)
    assert (odd[1].value, odd[1].usual) == (pytest.approx(0.9), pytest.approx(0.5, abs=0.05))


def test_of_windows_a_recording_is_named_and_its_own_windows_are_no_neighbours(usual):
    long = [(np.concatenate([sound(10 * i + j)[0] for j in range(3)]), RATE) for i in range(20)]
    bad = (np.concatenate([hush(j)[0] for j in range(3)]), RATE)
    inspection = Detector("logmel", length="windows:0.5").fit([*long, bad]).inspect()
    (unlike,) = inspection.unlike
    assert (inspection.looked_at, unlike.clip) == (21, "array 20")
    assert not any(near.clip.startswith("array 20") for near in unlike.nearest)


def test_of_fewer_than_ten_clips_nothing_is_said(usual):
    assert Detector("logmel").fit([*usual[:8], hush(1)]).inspect().notes == []


def test_p_values_are_those_of_the_exponential_tail_and_hold_with_a_fifth_of_bad_clips():
    scores = np.append(np.linspace(0.0, 1.0, 81), np.full(20, 50.0))
    p_values = tail_p_values(scores)
    middle, quartile = np.quantile(scores, [0.5, 0.75])
    expected = 0.25 * 2.0 ** -((50.0 - quartile) / (quartile - middle))
    assert p_values[-20:] == pytest.approx(expected)
    assert (p_values[:75] == 1.0).all()
    assert tail_p_values(np.ones(12)).tolist() == [1.0] * 12


@pytest.mark.parametrize("clips", [20, 100])
def test_scores_of_one_law_are_seldom_listed(clips):
    rng = np.random.default_rng(0)
    draws = rng.gamma(8.0, size=(500, clips))
    listed = sum((tail_p_values(draw) * clips < 0.01).any() for draw in draws)
    assert listed <= 15


def test_a_value_is_odd_by_robust_deviations_and_not_below_the_least():
    values = np.array([1.0, 2.0, 3.0, 4.0, 100.0])
    assert far_from_median(values, 0.0).tolist() == [False] * 4 + [True]
    assert not far_from_median(values, 98.0).any()
