"""Watched machines as a table in a terminal, one line each, drawn anew several times a second.

A line has the level as a bar, the compared score as a bar with a mark at the threshold, the state,
and the last event. A machine from which nothing has come for a while says so.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from firstshot.libraries import import_library
from firstshot.live.clock import Clock, utc_text
from firstshot.live.messages import EventReport, Report, State, WindowReport

WIDTH = 24
MARK = 16
"""Cells of a score bar, and the one that stands for the threshold."""
QUIETEST_DB = -80.0
LATE_SECONDS = 60.0
_STYLES = {
    State.learning: "cyan",
    State.normal: "green",
    State.suspicious: "yellow",
    State.alarm: "bold white on red",
    State.recovering: "red",
    State.blind: "bold white on blue",
}


@dataclass
class _Row:
    """What the table shows of a machine."""

    state: State | None = None
    window: WindowReport | None = None
    heard: float | None = None
    event: EventReport | None = None


class Terminal:
    """A table in a terminal; see `firstshot.live.outputs.protocol.Feed`."""

    def __init__(self, machines: Sequence[str], clock: Clock, console: Any = None) -> None:
        """Prepare the table; raises `MissingLibraryError`.

        `console` is a rich Console, None for standard output.
        """
        import_library("rich", "the option --tui")
        self._clock, self._console = clock, console
        self._rows = {machine: _Row() for machine in machines}
        self._lock = threading.Lock()
        self._live: Any = None

    def open(self) -> None:
        """Begin to draw."""
        from rich.live import Live

        self._live = Live(
            get_renderable=self.table, console=self._console, refresh_per_second=4, screen=False
        )
        self._live.start()

    def show(self, report: Report) -> None:
        """Take a message."""
        with self._lock:
            row = self._rows.setdefault(report.machine, _Row())
            if isinstance(report, EventReport):
                row.event = report
                return
            row.state = report.state
            if isinstance(report, WindowReport):
                row.window, row.heard = report, self._clock.monotonic()

    def close(self) -> None:
        """Leave the last table on the screen."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def table(self) -> Any:
        """Return the table as it is now."""
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, expand=False)
        for heading in ("Machine", "State", "Level", "Score, | is the threshold", "Last event"):
            table.add_column(heading, no_wrap=heading != "Last event")
        now = self._clock.monotonic()
        with self._lock:
            for machine, row in self._rows.items():
                state = row.state.value if row.state is not None else "waiting"
                style = _STYLES[row.state] if row.state is not None else "dim"
                table.add_row(
                    Text(machine, style="bold"),
                    Text(state, style=style),
                    Text(level_bar(row.window) if row.window else ""),
                    Text(_score_cell(row, now), style=style.replace("white on ", "")),
                    Text(_event_words(row.event), style="dim"),
                )
        return table


def level_bar(window: WindowReport) -> str:
    """Return the level as a bar of ten cells and a number.

    >>> from datetime import UTC, datetime
    >>> noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    >>> level_bar(WindowReport("a", noon, State.normal, 1.0, 2.0, 0.5, -40.0, 1.0, False))
    '█████····· -40 dB'
    """
    level = window.level_dbfs
    if not math.isfinite(level):
        return "·" * 10 + " silent"
    full = round(10 * min(1.0, max(0.0, 1 - level / QUIETEST_DB)))
    return f"{'█' * full}{'·' * (10 - full)} {level:.0f} dB"


def score_bar(score: float, threshold: float) -> str:
    """Return a score as a bar, with a mark at the threshold.

    >>> score_bar(1.0, 2.0), score_bar(9.0, 2.0)
    ('████████········|·······', '████████████████|███████')
    """
    share = score / threshold if threshold > 0 else (2.0 if score > threshold else 0.0)
    full = round(min(max(share, 0.0) * MARK, WIDTH))
    cells = ["█"] * full + ["·"] * (WIDTH - full)
    cells[MARK] = "|"
    return "".join(cells)


def _score_cell(row: _Row, now: float) -> str:
    """Return the score, or why there is none."""
    window = row.window
    if window is None:
        return "nothing heard yet"
    if row.heard is not None and now - row.heard > LATE_SECONDS:
        return f"no window for {now - row.heard:.0f} s"
    score = window.score if window.ranked is None else window.ranked
    if score is None or window.threshold is None:
        return "cannot be judged"
    return f"{score_bar(score, window.threshold)} {score:.3g} of {window.threshold:.3g}"


def _event_words(event: EventReport | None) -> str:
    if event is None:
        return ""
    since = utc_text(event.started)[:19].replace("T", " ") + "Z"
    if event.ended is None:
        return f"{event.kind} since {since}: {event.reason}"
    return f"{event.kind} of {since} has ended"
