"""`firstshot score` and `firstshot explain`: new clips are judged by a detector file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstshot.cli.options import Overwrite, Quiet, Workers, check_normal_folders, open_detector
from firstshot.cli.printing.progress import progress_bars
from firstshot.cli.printing.scores import (
    Failed,
    print_scores_csv,
    print_scores_json,
    print_scores_table,
    without_folder,
)
from firstshot.cli.printing.tables import print_json, say
from firstshot.cli.printing.windows import print_windows, print_windows_csv
from firstshot.disk.names import show_name

if TYPE_CHECKING:
    from firstshot.detector import Detector
    from firstshot.detector.embedding import Clip, EmbeddedClip
    from firstshot.detector.explanation import Explanation
    from firstshot.errors import FirstshotError
    from firstshot.results import Result

File = Annotated[
    Path,
    typer.Argument(help="A file written by `firstshot fit`, or a folder by `firstshot export`."),
]
BANDS_SHOWN = 5


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
    page: Annotated[
        Path | None,
        typer.Option(help="Write a page here: scores over time, and the clips to listen to."),
    ] = None,
    normal: Annotated[
        list[Path] | None,
        typer.Option(
            help="A folder that the detector was fitted on, for the page to play its normal clips; "
            "may be repeated."
        ),
    ] = None,
    overwrite: Overwrite = False,
    workers: Workers = None,
    quiet: Quiet = False,
) -> None:
    """Judge new clips. A clip that cannot be read is reported and the others are judged.

    Exit status: 0 all normal (or --fail-on-anomaly not given), 1 an anomaly, 2 an error.

    Example: firstshot score fan.firstshot today/ --page today.html --fail-on-anomaly
    """
    check_normal_folders(page, normal or ())
    if page is not None:
        from firstshot.disk.files import check_replaceable
        from firstshot.report.clips_page import is_clips_page

        check_replaceable(page, overwrite, "page of scored clips", "today.html", is_clips_page)
    detector = open_detector(detector_file)
    judged = _judge(detector, clips, workers, quiet, spectra=page is not None)
    results, failed = judged.results, judged.failed
    _print(judged, format, windows)
    if page is not None and results:
        _write_page(page, detector, judged, detector_file, normal or (), overwrite)
        typer.echo(f"the page: {page}", err=format is not Format.table)
    if failed:
        raise typer.Exit(2)
    if fail_on_anomaly and any(result.is_anomaly for result in results):
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Judged:
    """The clips that could be read, with results and files, those that could not, and notes."""

    embedded: list[EmbeddedClip]
    results: list[Result]
    paths: dict[str, Path]
    failed: list[Failed]
    notes: list[str]


def _judge(
    detector: Detector, paths: Sequence[Path], workers: int | None, quiet: bool, spectra: bool
) -> _Judged:
    """Score all clips that can be read."""
    from firstshot.detector.conditions import measure_levels, note_levels
    from firstshot.detector.embedding import embed_clips
    from firstshot.errors import keep_warnings, warn

    failed = []

    def report(clip: Clip | Path, error: FirstshotError) -> None:
        name = str(clip) if isinstance(clip, Path) else clip.name
        failed.append(Failed(name, str(error)))
        say(f"error: {error}", err=True)

    clips = _find(paths, report)
    with keep_warnings() as notes, progress_bars(quiet) as bars:
        embedded = list(
            embed_clips(
                clips,
                detector.embedding_settings(),
                progress=bars("embedding clips"),
                on_error=report,
                workers=workers,
                spectra=spectra,
            )
        )
    files = {clip.name: clip.source for clip in clips if isinstance(clip.source, Path)}
    with keep_warnings() as more:
        results = detector.predict_embedded(embedded)
    notes += more
    levels = measure_levels(detector.embedding_settings(), clips)
    notes += filter(None, [note_levels(detector.fitted_, levels)])
    for note in notes:
        warn(note)
    return _Judged(embedded, results, files, failed, notes)


def _print(judged: _Judged, form: Format, windows: bool) -> None:
    results = judged.results
    if form is Format.json:
        print_scores_json(results, judged.failed, judged.notes, windows)
    elif form is Format.csv:
        print_windows_csv(results) if windows else print_scores_csv(results)
    elif results:
        if windows:
            print_windows(results)
        print_scores_table(results)
        if not windows and any(len(result.window_scores) > 1 for result in results):
            typer.echo("each window's own score and decision: --windows")


def _write_page(
    page: Path,
    detector: Detector,
    judged: _Judged,
    detector_file: Path,
    normal: Sequence[Path],
    overwrite: bool,
) -> None:
    from firstshot.disk.files import write_result
    from firstshot.report.clips_page import render_clips
    from firstshot.report.scored_clips import gather_clips

    folder, names = without_folder([result.clip for result in judged.results])
    shown = [replace(one, clip=name) for one, name in zip(judged.results, names, strict=True)]
    text = render_clips(
        gather_clips(detector, judged.embedded, shown, judged.paths, normal),
        title=f"Clips judged by {show_name(detector_file.name)}",
        threshold=detector.threshold_,
        settings=dict(detector.fitted_.settings),
        folder=folder,
        failures=[(one.clip, one.reason) for one in judged.failed],
    )
    write_result(page, text, overwrite)


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


def explain(
    detector_file: File,
    clip: Annotated[Path, typer.Argument(readable=False, help="The clip to explain.")],
    format: Annotated[  # noqa: A002
        ExplanationFormat, typer.Option(help="How to print it.")
    ] = ExplanationFormat.text,
) -> None:
    """Say why a clip scores as it does: when, at which frequencies, beside which normal clips.

    Example: firstshot explain fan.firstshot today/0007.wav
    """
    from firstshot.disk.listing import is_folder
    from firstshot.errors import SoundError

    if is_folder(clip):
        raise SoundError(f"{clip}: is a folder; name one clip")
    explanation = open_detector(detector_file).explain(clip)
    if format is ExplanationFormat.json:
        print_json(explanation.to_dict())
    else:
        _print_explanation(explanation)


def _print_explanation(explanation: Explanation) -> None:
    result = explanation.result
    verdict = "ANOMALY" if result.is_anomaly else "normal"
    typer.echo(f"{show_name(result.clip)}: {verdict}")
    if explanation.place and explanation.place.words:
        typer.echo(f"  {explanation.place.words}")
    for region in explanation.regions:
        percent = f"{100 * region.stranger_than:.1f} %"
        others = "all" if region.stranger_than == 1.0 else percent
        typer.echo(
            "  (levels are relative to the clip's own level; "
            f"stranger than {others} of the normal moments there)"
        )
    typer.echo(f"  score {result.score:.4f}, threshold {result.threshold:.4f}")
    typer.echo(f"  {result.evidence}")
    if len(result.window_scores) > 1:
        typer.echo(f"  decided by the window that begins at {result.start_seconds:g} s")
    if result.highest_seconds != result.start_seconds:
        typer.echo(f"  the highest score begins at {result.highest_seconds:g} s")
    if len(explanation.views) > 1:
        typer.echo("  the score is made of these views:")
        for view in explanation.views:
            typer.echo(f"    {view}")
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
