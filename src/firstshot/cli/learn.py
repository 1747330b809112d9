"""`firstshot fit` and `firstshot calibrate`: a folder of normal sound becomes a detector file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from firstshot.cli.options import (
    NoStore,
    Overwrite,
    Quiet,
    Store,
    Workers,
    open_store,
    refuse_existing_detector,
)
from firstshot.cli.printing.progress import progress_bars
from firstshot.cli.settings import METHODS, RATE, with_settings
from firstshot.domains import DOMAINS
from firstshot.log import logger

if TYPE_CHECKING:
    from firstshot.detector import Detector


@with_settings()
def fit(
    settings: dict[str, Any],
    normal: Annotated[
        list[Path],
        typer.Argument(
            readable=False,
            help="Folders or files of normal sound, of the usual conditions (source).",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The detector file to write.")],
    target: Annotated[
        list[Path] | None,
        typer.Option(
            readable=False,
            help="Normal sound of new conditions (target), such as another speed, load or place; "
            "may be repeated.",
        ),
    ] = None,
    groups: Annotated[
        str | None,
        typer.Option(
            help="A pattern (regular expression) in file names that tells the recording of a clip, "
            r"such as 'run_\d+', where clips were cut from longer recordings. Default: the clips "
            "before and after count as the same recording."
        ),
    ] = None,
    store: Store = None,
    no_store: NoStore = False,
    workers: Workers = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Learn a machine from folders of its normal sound and write a detector file.

    Example: firstshot fit recordings/normal --target recordings/high_speed -o fan.firstshot
    """
    from firstshot.detector import Detector
    from firstshot.detector.views import AUTO, default_preset
    from firstshot.progress import report_progress

    refuse_existing_detector(out, overwrite)
    detector = Detector(**settings)
    with progress_bars(quiet) as bars, report_progress(bars("comparing normal clips")):
        detector.fit(
            normal,
            target or None,
            store=open_store(store, no_store),
            progress=bars("embedding clips"),
            workers=workers,
            groups=groups,
            held_out=bars("scoring each clip without its recording"),
        )
    detector.save(out, overwrite=overwrite)
    reason = getattr(detector.embedding_settings().encoder, "reason", "")
    if reason:
        typer.echo(f"picked {reason}", err=True)
    typer.echo(
        f"learned {_count(detector)} with "
        f"{detector.preset or detector.embedding_settings().encoder.name}"
    )
    if target is not None and len(target) == 1 and target[0].is_file():
        logger.info("note: one target clip: files after the first one of --target count as source")
    if detector.preset and settings.get("views", AUTO) == AUTO:
        typer.echo(f"preset {detector.preset}: {default_preset()[1]}", err=True)
    typer.echo(f"threshold {detector.threshold_.value:.4g}: {detector.threshold_.promise}")
    for line in detector.false_alarms():
        typer.echo(line)
    _note_unusual(detector, out)
    typer.echo(f"wrote {out}; next: firstshot score {out} NEW_CLIPS")


def _count(detector: Detector) -> str:
    """Say how many clips were learned, and of how many windows, where these are more."""
    normal = detector.fitted_.normal_clips
    domains = [row.domain for row in normal.first_rows]
    windows = f" ({len(normal.rows)} windows)" if len(normal.rows) > len(domains) else ""
    sources, targets = (domains.count(domain) for domain in DOMAINS)
    return f"{sources} source and {targets} target clips{windows}"


def _note_unusual(detector: Detector, path: Path) -> None:
    """Say what is unusual among the normal clips; nothing where nothing is."""
    notes = detector.inspect().notes
    for note in notes:
        logger.info("note: %s", note)
    if notes:
        logger.info("note: look at them by: firstshot bank inspect %s --page bank.html", path)


def calibrate(
    detector_file: Annotated[Path, typer.Argument(help="A file written by `firstshot fit`.")],
    false_alarm_rate: Annotated[float | None, typer.Option(help=RATE)] = None,
    method: Annotated[str | None, typer.Option(help=METHODS)] = None,
    clips: Annotated[
        list[Path] | None,
        typer.Option(
            readable=False,
            help="Held-out normal clips; default: the training clips' held-out scores.",
        ),
    ] = None,
    extrapolate: Annotated[
        bool,
        typer.Option(
            "--extrapolate", help="Let the gamma law give rates that so few clips cannot promise."
        ),
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write here; default: the file itself.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Set a detector's threshold anew on normal clips alone; nothing is learned again.

    Example: firstshot calibrate fan.firstshot --false-alarm-rate 0.05 --method conformal
    """
    from firstshot.detector import Detector
    from firstshot.disk.files import check_folder_writable, check_not_read_only

    if out is not None:
        refuse_existing_detector(out, overwrite)
    else:
        check_not_read_only(detector_file)
        check_folder_writable(detector_file)
    detector = Detector.load(detector_file)
    detector.calibrate(false_alarm_rate, method, clips=clips or None, extrapolate=extrapolate)
    detector.save(out or detector_file, overwrite=overwrite or out is None)
    typer.echo(f"threshold {detector.threshold_.value:.4g}: {detector.threshold_.promise}")
    for line in detector.false_alarms():
        typer.echo(line)
