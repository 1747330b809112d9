"""A second detector on the same sound, before it takes the place of the first."""

from __future__ import annotations

from datetime import datetime, timedelta

from firstshot.live.kept import StateFolder
from firstshot.live.machine import Machine, Rules
from firstshot.live.messages import EventReport, Report, ShadowReport, WindowReport
from firstshot.live.scorer import Scorer

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
        self._last: WindowReport | None = None
        self.alarms = self.windows = self.differ = 0
        self.machine = Machine(name, scorer, self._take, folder, rules)

    def of(self, end: datetime) -> ShadowReport | None:
        """Return what it says of the window that ends at `end`, None where it has no such one."""
        last = self._last
        if last is None or last.score is None or abs(last.time - end) > SAME_END:
            return None
        threshold, p_value = last.threshold or 0.0, last.p_value or 0.0
        return ShadowReport(
            self.machine.scorer.digest,
            last.score,
            threshold,
            p_value,
            last.ranked,
            last.anomalous,
        )

    def sentence(self) -> str:
        """Say how often it would have raised an alarm."""
        return (
            f"the shadow {self.machine.scorer.digest[:12]} judged {self.windows} windows, and "
            f"would have raised {self.alarms} alarm{'' if self.alarms == 1 else 's'}"
        )

    def _take(self, report: Report) -> None:
        if isinstance(report, WindowReport):
            self.windows += 1
            self._last = report
        elif isinstance(report, EventReport) and report.kind == "alarm" and report.ended is None:
            self.alarms += 1
