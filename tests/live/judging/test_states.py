from datetime import UTC, datetime, timedelta

import pytest

from firstshot.live.judging.commissioning import BankLevels, Commissioning
from firstshot.live.judging.rule import Alarm, WindowRule
from firstshot.live.judging.states import Automaton, Judgement
from firstshot.live.messages import EventReport, State, StateReport

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOP = timedelta(seconds=5)


class Machine:
    """An automaton that is given windows of 10 s every 5 s, normal below a score of 1."""

    def __init__(self):
        commissioning = Commissioning(BankLevels(1.0, 0.5, 0.05), 5.0)
        rule = Alarm(WindowRule.of_windows(10.0, 5.0))
        self.automaton = Automaton("fan", "abc", rule, commissioning)
        self.now, self.reports = NOON, []

    def hear(self, *scores, level=-20.0):
        for score in scores:
            self.now += HOP
            self.reports += self.automaton.judged(Judgement(self.now, score, 0.5, level))

    def fail(self, windows, fault="Digital silence."):
        for _ in range(windows):
            self.now += HOP
            self.reports += self.automaton.unjudged(self.now - 2 * HOP, self.now, fault)

    @property
    def states(self):
        return [one.state for one in self.reports if isinstance(one, StateReport)]

    @property
    def events(self):
        return [one for one in self.reports if isinstance(one, EventReport)]


def test_a_fault_is_one_alarm_from_suspicious_to_recovering_and_back():
    fan = Machine()
    fan.hear(*[0.0] * 8, *[3.0] * 20, *[0.0] * 30)
    assert fan.states == [State.suspicious, State.alarm, State.recovering, State.learning]
    opened, closed = fan.events
    assert opened.id == closed.id == "fan-alarm-20260301T120105.000Z"
    assert (opened.ended, closed.ended) == (None, fan.now - 15 * HOP)
    assert (opened.peak, opened.threshold, opened.threshold_kind) == (3.0, 1.0, "bank")
    assert opened.reason == "Since 12:00:45Z 5 of 8 windows sound unlike normal."


def test_a_slam_changes_nothing():
    fan = Machine()
    fan.hear(*[0.0] * 8, 50.0, 50.0, *[0.0] * 20)
    assert fan.reports == []


def test_four_unusual_windows_are_suspicious_and_told_as_one_moment():
    fan = Machine()
    fan.hear(*[0.0] * 8, *[2.0] * 4, *[0.0] * 8)
    assert fan.states == [State.suspicious, State.learning]
    assert fan.reports[-1].reason == "One unusual moment at 12:00:45Z (no alarm)."
    assert fan.events == []


def test_an_alarm_that_flickers_stays_one_event():
    fan = Machine()
    for _ in range(6):
        fan.hear(*[3.0] * 8, *[0.0] * 8)
    assert len(fan.events) == 1


def test_each_alarm_is_an_event_of_its_own():
    fan = Machine()
    for _ in range(3):
        fan.hear(*[0.0] * 8, *[3.0] * 8, *[0.0] * 16)
    assert len({one.id for one in fan.events}) == 3
    assert [one.ended is None for one in fan.events] == [True, False] * 3


def test_silence_is_blind_within_thirty_seconds_and_never_normal():
    fan = Machine()
    fan.hear(*[0.0] * 8)
    stopped = fan.now
    fan.fail(4)
    assert fan.states == [State.blind]
    assert fan.reports[-1].time - stopped <= timedelta(seconds=30)
    assert [one.kind for one in fan.events] == ["blind"]
    assert fan.events[0].reason == "Digital silence."


def test_one_window_that_clips_is_not_blind():
    fan = Machine()
    fan.hear(*[0.0] * 8)
    fan.fail(2)
    fan.hear(*[0.0] * 8)
    assert fan.reports == []


def test_a_blind_machine_comes_back_after_a_minute_of_good_sound():
    fan = Machine()
    fan.hear(*[0.0] * 8)
    fan.fail(10)
    fan.hear(*[0.0] * 12)
    assert fan.automaton.state is State.blind
    fan.hear(0.0)
    assert fan.automaton.state is State.learning
    assert [one.ended is None for one in fan.events] == [True, False]


def test_sound_that_comes_and_goes_is_one_blind_event():
    fan = Machine()
    for _ in range(20):
        fan.hear(*[0.0] * 6)
        fan.fail(6)
    assert len(fan.events) == 1


def test_a_long_blind_time_is_told_again_after_ten_minutes_and_an_hour():
    fan = Machine()
    fan.fail(12 * 120)
    assert [one.reason for one in fan.reports[2:]] == [
        "Nothing can be judged for 10 min.",
        "Nothing can be judged for 60 min.",
    ]
    days = fan.automaton.unheard(fan.now + timedelta(days=1), "gone")
    days += fan.automaton.unheard(fan.now + timedelta(days=1, hours=1), "gone")
    days += fan.automaton.unheard(fan.now + timedelta(days=2, hours=1), "gone")
    assert len(days) == 2


def test_an_alarm_stays_open_while_nothing_is_heard():
    fan = Machine()
    fan.hear(*[0.0] * 8, *[3.0] * 10)
    fan.fail(10)
    fan.hear(*[0.0] * 13)
    assert fan.automaton.state is State.recovering
    alarms = [one for one in fan.events if one.kind == "alarm"]
    assert len(alarms) == 1
    fan.hear(*[0.0] * 12)
    assert fan.automaton.state is State.learning
    assert [one.ended is None for one in fan.events if one.kind == "alarm"] == [True, False]


def test_scores_before_a_blind_time_do_not_count_after_it():
    fan = Machine()
    fan.hear(*[0.0] * 8, *[3.0] * 4)
    fan.fail(5)
    fan.hear(3.0, 3.0, 3.0, 3.0, 0.0, 0.0, 0.0, 0.0, *[0.0] * 20)
    assert [one.kind for one in fan.events if one.kind == "alarm"] == []


def test_after_commissioning_a_quiet_machine_is_normal_with_the_promise():
    fan = Machine()
    fan.hear(*[0.1] * 17500)
    assert fan.states == [State.normal]
    assert fan.reports[0].reason.startswith(
        "At most one false alarm in 7 days. Holds while machine, microphone and surroundings stay "
        "as from 2026-03-01 12:00Z to 2026-03-02 12:"
    )


def test_the_second_alarm_within_the_promised_days_asks_to_commission_again():
    fan = Machine()
    fan.hear(*[0.1] * 17500)
    for _ in range(2):
        fan.hear(*[3.0] * 8, *[0.0] * 200)
    first, _, second, _ = fan.events
    assert "commission again" not in first.reason
    assert "2 alarms in 7 days, and at most one was promised" in second.reason


def test_a_place_unlike_the_learned_clips_is_refused_with_its_share():
    commissioning = Commissioning(BankLevels(1.0, 0.5, 0.05), 5.0)
    for i in range(17400):
        end = NOON + i * HOP
        if commissioning.push(end, 0.1, 0.01 if i % 5 < 2 else 0.5, None):
            break
    assert commissioning.place.status == "refused"
    assert commissioning.kind == "bank"
    assert commissioning.sentence() == (
        "This place sounds unlike what was learned: 40 % of its windows are unusual. Fit again "
        "with it. No promise is made."
    )


def test_thresholds_come_from_the_bank_then_from_an_hour_then_from_a_day():
    commissioning = Commissioning(BankLevels(1.0, 0.5, 0.05), 5.0)
    kinds = []
    for i in range(17400):
        commissioning.push(NOON + i * HOP, 0.2 + 0.1 * (i % 7), 0.5, -20.0)
        if not kinds or kinds[-1][1] != commissioning.kind:
            kinds.append((i + 1, commissioning.kind))
    assert kinds == [(1, "bank"), (720, "provisional"), (17280, "commissioned")]
    assert commissioning.threshold == pytest.approx(0.8)
    assert commissioning.promises


def test_the_provisional_threshold_is_never_below_the_floor_and_the_final_one_has_none():
    commissioning = Commissioning(BankLevels(9.0, 5.0, 0.05), 5.0)
    for i in range(720):
        commissioning.push(NOON + i * HOP, 0.1, 0.5, None)
    assert commissioning.threshold == 5.0
    assert commissioning.sentence() == "Learning this place: 1 of 24 h. No promise yet."
    for i in range(17280):
        commissioning.push(NOON + i * HOP, 0.1, 0.5, None)
    assert commissioning.threshold == pytest.approx(0.1)


def test_commissioning_again_begins_a_new_version_with_the_first_thresholds():
    fan = Machine()
    fan.hear(*[0.1] * 17500)
    fan.reports += fan.automaton.commission_again(fan.now)
    commissioning = fan.automaton.commissioning
    assert (commissioning.place.version, commissioning.kind) == (2, "bank")
    assert fan.states[-1] is State.learning


def test_an_alarm_is_not_ended_by_what_is_learned_of_the_place_meanwhile():
    fan = Machine()
    fan.hear(*[0.1] * 800)
    assert fan.automaton.commissioning.kind == "provisional"
    fan.hear(*[3.0] * 500)
    assert fan.automaton.commissioning.threshold > 3.0
    assert fan.automaton.state is State.alarm
    assert len(fan.events) == 1
    fan.hear(*[0.1] * 30)
    assert fan.events[-1].ended is not None


def test_an_alarm_while_learning_is_told_with_the_promise():
    fan = Machine()
    fan.hear(*[0.1] * 800, *[3.0] * 20, *[0.1] * 17000)
    assert fan.automaton.commissioning.sentence().endswith(
        " 1 alarm was raised while learning; if there was a fault, commission again."
    )


def test_a_level_unlike_the_commissioned_ones_asks_once_to_commission_again():
    fan = Machine()
    fan.hear(*[0.1] * 17500)
    fan.hear(*[0.1] * 50, level=-29.0)
    assert len(fan.reports) == 1
    fan.hear(*[0.1] * 50, level=-35.0)
    fan.hear(*[0.1] * 50)
    (_, note) = fan.reports
    assert note.state is note.before is State.normal
    assert note.reason == (
        "The level is 12 dB below all that was heard while learning this place; if the gain or the "
        "microphone has changed, commission again."
    )


def test_sound_that_comes_and_goes_in_an_alarm_is_one_blind_event():
    fan = Machine()
    fan.hear(*[0.0] * 8, *[3.0] * 10)
    for _ in range(20):
        fan.fail(6)
        fan.hear(*[0.0] * 6)
    assert [(one.kind, one.ended) for one in fan.events] == [("alarm", None), ("blind", None)]


def test_a_fault_is_told_at_once_when_a_blind_machine_is_heard_again():
    fan = Machine()
    fan.hear(*[0.0] * 8)
    fan.fail(10)
    fan.hear(*[3.0] * 8)
    assert fan.automaton.state is State.alarm


def test_who_commissions_again_in_an_alarm_ends_it():
    fan = Machine()
    fan.hear(*[0.0] * 8, *[3.0] * 10)
    fan.reports += fan.automaton.commission_again(fan.now)
    assert fan.events[-1].reason == "This place is learned anew."
    assert fan.automaton.state is State.learning
    fan.fail(10)
    fan.reports += fan.automaton.commission_again(fan.now)
    assert fan.automaton.state is State.blind


def test_the_promise_is_told_even_if_it_comes_in_an_alarm():
    fan = Machine()
    fan.hear(*[0.1] * 17200, *[3.0] * 200)
    promises = [one.reason for one in fan.reports if one.reason.startswith("At most one false")]
    assert len(promises) == 1
    assert fan.automaton.state is State.alarm
