from datetime import UTC, datetime, timedelta
from itertools import pairwise

from firstshot.live.clock import SystemClock, Timeline

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TEN = timedelta(seconds=10)


def test_times_follow_the_clock_where_it_goes_on():
    line = Timeline()
    assert line.stamp(NOON, 10.0) == NOON
    assert line.stamp(NOON + TEN, 10.0) == NOON + TEN


def test_times_go_on_where_the_clock_is_set_back_and_meet_it_again():
    line, clock, times = Timeline(NOON), NOON - timedelta(seconds=5), []
    for _ in range(1000):
        clock += TEN
        times.append(line.stamp(clock, 10.0))
    assert all(a < b for a, b in pairwise(times))
    assert times[-1] == clock


def test_a_clock_that_was_years_ahead_is_followed_back():
    assert Timeline(NOON + timedelta(days=900)).stamp(NOON, 10.0) == NOON


def test_the_clock_of_this_machine_tells_utc_and_goes_on():
    clock = SystemClock()
    assert clock.now().tzinfo is UTC
    assert clock.monotonic() <= clock.monotonic()
