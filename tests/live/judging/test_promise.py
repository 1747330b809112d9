"""The promise of commissioning on simulated machines, as `benchmarks/live_promise.py` has them."""

import pytest
from benchmarks.live_promise import promise_kept


@pytest.mark.parametrize("condition", ["none", "1 min", "5 min", "1 h"])
def test_at_most_one_false_alarm_in_seven_days_after_a_day_of_conditions_up_to_an_hour(condition):
    rate, above = promise_kept(condition, 0.3, 1, 7.0, machines=12, seed=8400)
    assert rate <= 1 / 7
    assert above <= 0.25


def test_conditions_of_a_shift_break_the_promise_of_a_day_and_need_three():
    after_one, _ = promise_kept("8 h", 0.3, 1, 7.0, machines=12, seed=8400)
    after_three, above = promise_kept("8 h", 0.3, 3, 7.0, machines=12, seed=8400)
    assert after_one > 1 / 7
    assert after_three < after_one / 10
    assert above <= 0.25
