"""Options that several commands share, worded once."""

from __future__ import annotations

from collections.abc import Sequence
from logging import WARNING
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstshot.cli.printing.notices import set_level
from firstshot.errors import OutputError

if TYPE_CHECKING:
    from firstshot.detector import Detector
    from firstshot.store import EmbeddingStore


def _set_quiet(quiet: bool) -> bool:
    if quiet:
        set_level(WARNING)
    return quiet


Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        callback=_set_quiet,
        help="No progress bars and no notes; warnings and errors are still shown.",
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite", help="Replace what the same command wrote there; all else is refused."
    ),
]
Store = Annotated[
    Path | None,
    typer.Option(
        help="Folder where embeddings are kept (and a baseline's trainings, in its folder "
        "autoencoder), so that a killed run goes on where it was. "
        "Default: $FIRSTSHOT_CACHE/embeddings, or ~/.cache/firstshot/embeddings."
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        help="Clips processed at the same time; no result depends on it. Default: one per core, "
        "at most 8.",
    ),
]
NoStore = Annotated[bool, typer.Option("--no-store", help="Keep no embeddings on disk.")]


def open_detector(path: Path) -> Detector:
    """Return the detector of a file, or of the folder that `firstshot export` wrote."""
    if path.is_dir():
        from firstshot.deploy.bundle import load_bundle

        return load_bundle(path)
    from firstshot.detector import Detector

    return Detector.load(path)


def open_store(folder: Path | None, no_store: bool) -> EmbeddingStore | None:
    """Return the store that the options ask for."""
    from firstshot.store import EmbeddingStore, default_store_folder

    if no_store:
        return None
    if folder is not None:
        return EmbeddingStore(folder)
    # The user did not name this folder: without it the work is slower, and the result the same.
    try:
        folder = default_store_folder()
        folder.mkdir(parents=True, exist_ok=True)
    except OutputError as error:
        reason = str(error)
    except OSError as error:
        reason = f"{folder}: cannot be made ({error.strerror})"
    else:
        return EmbeddingStore(folder, required=False)
    typer.echo(f"warning: {reason}; embeddings are not kept, name a folder with --store", err=True)
    return None


def check_normal_folders(page: Path | None, normal: Sequence[Path]) -> None:
    """Refuse folders of normal clips that no page can show, before any work is done."""
    from firstshot.disk.listing import is_folder
    from firstshot.errors import ParameterError

    for folder in normal:
        if page is None:
            raise ParameterError(f"--normal {folder}: is for the page only; add --page FILE")
        if not is_folder(folder):
            raise ParameterError(f"--normal {folder}: no such folder; name one of normal clips")


def refuse_existing_detector(path: Path, overwrite: bool) -> None:
    """Refuse an output that is there already, or is no detector file, before any work."""
    from firstshot.detector.file import is_detector_file
    from firstshot.disk.files import check_replaceable

    check_replaceable(path, overwrite, "detector file", "fan.firstshot", is_detector_file)
