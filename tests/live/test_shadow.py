from datetime import timedelta

from tests.live.loud import NOON, LoudScorer

from firstshot.live.kept import StateFolder
from firstshot.live.machine import Rules
from firstshot.live.messages import State, WindowReport
from firstshot.live.shadow import Shadow


def window(seconds, score=0.05):
    end = NOON + timedelta(seconds=seconds)
    return WindowReport("fan", end, State.learning, score, 0.1, 0.5, -30.0, None, False)


def words(windows):
    return [(one.time - NOON, one.shadow and one.shadow.score) for one in windows]


def test_a_word_that_comes_late_joins_the_window_of_the_same_sound():
    shadow = Shadow("fan", LoudScorer("late"), StateFolder(None), Rules())
    told = shadow.join(window(10))
    assert told == []
    shadow._take(window(10.01, 0.7))
    told += shadow.join()
    shadow._take(window(15, 0.8))
    told += shadow.join(window(15))
    assert words(told) == [(timedelta(seconds=10), 0.7), (timedelta(seconds=15), 0.8)]


def test_a_window_without_a_word_goes_on_with_the_next_one_and_at_the_end():
    shadow = Shadow("fan", LoudScorer("deaf"), StateFolder(None), Rules())
    told = shadow.join(window(10)) + shadow.join(window(15)) + shadow.join(last=True)
    assert words(told) == [(timedelta(seconds=10), None), (timedelta(seconds=15), None)]
