"""A second detector on the same sound, before it takes the place of the first."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from datetime import timedelta

from firstshot.live.kept import StateFolder
from firstshot.live.machine import Machine, Rules
from firstshot.live.messages import EventReport, Report, ShadowReport, WindowReport
from firstshot.live.scorer import Scorer

SEEN_AT_MOST = 64
SAME_END = timedelta(milliseconds=50)
"""Windows of both detectors that end so close to each other are of the same sound."""


class Shadow:
    """A machine under a second detector, whose messages are compared and not told.

    Parameters
    ----------
    name, scorer, folder, rules
        As `Machine` takes them.
    """

    def __init__(self, name: str, scorer: Scorer, folder: StateFolder, rules: Rules) -> None:
        self._seen: deque[WindowReport] = deque(maxlen=SEEN_AT_MOST)
        self._waiting: deque[WindowReport] = deque()
        self.alarms = self.windows = self.differ = 0
        self.machine = Machine(name, scorer, self._take, folder, rules)

    def join(self, report: WindowReport | None = None, last: bool = False) -> list[WindowReport]:
        """Take a window of the first detector; return those that both have judged, in order.

        Another encoder may need a few milliseconds more of the sound, so its word may come with the
        next chunk. A window of which it says nothing goes on without it, at the `last` all of them.
        """
        if report is not None:
            self._waiting.append(report)
        found = []
        while self._waiting:
            first = self._waiting[0]
            same = [one for one in self._seen if abs(one.time - first.time) <= SAME_END]
            passed = any(one.time > first.time + SAME_END for one in self._seen)
            if not (same or passed or last or len(self._waiting) > 1):
                break
            found.append(replace(self._waiting.popleft(), shadow=self._word(same)))
        return found

    def _word(self, same: list[WindowReport]) -> ShadowReport | None:
        if not same or same[0].score is None:
            return None
        one, digest = same[0], self.machine.scorer.digest
        threshold, p_value = one.threshold or 0.0, one.p_value or 0.0
        return ShadowReport(digest, same[0].score, threshold, p_value, one.ranked, one.anomalous)

    def sentence(self) -> str:
        """Say how often it would have raised an alarm."""
        return (
            f"the shadow {self.machine.scorer.digest[:12]} judged {self.windows} windows, and "
            f"would have raised {self.alarms} alarm{'' if self.alarms == 1 else 's'}"
        )

    def _take(self, report: Report) -> None:
        if isinstance(report, WindowReport):
            self.windows += 1
            self._seen.append(report)
        elif isinstance(report, EventReport) and report.kind == "alarm" and report.ended is None:
            self.alarms += 1
