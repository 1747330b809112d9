"""What `firstshot score` prints: the results as a table, as CSV, as JSON."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import typer

from firstshot.cli.printing.tables import folded_lines, print_json, table_width
from firstshot.cli.printing.windows import limits, name_in_csv, place_of
from firstshot.disk.names import csv_text, show_name

if TYPE_CHECKING:
    from firstshot.results import Result

COLUMNS = (
    "clip",
    "score",
    "p_value",
    "threshold",
    "is_anomaly",
    "domain",
    "nearest",
    "start_seconds",
)
SCHEMA = 1
"""Of the JSON of `score`; a field that is added does not change it."""
PIPE_WIDTH = 140
WIDE = 120
HEADINGS = ("Decision", "Score", "p-value", "Judged by", "Clip", "Nearest normal clip")


@dataclass(frozen=True)
class Failed:
    """A clip, or a folder, that cannot be read."""

    clip: str
    reason: str


def print_scores_json(
    results: Sequence[Result], failed: Sequence[Failed], notes: Sequence[str], windows: bool
) -> None:
    """Print one document; docs/score_output.md says what each field is."""
    records = [asdict(result) for result in results]
    if not windows:
        for record in records:
            del record["windows"]
    print_json(
        {
            "schema": SCHEMA,
            "results": records,
            "failed": [asdict(clip) for clip in failed],
            "notes": list(notes),
        }
    )


def _row(result: Result) -> tuple[str | int, ...]:
    nearest = result.nearest[0].clip if result.nearest else ""
    return (
        name_in_csv(result.clip),
        repr(result.score),
        repr(result.p_value),
        repr(result.threshold),
        int(result.is_anomaly),
        result.domain,
        name_in_csv(nearest),
        repr(result.start_seconds),
    )


def print_scores_csv(results: Sequence[Result]) -> None:
    """Print the fields of a result that fit on one line."""
    typer.echo(csv_text([COLUMNS, *map(_row, results)]), nl=False)


def print_scores_table(results: Sequence[Result]) -> None:
    """Print the clips in columns, with what the decisions rest on below them."""
    width = table_width(PIPE_WIDTH)
    folder, names = without_folder([result.clip for result in results])
    rows = [_cells(result, show_name(name)) for name, result in zip(names, results, strict=True)]
    # Names of clips are long; where two columns of them cannot be read, the clip's own stays.
    names_shown = 2 if width >= WIDE else 1
    shown = slice(len(HEADINGS) - 2 + names_shown)
    if folder:
        typer.echo(show_name(folder))
    table = [row[shown] for row in (HEADINGS, *rows)]
    for line in folded_lines(table, names_shown, width, right=(1, 2)):
        typer.echo(_in_red(line))
    found = sum(result.is_anomaly for result in results)
    typer.echo(
        f"{found} of {len(results)} clips anomalous ({limits(results)}); why: firstshot explain"
    )
    clips = results[0].normal_clips
    typer.echo(f"p-values rest on {clips} normal clips; the smallest possible is 1 in {clips + 1}")


def _cells(result: Result, name: str) -> tuple[str, ...]:
    return (
        "ANOMALY" if result.is_anomaly else "normal",
        f"{result.score:.4f}",
        f"{result.p_value:.3f}",
        result.domain,
        name + place_of(result),
        show_name(result.nearest[0].clip) if result.nearest else "",
    )


def _in_red(line: str) -> str:
    """Colour the decision of an anomaly; where the output is no terminal, it stays as it is."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    if plain or not line.startswith("ANOMALY"):
        return line
    return typer.style("ANOMALY", fg="red", bold=True) + line.removeprefix("ANOMALY")


def without_folder(clips: Sequence[str]) -> tuple[str, list[str]]:
    """Return the folder that all clips share ("" where none does) and their names within it."""
    try:
        folder = os.path.commonpath([os.path.dirname(clip) for clip in clips])  # noqa: PTH120
    except ValueError:  # absolute and relative names together
        return "", list(clips)
    return folder, [os.path.relpath(clip, folder) if folder else clip for clip in clips]
