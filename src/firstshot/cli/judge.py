"""`firstshot score` and `firstshot explain`: new clips are judged by a detector file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstshot.cli.options import Quiet, Workers, open_detector
from firstshot.cli.printing.progress import progress_bars
from firstshot.cli.printing.tables import folded_lines, print_json, say, table_width
from firstshot.cli.printing.windows import (
    limits,
    name_in_csv,
    place_of,
    print_windows,
    print_windows_csv,
)
from firstshot.disk.names import csv_text, show_name

if TYPE_CHECKING:
    from firstshot.detector import Detector
    from firstshot.detector.embedding import Clip
    from firstshot.detector.explanation import Explanation
    from firstshot.errors import FirstshotError
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
SCHEMA = 1
"""Of the JSON of `score`; a field that is added does not change it."""
BANDS_SHOWN = 5
PIPE_WIDTH = 140
WIDE = 120
HEADINGS = ("Decision", "Score", "p-value", "Judged by", "Clip", "Nearest normal clip")


@dataclass(frozen=True)
class Failed:
    """A clip, or a folder, that cannot be read."""

    clip: str
    reason: str


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
    clips: Annotated[list[Path], typer.Argument(readable=False, help="Files or folders to judge.")],
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
    results, failed = _judge(detector, clips, workers, quiet)
    if format is Format.json:
        _print_json(results, failed, windows)
    elif format is Format.csv:
        print_windows_csv(results) if windows else _print_csv(results)
    elif results:
        if windows:
            print_windows(results)
        _print_table(results)
        if not windows and any(len(result.window_scores) > 1 for result in results):
            typer.echo("each window's own score and decision: --windows")
    if failed:
        raise typer.Exit(2)
    if fail_on_anomaly and any(result.is_anomaly for result in results):
        raise typer.Exit(1)


def _judge(
    detector: Detector, paths: Sequence[Path], workers: int | None, quiet: bool
) -> tuple[list[Result], list[Failed]]:
    """Return the results of all clips that can be read, and what cannot be."""
    from firstshot.detector.embedding import embed_clips

    failed = []

    def report(clip: Clip | Path, error: FirstshotError) -> None:
        name = str(clip) if isinstance(clip, Path) else clip.name
        failed.append(Failed(name, str(error)))
        say(f"error: {error}", err=True)

    clips = _find(paths, report)
    with progress_bars(quiet) as bars:
        embedded = list(
            embed_clips(
                clips,
                detector.embedding_settings(),
                progress=bars("embedding clips"),
                on_error=report,
                workers=workers,
                spectra=False,
            )
        )
    return detector.predict_embedded(embedded), failed


def _find(paths: Sequence[Path], report: Callable[[Path, FirstshotError], None]) -> list[Clip]:
    """Return the clips of all paths, each file once; `report` gets what cannot be listed."""
    from firstshot.detector.embedding import Clip
    from firstshot.detector.sources import find_clips
    from firstshot.errors import FirstshotError

    clips: dict[str, Clip] = {}
    for path in dict.fromkeys(paths):
        try:
            found = find_clips(path)
        except FirstshotError as error:
            report(path, error)
            continue
        for fault in found.faults:
            report(path, fault)
        for clip in found.clips:
            # A folder's clips are shown with the folder, so that they can be found again.
            named = Clip(str(clip.source), clip.source)
            clips.setdefault(os.path.realpath(named.name), named)
    return list(clips.values())


def _print_json(results: Sequence[Result], failed: Sequence[Failed], windows: bool) -> None:
    """Print one document; docs/score_output.md says what each field is."""
    records = [asdict(result) for result in results]
    if not windows:
        for record in records:
            del record["windows"]
    print_json({"schema": SCHEMA, "results": records, "failed": [asdict(clip) for clip in failed]})


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


def _print_csv(results: Sequence[Result]) -> None:
    typer.echo(csv_text([COLUMNS, *map(_row, results)]), nl=False)


def _print_table(results: Sequence[Result]) -> None:
    width = table_width(PIPE_WIDTH)
    folder, names = _without_folder([result.clip for result in results])
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


def _without_folder(clips: Sequence[str]) -> tuple[str, list[str]]:
    """Return the folder that all clips share ("" where none does) and their names within it."""
    try:
        folder = os.path.commonpath([os.path.dirname(clip) for clip in clips])  # noqa: PTH120
    except ValueError:  # absolute and relative names together
        return "", list(clips)
    return folder, [os.path.relpath(clip, folder) if folder else clip for clip in clips]


def explain(
    detector_file: File,
    clip: Annotated[Path, typer.Argument(readable=False, help="The clip to explain.")],
    format: Annotated[  # noqa: A002
        ExplanationFormat, typer.Option(help="How to print it.")
    ] = ExplanationFormat.text,
) -> None:
    """Say why a clip scores as it does: nearest normal clips, frequency bands, plain words.

    Example: firstshot explain fan.firstshot today/0007.wav
    """
    from firstshot.disk.listing import is_folder
    from firstshot.errors import SoundError

    if is_folder(clip):
        raise SoundError(f"{clip}: is a folder; name one clip")
    explanation = open_detector(detector_file).explain(clip)
    if format is ExplanationFormat.json:
        print_json(asdict(explanation))
    else:
        _print_explanation(explanation)


def _print_explanation(explanation: Explanation) -> None:
    result = explanation.result
    verdict = "ANOMALY" if result.is_anomaly else "normal"
    typer.echo(f"{show_name(result.clip)}: {verdict}")
    typer.echo(f"  score {result.score:.4f}, threshold {result.threshold:.4f}")
    typer.echo(f"  {result.evidence}")
    if len(result.window_scores) > 1:
        typer.echo(f"  decided by the window that begins at {result.start_seconds:g} s")
    if result.highest_seconds != result.start_seconds:
        typer.echo(f"  the highest score begins at {result.highest_seconds:g} s")
    typer.echo(f"  judged by the {result.domain} clips, among which it is most normal")
    typer.echo("  nearest normal clips by plain distance:")
    for neighbor in result.nearest:
        name = show_name(neighbor.clip)
        typer.echo(f"    {name} ({neighbor.domain}, distance {neighbor.distance:.4g})")
    typer.echo(f"  against the nearest: {explanation.words}")
    if explanation.rows:
        typer.echo("  frequencies that carry the distance:")
        for low, high, share in sorted(explanation.rows, key=lambda row: -row[2])[:BANDS_SHOWN]:
            typer.echo(f"    {low:6.0f} - {high:6.0f} Hz  {100 * share:4.1f}%")
