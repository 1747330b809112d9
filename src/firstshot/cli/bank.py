"""`firstshot bank list | inspect | add | ...`: the normal clips in a detector file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstshot.cli.options import (
    NoStore,
    Overwrite,
    Quiet,
    Store,
    Workers,
    check_normal_folders,
    open_store,
    refuse_existing_detector,
)
from firstshot.cli.printing.addition import print_addition
from firstshot.cli.printing.inspection import (
    print_inspection,
    print_inspection_json,
    removal_commands,
)
from firstshot.cli.printing.progress import progress_bars
from firstshot.cli.printing.tables import print_json, say
from firstshot.disk.names import show_name

if TYPE_CHECKING:
    from firstshot.detector import Detector
    from firstshot.progress import Bars

app = typer.Typer(
    help="Look at the normal clips of a detector file, add some or remove some. Nothing is "
    "embedded again but what is added. The threshold is set anew, by the method and rate it had.",
    no_args_is_help=True,
)
File = Annotated[Path, typer.Argument(metavar="FILE", help="A file written by `firstshot fit`.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="Write here; default: the file itself, in one step."),
]


class InspectionFormat(StrEnum):
    """How an inspection is printed."""

    text = "text"
    json = "json"


DOMAINS = "source (usual conditions) or target (new conditions)"


@app.command("list")
def list_members(
    detector_file: File,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the clips in the bank: domain, windows, and when and where from they were added.

    Example: firstshot bank list fan.firstshot
    """
    from firstshot.detector import Detector
    from firstshot.disk.names import write_names

    clips = Detector.load(detector_file).members()
    if json:
        print_json({"schema": 1, "clips": [write_names(asdict(clip)) for clip in clips]})
        return
    for clip in clips:
        windows = f"  {clip.windows} windows" if clip.windows > 1 else ""
        origin = f"  added {clip.origin.added} from {clip.origin.source}" if clip.origin else ""
        say(f"{clip.domain}  {clip.clip}{windows}{origin}")


@app.command()
def inspect(
    detector_file: File,
    format: Annotated[  # noqa: A002
        InspectionFormat, typer.Option(help="How to print it.")
    ] = InspectionFormat.text,
    page: Annotated[
        Path | None,
        typer.Option(help="Write a page here: the clips to listen to, and the map of the bank."),
    ] = None,
    normal: Annotated[
        list[Path] | None,
        typer.Option(
            help="A folder that the detector was fitted on, for the page to play its clips; may be "
            "repeated."
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Name clips that do not sound like the others, near-copies, and odd lengths and levels.

    Nothing is removed: listen to the clips, then remove the bad ones by `firstshot bank remove`.

    Example: firstshot bank inspect fan.firstshot --page bank.html --normal recordings/normal
    """
    from firstshot.detector import Detector

    check_normal_folders(page, normal or ())
    if page is not None:
        from firstshot.disk.files import check_replaceable, write_result
        from firstshot.report.bank_page import is_bank_page, render_bank

        check_replaceable(page, overwrite, "page of a bank", "bank.html", is_bank_page)
    detector = Detector.load(detector_file)
    inspection = detector.inspect()
    if format is InspectionFormat.json:
        print_inspection_json(inspection)
    else:
        print_inspection(inspection, detector_file)
    if page is not None:
        text = render_bank(
            detector.fitted_,
            inspection,
            f"The bank of {show_name(detector_file.name)}",
            removal_commands(inspection, detector_file),
            normal or (),
        )
        write_result(page, text, overwrite)
        typer.echo(f"the page: {page}", err=format is InspectionFormat.json)


@app.command()
def add(
    detector_file: File,
    clips: Annotated[
        list[Path], typer.Argument(readable=False, help="Folders or files of normal sound.")
    ],
    domain: Annotated[str, typer.Option(help=f"Whose bank: {DOMAINS}.")] = "source",
    out: Out = None,
    store: Store = None,
    no_store: NoStore = False,
    workers: Workers = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Show what the clips would do, and write nothing.")
    ] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Add normal clips, such as those that a person found to be false alarms.

    It shows the threshold before and after, how many normal clips score above it, and which of the
    added clips were called anomalous: a fault among them would be normal from then on.

    Example: firstshot bank add fan.firstshot recordings/monday --domain target --preview
    """
    from firstshot.errors import ParameterError

    if preview and out is not None:
        raise ParameterError("--preview writes nothing; leave out --out")
    open_file = _opened(detector_file, quiet) if preview else None
    with open_file or _edited(detector_file, out, overwrite, quiet) as (detector, bars):
        addition = detector.preview_add(
            clips,
            domain=domain,
            store=open_store(store, no_store),
            progress=bars("embedding clips"),
            workers=workers,
        )
        detector.fitted_ = addition.fitted
    print_addition(addition)
    if preview:
        say("nothing is written; without --preview the clips are added")


@app.command()
def remove(
    detector_file: File,
    names: Annotated[list[str], typer.Argument(help="Clips as `firstshot bank list` shows them.")],
    domain: Annotated[
        str | None, typer.Option(help=f"From which bank: {DOMAINS}; default: both.")
    ] = None,
    out: Out = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Remove clips by name, such as one in which the machine was faulty.

    Example: firstshot bank remove fan.firstshot 007.wav 012.wav
    """
    from firstshot.disk.names import read_name

    with _edited(detector_file, out, overwrite, quiet) as (detector, _):
        detector.remove([read_name(name) for name in names], domain=domain)


@app.command()
def merge(
    detector_file: File,
    others: Annotated[
        list[Path], typer.Argument(readable=False, help="Detector files of equal settings.")
    ],
    out: Out = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Add the clips of other detector files, which must have been fitted with equal settings.

    Example: firstshot bank merge fan.firstshot fan_of_line_2.firstshot -o both.firstshot
    """
    from firstshot.detector import Detector

    with _edited(detector_file, out, overwrite, quiet) as (detector, _):
        for other in others:
            detector.merge(Detector.load(other), source=str(other.absolute()))


@app.command()
def reduce(
    detector_file: File,
    size: Annotated[int, typer.Argument(help="How many members to keep at most, in each domain.")],
    method: Annotated[
        str,
        typer.Option(
            help="kmeans (follows where the clips are dense) or k_center (keeps rare conditions)."
        ),
    ] = "kmeans",
    domain: Annotated[
        str | None, typer.Option(help=f"Which bank: {DOMAINS}; default: both.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the random start.")] = 0,
    out: Out = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Keep the members that stand for all, for a smaller file and faster scores.

    Example: firstshot bank reduce fan.firstshot 200 --method k_center -o small.firstshot
    """
    with _edited(detector_file, out, overwrite, quiet) as (detector, _):
        detector.reduce(size, method=method, domain=domain, seed=seed)


@contextmanager
def _opened(path: Path, quiet: bool) -> Iterator[tuple[Detector, Bars]]:
    """Give the detector of a file, and bars of progress."""
    from firstshot.detector import Detector
    from firstshot.progress import report_progress

    detector = Detector.load(path)
    with progress_bars(quiet) as bars, report_progress(bars("comparing normal clips")):
        yield detector, bars


@contextmanager
def _edited(
    path: Path, out: Path | None, overwrite: bool, quiet: bool
) -> Iterator[tuple[Detector, Bars]]:
    """Give the detector of a file, and write it once it is edited; a fault changes no file."""
    from firstshot.disk.files import check_not_read_only

    if out is not None:
        refuse_existing_detector(out, overwrite)
    else:
        check_not_read_only(path)
    unchanged = _watch(path)
    with _opened(path, quiet) as (detector, bars):
        yield detector, bars
    unchanged()
    detector.save(out or path, overwrite=overwrite or out is None)
    domains = [clip.domain for clip in detector.members()]
    say(
        f"wrote {out or path}: {domains.count('source')} source and {domains.count('target')} "
        "target clips"
    )
    typer.echo(f"threshold {detector.threshold_.value:.4g}: {detector.threshold_.promise}")


def _watch(path: Path) -> Callable[[], None]:
    """Return what raises OutputError where the file was written to since this call."""
    from firstshot.errors import OutputError

    def state() -> tuple[int, ...] | None:
        try:
            found = path.stat()
        except OSError:
            return None  # loading it says why
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    before = state()

    def check() -> None:
        if state() != before:
            raise OutputError(
                f"{path}: was written to by another program meanwhile; it stays as it is now, run "
                "this command again"
            )

    return check
