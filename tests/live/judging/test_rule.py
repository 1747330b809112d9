from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstshot.live.judging.promise import FIVE_MINUTES_PER_DAY, promised_level
from firstshot.live.judging.rule import Alarm, WindowRule, find_alarms

GOLDEN = (
    Path(__file__).resolve().parents[3] / ".." / "shared/golden/map_and_windows/golden_windows.npz"
)
HALF = WindowRule.of_windows(10.0, 5.0)


def golden_scores():
    scores = np.random.default_rng(8300).standard_normal(4000)
    scores[3000:] += 3
    scores[1500:1502] += 9
    return scores


def test_the_golden_windows_have_their_ranks_threshold_and_one_alarm():
    if not GOLDEN.exists():
        pytest.skip("the golden numbers are not on this machine")
    golden = np.load(GOLDEN)
    ranked = HALF.ranked(golden_scores())
    assert np.allclose(ranked, golden["R"])
    maxima = ranked[: 39 * 60].reshape(39, 60).max(axis=1)
    assert np.allclose(maxima, golden["maxima"])
    level = promised_level(maxima, 7, FIVE_MINUTES_PER_DAY)
    assert level == pytest.approx(float(golden["threshold"]))
    alarms = [(start + 7, end) for start, end in find_alarms(ranked, level)]
    assert alarms == [tuple(pair) for pair in golden["alarms"].tolist()]


def test_the_published_threshold_and_alarm_hold_without_the_golden_file():
    ranked = HALF.ranked(golden_scores())
    maxima = ranked[: 39 * 60].reshape(39, 60).max(axis=1)
    level = promised_level(maxima, 7, FIVE_MINUTES_PER_DAY)
    assert level == pytest.approx(1.83309, abs=1e-5)
    assert find_alarms(ranked, level) == [(3006 - 7, -1)]


def test_other_hops_need_more_windows():
    assert (HALF.needed, HALF.of) == (5, 8)
    assert WindowRule.of_windows(10.0, 10.0) == WindowRule(3, 5)
    assert WindowRule.of_windows(10.0, 2.5) == WindowRule(9, 15)
    assert WindowRule.of_windows(1.2, 0.4) == WindowRule(7, 12)  # 1.2 / 0.4 is above 3 in floats


def test_an_alarm_begins_at_the_fifth_high_score_and_ends_at_the_twelfth_quiet_window():
    alarm = Alarm(HALF)
    scores = [0.0] * 8 + [9.0] * 5 + [0.0] * 20
    changes = [alarm.push(score, 1.0) for score in scores]
    begun, ended = changes.index("begins"), changes.index("ends")
    assert begun == 8 + 4
    # The high scores stay among the last eight for three more windows.
    assert ended == 8 + 5 + 3 + 11
    assert [change for change in changes if change] == ["begins", "ends"]


def test_one_loud_moment_in_three_windows_is_no_alarm():
    alarm = Alarm(HALF)
    assert not any(alarm.push(s, 1.0) for s in [0.0] * 8 + [99.0] * 3 + [0.0] * 20)


def test_a_gap_clears_the_last_scores_so_that_nothing_is_joined_across_it():
    alarm = Alarm(HALF)
    for score in [0.0] * 4 + [9.0] * 4:
        alarm.push(score, 1.0)
    alarm.gap()
    assert alarm.ranked is None
    assert [alarm.push(9.0, 1.0) for _ in range(8)] == [None] * 7 + ["begins"]


@given(
    st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0]), max_size=200),
    st.sampled_from([(10.0, 5.0), (10.0, 10.0), (3.0, 1.0)]),
)
def test_window_by_window_gives_the_alarms_of_the_whole_row(scores, lengths):
    rule = WindowRule.of_windows(*lengths)
    alarm, found = Alarm(rule), []
    for i, score in enumerate(scores):
        change = alarm.push(score, 1.5)
        if change == "begins":
            found.append((i - rule.of + 1, -1))
        elif change == "ends":
            found[-1] = (found[-1][0], i - rule.of + 1)
    assert found == find_alarms(rule.ranked(scores), 1.5)


def test_the_level_is_never_below_what_was_heard():
    assert promised_level([0.0] * 100 + [10.0], 0.01, 24) == 10.0
