"""`firstshot bank`: the normal clips of a detector file, listed and edited."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstshot.cli.options import NoStore, Overwrite, Quiet, Store, Workers, open_store
from firstshot.cli.progress import progress_bars
from firstshot.cli.tables import print_json, print_rows, say

if TYPE_CHECKING:
    from firstshot.detector import Detector
    from firstshot.detector.fitted.edits import BankClip

app = typer.Typer(
    no_args_is_help=True,
    help="List and edit the normal clips of a detector file; the threshold is set anew.",
)
File = Annotated[Path, typer.Argument(help="A file written by `firstshot fit`.")]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", help="Write here; default: the file itself.")
]
DOMAIN = "source (usual conditions) or target (new conditions)"


@app.command("list")
def list_clips(
    detector_file: File,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List the normal clips: name, domain, windows, and where those added later came from.

    Example: firstshot bank list fan.firstshot
    """
    from firstshot.detector import Detector
    from firstshot.disk.names import write_names

    members = Detector.load(detector_file).members()
    if json:
        print_json({"schema": 1, "clips": [write_names(asdict(clip)) for clip in members]})
        return
    rows = [(clip.clip, clip.domain, str(clip.windows), *_origin(clip)) for clip in members]
    print_rows(("Clip", "Domain", "Windows", "Added", "From"), rows)
    domains = [clip.domain for clip in members]
    say(f"{domains.count('source')} source and {domains.count('target')} target clips")


@app.command()
def add(
    detector_file: File,
    clips: Annotated[
        list[Path], typer.Argument(readable=False, help="Folders or files of normal sound.")
    ],
    domain: Annotated[str, typer.Option(help=f"Where they belong: {DOMAIN}.")] = "source",
    store: Store = None,
    no_store: NoStore = False,
    workers: Workers = None,
    out: Out = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Add normal clips, such as those of a condition that raised false alarms.

    Example: firstshot bank add fan.firstshot after_service/ --domain target
    """
    detector = _open(detector_file, out, overwrite)
    with progress_bars(quiet) as bars:
        detector.add(
            clips,
            domain=domain,
            store=open_store(store, no_store),
            progress=bars("listening to clips"),
            workers=workers,
        )
    _save(detector, out or detector_file)


@app.command()
def remove(
    detector_file: File,
    names: Annotated[
        list[str], typer.Argument(help="Names of clips, as `firstshot bank list` prints them.")
    ],
    domain: Annotated[
        str | None, typer.Option(help=f"Look only into {DOMAIN}. Default: both.")
    ] = None,
    out: Out = None,
    overwrite: Overwrite = False,
) -> None:
    """Remove clips, such as one that was recorded while the machine was not well.

    Example: firstshot bank remove fan.firstshot 0007.wav
    """
    from firstshot.disk.names import read_name

    detector = _open(detector_file, out, overwrite)
    detector.remove([read_name(name) for name in names], domain=domain)
    _save(detector, out or detector_file)


@app.command()
def merge(
    detector_file: File,
    other: Annotated[Path, typer.Argument(help="A detector file whose clips are added.")],
    out: Out = None,
    overwrite: Overwrite = False,
) -> None:
    """Add the normal clips of another detector file that embeds clips in the same way.

    Example: firstshot bank merge fan.firstshot fan_of_the_other_hall.firstshot -o both.firstshot
    """
    from firstshot.detector import Detector

    detector = _open(detector_file, out, overwrite)
    detector.merge(Detector.load(other), source=other.name)
    _save(detector, out or detector_file)


@app.command()
def reduce(
    detector_file: File,
    size: Annotated[int, typer.Argument(help="Clips to keep of the domain, at most.")],
    method: Annotated[
        str,
        typer.Option(help="kmeans follows where clips are dense, k_center keeps rare sounds too."),
    ] = "kmeans",
    domain: Annotated[str | None, typer.Option(help=f"Of {DOMAIN}. Default: of each.")] = None,
    out: Out = None,
    overwrite: Overwrite = False,
) -> None:
    """Keep fewer normal clips, for a smaller file and a quicker search.

    Example: firstshot bank reduce fan.firstshot 200 -o small.firstshot
    """
    detector = _open(detector_file, out, overwrite)
    detector.reduce(size, method=method, domain=domain)
    _save(detector, out or detector_file)


def _origin(clip: BankClip) -> tuple[str, str]:
    return ("", "") if clip.origin is None else (clip.origin.added, clip.origin.source)


def _open(path: Path, out: Path | None, overwrite: bool) -> Detector:
    """Return the detector to edit, once it is sure that the result can be written."""
    from firstshot.cli.learn import refuse_existing
    from firstshot.detector import Detector
    from firstshot.disk.files import check_not_read_only

    if out is not None:
        refuse_existing(out, overwrite)
    else:
        check_not_read_only(path)
    return Detector.load(path)


def _save(detector: Detector, path: Path) -> None:
    detector.save(path)
    domains = [clip.domain for clip in detector.members()]
    say(f"{path}: {domains.count('source')} source and {domains.count('target')} target clips")
    say(f"threshold {detector.threshold_.value:.4g}: {detector.threshold_.promise}")
