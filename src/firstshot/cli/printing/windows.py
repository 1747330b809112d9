"""What `firstshot score` says of clips that are scored in several windows."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from firstshot.cli.printing.tables import print_rows
from firstshot.disk.names import cell_name, csv_text, show_name

if TYPE_CHECKING:
    from firstshot.results import Result, Window

COLUMNS = (
    "clip",
    "start_seconds",
    "end_seconds",
    "score",
    "p_value",
    "threshold",
    "is_anomaly",
    "clip_is_anomaly",
)
HEADINGS = ("Clip", "From s", "To s", "Score", "p-value", "Window", "Whole clip")


def place_of(result: Result) -> str:
    """Say where a clip of several windows is most anomalous, and how a recording was judged."""
    if len(result.window_scores) == 1:
        return ""
    highest = f" at {result.highest_seconds:g} s"
    if result.pieces == 1:
        return highest
    return (
        f" ({result.pieces_above} of {result.pieces} pieces above the threshold, "
        f"{result.pieces_needed} needed; highest{highest})"
    )


def limits(results: Sequence[Result]) -> str:
    """Say above what scores clips are called anomalous; it depends on how long they are."""
    thresholds = sorted({f"{result.threshold:.4f}" for result in results}, key=float)
    return "score above " + " to ".join(dict.fromkeys((thresholds[0], thresholds[-1])))


def print_windows(results: Sequence[Result]) -> None:
    """Write a table of every window, in order of time."""
    rows = [
        (
            show_name(result.clip),
            f"{window.start_seconds:g}",
            "" if window.end_seconds is None else f"{window.end_seconds:g}",
            f"{window.score:.4f}",
            f"{window.p_value:.3f}",
            _decision(window.is_anomaly),
            _decision(result.is_anomaly),
        )
        for result, window in _each_window(results)
    ]
    print_rows(HEADINGS, rows)
    typer.echo("")


def print_windows_csv(results: Sequence[Result]) -> None:
    """Write a row of every window; `threshold` is the clip's."""
    rows = [
        (
            name_in_csv(result.clip),
            repr(window.start_seconds),
            "" if window.end_seconds is None else repr(window.end_seconds),
            repr(window.score),
            repr(window.p_value),
            repr(result.threshold),
            int(window.is_anomaly),
            int(result.is_anomaly),
        )
        for result, window in _each_window(results)
    ]
    typer.echo(csv_text([COLUMNS, *rows]), nl=False)


def name_in_csv(name: str) -> str:
    """Write a name for a file, or for the eyes where the rows go to a terminal."""
    return show_name(name) if sys.stdout.isatty() else cell_name(name)


def _each_window(results: Sequence[Result]) -> list[tuple[Result, Window]]:
    return [(result, window) for result in results for window in result.windows]


def _decision(is_anomaly: bool) -> str:
    return "ANOMALY" if is_anomaly else "normal"
