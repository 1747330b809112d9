"""What is known of a machine: learning, normal, suspicious, alarm, recovering or blind.

Input: judged windows, windows that cannot be judged, and times without sound. Output: changes of
state and events. Blind is never normal: a machine that cannot be heard says so by an event of its
own, and comes back only after a minute of sound that can be judged. An alarm that was open before
stays open meanwhile.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from statistics import median

from firstshot.live.clock import time_text
from firstshot.live.judging.commissioning import Commissioning
from firstshot.live.judging.events import EventBook, Facts
from firstshot.live.judging.faults import GAIN_MARGIN
from firstshot.live.judging.rule import QUIET_WINDOWS, Alarm
from firstshot.live.messages import EventReport, State, StateReport

Told = EventReport | StateReport
BLIND_AFTER = timedelta(seconds=20)
"""Bad sound may last so long before the machine counts as blind; one knock that clips does not."""
COOL_DOWN = timedelta(seconds=60)
"""Good sound must last so long before the machine counts as heard again."""
DAY = timedelta(days=1)
REMINDERS = (timedelta(minutes=10), timedelta(hours=1), DAY)
"""After such times without sound it is told again, and each day after the last."""


@dataclass(frozen=True)
class Judgement:
    """One judged window: its end (UTC), score, p-value and level in dB as the bank has it."""

    end: datetime
    score: float
    p_value: float
    level_db: float | None


@dataclass
class Known:
    """What is kept of a machine's state on disk.

    Attributes
    ----------
    state : State
        The state last told.
    active : bool
        Whether there is an alarm by the rule.
    alarm_threshold : float or None
        The threshold when it began, which holds until it ends: what is learned of the place
        meanwhile must not end the alarm.
    suspicious : datetime or None
        End of the first unusual window of the last n, while the machine is suspicious.
    quiet : datetime or None
        End of the first quiet window of an alarm.
    bad, good : datetime or None
        Beginning of the sound that cannot be judged, or of good sound while the machine is blind.
    reminded : int
        How often a long blind time was told again.
    gain_told : bool
        Whether a level unlike the commissioned ones was told.
    alarms : list of datetime
        Beginnings of the alarms since commissioning, as many as are needed to count them.
    """

    state: State = State.learning
    active: bool = False
    alarm_threshold: float | None = None
    suspicious: datetime | None = None
    quiet: datetime | None = None
    bad: datetime | None = None
    good: datetime | None = None
    reminded: int = 0
    gain_told: bool = False
    alarms: list[datetime] | None = None


class Automaton:
    """The state of one machine, and its events.

    Parameters
    ----------
    machine, detector : str
        The machine's name, and the digest of its detector's file.
    alarm : Alarm
        The rule.
    commissioning : Commissioning
        The threshold.
    books : (EventBook, EventBook), optional
        Alarms and blind times before a restart.
    known : Known, optional
        What was known before a restart.
    """

    def __init__(
        self,
        machine: str,
        detector: str,
        alarm: Alarm,
        commissioning: Commissioning,
        books: tuple[EventBook, EventBook] | None = None,
        known: Known | None = None,
    ) -> None:
        self.machine = machine
        self.detector = detector
        self.alarm = alarm
        self.commissioning = commissioning
        self.alarms, self.blinds = books or (
            EventBook(machine, "alarm"),
            EventBook(machine, "blind"),
        )
        self.known = known or Known()
        self._levels: deque[float] = deque(maxlen=QUIET_WINDOWS)
        self.alarm.active = self.known.active

    @property
    def state(self) -> State:
        """The state last told."""
        return self.known.state

    @property
    def threshold(self) -> float:
        """What R is compared with now."""
        frozen = self.known.alarm_threshold
        return self.commissioning.threshold if frozen is None else frozen

    def judged(self, window: Judgement) -> list[Told]:
        """Take a judged window."""
        known, threshold = self.known, self.threshold
        known.bad = None
        kind, change = self.commissioning.kind, self.alarm.push(window.score, threshold)
        ranked = self.alarm.ranked
        reports: list[Told] = []
        words = self._alarm_words(window.end)
        facts = Facts(words, kind, self.detector, ranked, threshold, window.p_value)
        if change == "begins":
            reports += self._begin_alarm(window.end, facts)
        elif change == "ends":
            ended = f"{QUIET_WINDOWS} windows in a row sound normal."
            reports += self.alarms.end(window.end, ended)
        elif self.alarm.active and ranked is not None and ranked > threshold:
            self.alarms.update(facts)
        known.active = self.alarm.active
        known.alarm_threshold = threshold if known.active else None
        learned = self.commissioning.push(window.end, ranked, window.p_value, window.level_db)
        reports += self._move(*self._heard(window.end), window.end)
        sentence = self.commissioning.sentence()
        if learned and all(one.reason != sentence for one in reports):
            reports.append(self._note(window.end, sentence))
        return [*reports, *self._note_gain(window)]

    def unjudged(self, start: datetime, end: datetime, fault: str) -> list[Told]:
        """Take a window that cannot be judged, with the reason."""
        self.known.good = None
        self.known.bad = self.known.bad or start
        if self.state is not State.blind and end - self.known.bad < BLIND_AFTER:
            return []
        return self.unheard(end, fault, self.known.bad)

    def unheard(self, time: datetime, reason: str, since: datetime | None = None) -> list[Told]:
        """Say that the machine cannot be heard; repeated calls tell nothing new."""
        known, reports = self.known, list[Told]()
        known.good, known.bad = None, known.bad or since or time
        self.gap()
        if self.state is not State.blind:
            facts = Facts(reason, self.commissioning.kind, self.detector)
            reports += self.blinds.begin(known.bad if since else time, facts)
            known.reminded = 0
            reports += self._move(State.blind, reason, time)
        return [*reports, *self.pass_time(time)]

    def gap(self) -> None:
        """Forget the last scores: sound is missing before what follows."""
        self.alarm.gap()
        self.known.suspicious = self.known.quiet = None

    def pass_time(self, time: datetime) -> list[Told]:
        """Tell again, now and then, of a machine that stays blind."""
        known = self.known
        if self.state is not State.blind or known.good is not None or known.bad is None:
            return []
        days = max(0, known.reminded + 1 - len(REMINDERS))
        if time - known.bad < REMINDERS[min(known.reminded, len(REMINDERS) - 1)] + days * DAY:
            return []
        known.reminded += 1
        minutes = (time - known.bad).total_seconds() / 60
        return [self._note(time, f"Nothing can be judged for {minutes:.0f} min.")]

    def commission_again(self, time: datetime) -> list[Told]:
        """Learn this place anew; whoever asks for it says that the machine is in order."""
        self.commissioning.again()
        self.known.alarms = self.known.alarm_threshold = None
        self.alarm.active = self.known.active = False
        self.gap()
        reports: list[Told] = [*self.alarms.end(time, "This place is learned anew.")]
        return reports if self.state is State.blind else reports + self._move(*self._usual(), time)

    def _note_gain(self, window: Judgement) -> list[Told]:
        """Say once that the level is unlike all that the threshold was learned from."""
        place = self.commissioning.place
        if place.lowest_db is None or place.highest_db is None or window.level_db is None:
            return []
        self._levels.append(window.level_db)
        level = median(self._levels)
        off = max(place.lowest_db - level, level - place.highest_db)
        full = len(self._levels) == QUIET_WINDOWS
        changed = place.status == "done" and full and off > GAIN_MARGIN
        told, self.known.gain_told = self.known.gain_told, changed
        if told or not changed:
            return []
        side = "below" if level < place.lowest_db else "above"
        return [
            self._note(
                window.end,
                f"The level is {off:.0f} dB {side} all that was heard while learning this place; "
                "if the gain or the microphone has changed, commission again.",
            )
        ]

    def _begin_alarm(self, time: datetime, facts: Facts) -> list[EventReport]:
        """Begin an event; the second alarm within the promised days asks to commission again."""
        days = self.commissioning.days
        self.commissioning.count_alarm()
        if self.commissioning.promises:
            recent = [one for one in self.known.alarms or () if time - one < timedelta(days=days)]
            self.known.alarms = [*recent, time]
            if recent:
                words = (
                    f"{facts.reason} These are {len(recent) + 1} alarms in {days:g} days, and at "
                    "most one was promised; if the machine is in order, commission again."
                )
                facts = replace(facts, reason=words)
        return self.alarms.begin(time, facts)

    def _heard(self, time: datetime) -> tuple[State, str]:
        """Return the state after a judged window, with the reason."""
        known, alarm, threshold = self.known, self.alarm, self.threshold
        above, ranked = alarm.above(threshold), alarm.ranked
        loud = alarm.active and ranked is not None and ranked > threshold
        back = ""
        if self.state is State.blind and not loud:
            known.good = known.good or time
            if time - known.good < COOL_DOWN:
                return State.blind, ""
            back = "Sound is judged again. "
        known.good = None
        if alarm.active:
            known.suspicious = None
            known.quiet = None if loud else known.quiet or time
            if known.quiet is None:
                return State.alarm, self._alarm_words(time)
            words = f"Quieter since {time_text(known.quiet)}; {QUIET_WINDOWS} such windows end it."
            return State.recovering, back + words
        known.quiet = None
        if above >= alarm.rule.needed - 1:
            known.suspicious = known.suspicious or self._first_above(time)
            return State.suspicious, f"{above} of {len(alarm.scores)} windows sound unlike normal."
        if known.suspicious is not None and above < alarm.rule.needed // 2:
            first, known.suspicious = known.suspicious, None
            return self._usual()[0], f"One unusual moment at {time_text(first)} (no alarm)."
        if known.suspicious is not None:
            return State.suspicious, ""
        state, words = self._usual()
        return state, back + words

    def _usual(self) -> tuple[State, str]:
        """Return the state of a machine with nothing unusual."""
        state = State.normal if self.commissioning.promises else State.learning
        return state, self.commissioning.sentence()

    def _alarm_words(self, time: datetime) -> str:
        above = self.alarm.above(self.threshold)
        since = time_text(self._first_above(time))
        return f"Since {since} {above} of {self.alarm.rule.of} windows sound unlike normal."

    def _first_above(self, time: datetime) -> datetime:
        """Return the end of the first of the last n windows that is above the threshold."""
        scores, threshold = list(self.alarm.scores), self.threshold
        above = [i for i, score in enumerate(scores) if score > threshold]
        windows = len(scores) - 1 - above[0] if above else 0
        return time - timedelta(seconds=windows * self.commissioning.hop_seconds)

    def _move(self, state: State, reason: str, time: datetime) -> list[Told]:
        """Change the state; nothing is told where it stays."""
        before, self.known.state = self.state, state
        if state is before:
            return []
        reports: list[Told] = []
        if before is State.blind:
            reports += self.blinds.end(time, "Sound is judged again.")
        return [*reports, StateReport(self.machine, time, state, before, reason)]

    def _note(self, time: datetime, reason: str) -> StateReport:
        """Return a sentence about a machine whose state stays."""
        return StateReport(self.machine, time, self.state, self.state, reason)
