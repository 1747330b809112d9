"""Recordings of many pieces keep the requested rate, also where pieces depend on each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstshot.scoring.recordings import RecordingRule, highest_windows
from firstshot.scoring.threshold import fit_threshold, p_value


def rule_on(scores, method="conformal", rate=0.1, windows=1):
    return RecordingRule(fit_threshold(scores, method, rate), scores, windows)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 15), min_size=10, max_size=60),
    st.sampled_from(["conformal", "quantile", "gamma"]),
    st.integers(-1, 16),
)
def test_one_piece_is_judged_as_a_clip_is(scores, method, score):
    scores = [*scores, 20]  # a gamma law needs scores that differ
    rule = rule_on(scores, method)
    verdict = rule.judge([score])
    assert (verdict.pieces, verdict.needed, verdict.correction) == (1, 1, 1.0)
    assert verdict.threshold == rule.threshold.value
    assert verdict.above == int(score > rule.threshold.value)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 15), min_size=10, max_size=60),
    st.lists(st.integers(-1, 16), min_size=1, max_size=40),
)
def test_the_decision_is_that_of_the_corrected_p_value(calibration, scores):
    verdict = rule_on(calibration).judge(scores)
    p = float(p_value([scores[verdict.window]], calibration)[0]) * verdict.correction
    is_anomaly = scores[verdict.window] > verdict.threshold
    assert is_anomaly == (p <= 0.1 * (1 + 1e-9))
    assert is_anomaly == (verdict.above >= verdict.needed)
    assert sorted(scores)[-verdict.needed] == scores[verdict.window]


def test_five_pieces_in_eight_are_needed_and_more_where_clips_are_few():
    many, few = rule_on(np.arange(99.0)), rule_on(np.arange(10.0))
    assert [many.needed(pieces) for pieces in (1, 2, 3, 4, 5, 8, 360)] == [1, 2, 2, 3, 4, 5, 225]
    # 10 clips promise 1 in 11: 10 % of recordings need 10/11 of their pieces.
    assert [few.needed(pieces) for pieces in (1, 2, 8, 360)] == [1, 2, 8, 328]
    assert few.judge([1.0] * 32 + [11.0] * 328).above == 328
    nine = rule_on(np.arange(9.0))
    assert nine.needed(360) == 360
    assert nine.judge([10.0] * 360).threshold == nine.threshold.value


@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("pieces", "clips"), [(5, 34), (60, 34), (60, 12), (360, 200)])
def test_normal_recordings_alarm_at_most_at_the_requested_rate(alike, pieces, clips):
    """`alike` is the part of the variance that all pieces of a recording share."""
    rng = np.random.default_rng(pieces + clips)
    alarms = []
    for _ in range(1000):
        rule = rule_on(rng.standard_normal(clips))
        own = rng.standard_normal(pieces) * math.sqrt(1 - alike)
        verdict = rule.judge(own + rng.standard_normal() * math.sqrt(alike))
        alarms.append(verdict.above >= verdict.needed)
    assert np.mean(alarms) <= 0.1 + 3 * math.sqrt(0.1 * 0.9 / 1000)
    if alike == 0.0 and pieces >= 60:
        assert np.mean(alarms) == 0.0


def test_the_highest_window_alone_would_alarm_for_every_normal_hour():
    rng = np.random.default_rng(0)
    rule = rule_on(rng.standard_normal(34))
    hours = rng.standard_normal((50, 360))
    assert all(hour.max() > rule.threshold.value for hour in hours)
    verdicts = [rule.judge(hour) for hour in hours]
    assert not any(verdict.above >= verdict.needed for verdict in verdicts)
    assert max(verdict.above for verdict in verdicts) > 0


def test_a_fault_in_five_of_eight_pieces_is_an_anomaly_wherever_they_lie():
    rng = np.random.default_rng(1)
    rule = rule_on(rng.standard_normal(34))
    hour = rng.standard_normal(360)
    hour[rng.permutation(360)[:225]] += 9
    verdict = rule.judge(hour)
    assert verdict.above >= verdict.needed == 225
    assert hour[verdict.window] > verdict.threshold


def test_a_piece_is_as_long_as_the_clips_and_scored_by_its_highest_window():
    scores = np.array([1.0, 3.0, 2.0, 9.0, 4.0, 0.0, 0.0])
    assert highest_windows(scores, 1).tolist() == list(range(7))
    assert highest_windows(scores, 7).tolist() == highest_windows(scores, 100).tolist() == [3]
    # Seven windows in pieces of three at most: 3, 2 and 2 windows.
    assert highest_windows(scores, 3).tolist() == [1, 3, 5]


def test_a_gamma_threshold_moves_along_its_law():
    scores = np.random.default_rng(2).gamma(3.0, size=200)
    rule = rule_on(scores, "gamma")
    limits = [rule.judge(np.zeros(pieces)).threshold for pieces in (1, 2, 8)]
    assert limits[0] == limits[1] == rule.threshold.value
    assert limits[2] == fit_threshold(scores, "gamma", 0.0625).value > limits[0]
