"""Progress bars: on standard error, only in a terminal, only for what takes over two seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

QUIET_SECONDS = 2.0


@contextmanager
def progress_bars(quiet: bool) -> Iterator[Callable[[str], Callable[[int, int], None]]]:
    """Give a function that, given a title, returns what is called with (done, total)."""
    if quiet or not sys.stderr.isatty():
        yield lambda title: lambda done, total: None
        return
    bars = _Bars()
    try:
        yield bars.start
    finally:
        bars.stop()


class _Bars:
    """One line, the latest task's, shown once the work has taken longer than a glance."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.bar: Bar | None = None
        self.shown: Any = None

    def start(self, title: str) -> Callable[[int, int], None]:
        task: Any = None

        def step(done: int, total: int) -> None:
            nonlocal task
            if self.bar is None and time.monotonic() - self.began > QUIET_SECONDS:
                self.bar = _make_bar()
                self.bar.start()
            if self.bar is not None:
                if task is None:
                    if self.shown is not None:
                        self.bar.remove_task(self.shown)
                    task = self.shown = self.bar.add_task(title, total=total)
                self.bar.update(task, completed=done, total=total)

        return step

    def stop(self) -> None:
        if self.bar is not None:
            self.bar.stop()


def _make_bar() -> Bar:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Pace(ProgressColumn):
        """How many are done a second; the title says what is counted."""

        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.1f}/s" if task.speed else "")

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Pace(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        redirect_stdout=False,  # results go where the user sends them, not into the bar
    )
