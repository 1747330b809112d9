"""`firstshot dcase download`: the challenge's data, from the official records."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from firstshot.cli.options import Quiet
from firstshot.log import logger
from firstshot.progress import Bars

DEFAULT_API = "https://zenodo.org/api/records"


def download(
    year: Annotated[int, typer.Option(help="Year of the challenge, 2020 to 2026.")],
    part: Annotated[
        list[str] | None,
        typer.Option(
            help="dev (development set), train (additional training set) or eval (evaluation test "
            "set); may be repeated. Default: all."
        ),
    ] = None,
    machine: Annotated[
        list[str] | None, typer.Option(help="A machine to fetch; may be repeated. Default: all.")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for the data; the year's own folder is made in it.")
    ] = Path("data"),
    keep_archives: Annotated[
        bool, typer.Option("--keep-archives", help="Keep the zip files when they are unpacked.")
    ] = False,
    api: Annotated[
        str,
        typer.Option(
            envvar="FIRSTSHOT_RECORDS_URL", help="Address of the archive service or of a mirror."
        ),
    ] = DEFAULT_API,
    quiet: Quiet = False,
) -> None:
    """Fetch a year's data into the official layout, checked against the records' checksums.

    A download that was stopped goes on when the same command is given again.

    Example: firstshot dcase download --year 2025 --part dev --machine fan
    """
    from firstshot.dcase.data.download import download as download_year
    from firstshot.dcase.data.zenodo import Connection

    with byte_bars(quiet) as progress:
        done = download_year(
            year,
            out,
            parts=part or None,
            machines=machine or None,
            keep_archives=keep_archives,
            connection=Connection(records_url=api),
            progress=progress,
        )
    counts = f"archives fetched: {len(done.fetched)}, there before: {len(done.present)}"
    typer.echo(f"{done.root}: {counts}")
    typer.echo(f"next: firstshot dcase check {done.root}")


@contextmanager
def byte_bars(quiet: bool) -> Iterator[Bars]:
    """Give a maker of progress bars in bytes; without a terminal each archive is logged instead."""
    if quiet or not sys.stderr.isatty():
        yield _log_title
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:

        def start(title: str) -> Callable[[int, int], None]:
            for done_before in bars.task_ids:
                bars.remove_task(done_before)
            task = bars.add_task(title, total=None)
            return lambda done, total: bars.update(task, completed=done, total=total)

        yield start


def _log_title(title: str) -> Callable[[int, int], None]:
    logger.info(title)
    return lambda done, total: None
