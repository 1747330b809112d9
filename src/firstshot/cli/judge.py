"""`firstshot score` and `firstshot explain`: new clips are judged by a detector file."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstshot.cli.options import Quiet, Workers, open_detector
from firstshot.cli.progress import progress_bars
from firstshot.cli.tables import print_table, table_width
from firstshot.cli.windows import limits, place_of, print_windows, print_windows_csv

if TYPE_CHECKING:
    from firstshot.detector import Detector
    from firstshot.detector.explanation import Explanation
    from firstshot.results import Result

File = Annotated[
    Path,
    typer.Argument(help="A file written by `firstshot fit`, or a folder by `firstshot export`."),
]
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
BANDS_SHOWN = 5
PIPE_WIDTH = 140
WIDE = 120


class Format(StrEnum):
    """How results are printed."""

    table = "table"
    csv = "csv"
    json = "json"


class ExplanationFormat(StrEnum):
    """How an explanation is printed."""

    text = "text"
    json = "json"


def score(
    detector_file: File,
    clips: Annotated[list[Path], typer.Argument(help="Files or folders to judge.")],
    format: Annotated[Format, typer.Option(help="How to print the results.")] = Format.table,  # noqa: A002
    fail_on_anomaly: Annotated[
        bool, typer.Option("--fail-on-anomaly", help="Exit with 1 if a clip is anomalous.")
    ] = False,
    windows: Annotated[
        bool,
        typer.Option("--windows", help="Print every window of every clip, with its own decision."),
    ] = False,
    workers: Workers = None,
    quiet: Quiet = False,
) -> None:
    """Judge new clips. A clip that cannot be read is reported and the others are judged.

    Exit status: 0 all normal (or --fail-on-anomaly not given), 1 an anomaly, 2 an error.

    Example: firstshot score fan.firstshot today/ --format csv --fail-on-anomaly
    """
    detector = open_detector(detector_file)
    results, faults = _judge(detector, clips, workers, quiet)
    if format is Format.json:
        left_out = () if windows else ("windows",)
        records = [asdict(result) for result in results]
        shown = [{k: v for k, v in record.items() if k not in left_out} for record in records]
        typer.echo(json.dumps(shown, indent=2))
    elif format is Format.csv:
        print_windows_csv(results) if windows else _print_csv(results)
    elif results:
        if windows:
            print_windows(results)
        _print_table(results)
        if not windows and any(len(result.window_scores) > 1 for result in results):
            typer.echo("each window's own score and decision: --windows")
    if faults:
        raise typer.Exit(2)
    if fail_on_anomaly and any(result.is_anomaly for result in results):
        raise typer.Exit(1)


def _judge(
    detector: Detector, paths: Sequence[Path], workers: int | None, quiet: bool
) -> tuple[list[Result], int]:
    """Return the results of all clips that can be read, and the number of faults."""
    from firstshot.detector.embedding import Clip, embed_clips, list_clips
    from firstshot.errors import FirstshotError

    clips: list[Clip] = []
    faults = 0

    def report(_: object, error: FirstshotError) -> None:
        nonlocal faults
        faults += 1
        typer.echo(f"error: {error}", err=True)

    for path in dict.fromkeys(paths):
        try:
            found = list_clips(path)
        except FirstshotError as error:
            report(path, error)
        else:
            # A folder's clips are shown with the folder, so that they can be found again.
            clips += [Clip(str(clip.source), clip.source) for clip in found]
    with progress_bars(quiet) as bars:
        embedded = list(
            embed_clips(
                clips,
                detector.hear(),
                progress=bars("listening to clips"),
                on_error=report,
                workers=workers,
                spectra=False,
            )
        )
    return detector.predict_embedded(embedded), faults


def _row(result: Result) -> tuple[object, ...]:
    nearest = result.nearest[0].clip if result.nearest else ""
    return (
        result.clip,
        repr(result.score),
        repr(result.p_value),
        repr(result.threshold),
        int(result.is_anomaly),
        result.domain,
        nearest,
        repr(result.start_seconds),
    )


def _print_csv(results: Sequence[Result]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_row(result) for result in results)


def _print_table(results: Sequence[Result]) -> None:
    from rich.table import Table
    from rich.text import Text

    width = table_width(PIPE_WIDTH)
    # Names of clips are long; where two columns of them cannot be read, the clip's own stays.
    show_nearest = width >= WIDE
    folder, names = _without_folder([result.clip for result in results])
    table = Table(title=Text(folder) if folder else None, title_justify="left")
    table.add_column("Decision")
    for heading in ("Score", "p-value"):
        table.add_column(heading, justify="right")
    table.add_column("Judged by")
    table.add_column("Clip", overflow="fold")
    if show_nearest:
        table.add_column("Nearest normal clip", overflow="fold")
    for name, result in zip(names, results, strict=True):
        decision = Text("ANOMALY", style="bold red") if result.is_anomaly else Text("normal")
        nearest = [Text(result.nearest[0].clip if result.nearest else "")] if show_nearest else []
        numbers = (f"{result.score:.4f}", f"{result.p_value:.3f}")
        table.add_row(decision, *numbers, result.domain, Text(name + place_of(result)), *nearest)
    print_table(table, width)
    found = sum(result.is_anomaly for result in results)
    typer.echo(
        f"{found} of {len(results)} clips anomalous ({limits(results)}); p-values rest on "
        f"{results[0].normal_clips} normal clips; why: firstshot explain"
    )


def _without_folder(clips: Sequence[str]) -> tuple[str, list[str]]:
    """Return the folder that all clips share ("" where none does) and their names within it."""
    try:
        folder = os.path.commonpath([os.path.dirname(clip) for clip in clips])  # noqa: PTH120
    except ValueError:  # absolute and relative names together
        return "", list(clips)
    return folder, [os.path.relpath(clip, folder) if folder else clip for clip in clips]


def explain(
    detector_file: File,
    clip: Annotated[Path, typer.Argument(help="The clip to explain.")],
    format: Annotated[  # noqa: A002
        ExplanationFormat, typer.Option(help="How to print it.")
    ] = ExplanationFormat.text,
) -> None:
    """Say why a clip scores as it does: nearest normal clips, frequency bands, plain words.

    Example: firstshot explain fan.firstshot today/0007.wav
    """
    from firstshot.errors import SoundError

    if clip.is_dir():
        raise SoundError(f"{clip}: is a folder; name one clip")
    explanation = open_detector(detector_file).explain(clip)
    if format is ExplanationFormat.json:
        typer.echo(json.dumps(asdict(explanation), indent=2))
    else:
        _print_explanation(explanation)


def _print_explanation(explanation: Explanation) -> None:
    result = explanation.result
    verdict = "ANOMALY" if result.is_anomaly else "normal"
    typer.echo(f"{result.clip}: {verdict}")
    typer.echo(f"  score {result.score:.4f}, threshold {result.threshold:.4f}")
    typer.echo(f"  {result.evidence}")
    if len(result.window_scores) > 1:
        typer.echo(f"  decided by the window that begins at {result.start_seconds:g} s")
    if result.highest_seconds != result.start_seconds:
        typer.echo(f"  the highest score begins at {result.highest_seconds:g} s")
    typer.echo(f"  judged by the {result.domain} clips, among which it is most normal")
    typer.echo("  nearest normal clips by plain distance:")
    for neighbor in result.nearest:
        typer.echo(f"    {neighbor.clip} ({neighbor.domain}, distance {neighbor.distance:.4g})")
    typer.echo(f"  against the nearest: {explanation.words}")
    if explanation.rows:
        typer.echo("  frequencies that carry the distance:")
        for low, high, share in sorted(explanation.rows, key=lambda row: -row[2])[:BANDS_SHOWN]:
            typer.echo(f"    {low:6.0f} - {high:6.0f} Hz  {100 * share:4.1f}%")
