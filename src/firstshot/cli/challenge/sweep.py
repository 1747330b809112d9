"""`firstshot dcase sweep`: encoders, layers, normalisers, metrics and presets, ranked by labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstshot.cli.options import (
    NoStore,
    Overwrite,
    Quiet,
    Store,
    Workers,
    open_store,
)
from firstshot.cli.printing.progress import progress_bars
from firstshot.cli.printing.tables import print_rows, say
from firstshot.cli.settings import help_of, read_channel

if TYPE_CHECKING:
    from firstshot.dcase.sweeping.table import Sweep


def sweep(
    root: Annotated[Path, typer.Argument(help="A data set with labels, in the usual layout.")],
    encoder: Annotated[
        list[str] | None,
        typer.Option(help="May be repeated; NAME=PATH gives a pre-trained encoder's weights."),
    ] = None,
    preset: Annotated[
        list[str] | None,
        typer.Option(
            help="A set of views to try as it is, beside the encoders or alone, as recommended; "
            "may be repeated; NAME=PATH gives its encoder's weights."
        ),
    ] = None,
    layers: Annotated[
        str,
        typer.Option(
            help="all: each layer alone; or a list such as 7,10,7+10,-1, where 7+10 is the mean of "
            "two layers' scores and -1 the last layer."
        ),
    ] = "all",
    normalizer: Annotated[
        list[str] | None,
        typer.Option(
            help="May be repeated. Default: none, domain_zscore, local_density and "
            "domain_local_density."
        ),
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="May be repeated. Default: all three.")
    ] = None,
    transform: Annotated[
        str | None, typer.Option(help="none, standardize or whiten. Default: the encoder's own.")
    ] = None,
    pooling: Annotated[str, typer.Option(help=help_of("pooling"))] = "temporal",
    length: Annotated[str, typer.Option(help=help_of("length"))] = "native",
    channel: Annotated[str, typer.Option(help=help_of("channel"))] = "mean",
    machine: Annotated[
        list[str] | None, typer.Option(help="A machine to try; may be repeated. Default: all.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the table. Default: runs/<data>-sweep.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Rows to print; the CSV holds all.")] = 20,
    store: Store = None,
    no_store: NoStore = False,
    workers: Workers = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Try settings on labelled data and rank them: to understand, not to choose a submission by.

    Every clip is embedded once by every encoder; each combination then takes seconds. A sweep
    that was stopped goes on when the same command is given again.

    Example: firstshot dcase sweep data/dcase2025t2/dev_data --encoder ced_tiny --length fixed:10
    """
    from firstshot.dcase.sweeping.grid import NORMALIZERS, Grid
    from firstshot.dcase.sweeping.sweep import run_sweep
    from firstshot.disk.files import without_links
    from firstshot.scoring.search.vectors import METRICS

    grid = Grid(
        encoders=tuple(dict.fromkeys(encoder or ())),
        presets=tuple(dict.fromkeys(preset or ())),
        layers=tuple(part.strip() for part in layers.split(",")),
        normalizers=tuple(normalizer or NORMALIZERS),
        metrics=tuple(metric or METRICS),
        pooling=pooling,
        length=length,
        channel=read_channel(channel),
        transform=transform,
    )
    out = out or Path("runs") / f"{without_links(root).name}-sweep"
    with progress_bars(quiet) as bars:
        found = run_sweep(
            root,
            grid,
            out,
            machines=machine or None,
            store=open_store(store, no_store),
            overwrite=overwrite,
            progress=bars,
            workers=workers,
        )
    _print(found, out, top)
    if found.failures:
        raise typer.Exit(2)


def _print(found: Sweep, out: Path, top: int) -> None:
    """Print the best rows of the table, and say what they are worth."""
    from firstshot.dcase.sweeping.table import (
        TABLE,
        TERMINAL_COLUMNS,
        sweep_rows,
        warning_lines,
    )

    print_rows(TERMINAL_COLUMNS, sweep_rows(found, top))
    for line in warning_lines(found):
        say(line)
    for note in found.notes:
        say(f"note: {note}", err=True)
    typer.echo(f"all {len(found.rows)} combinations: {out / TABLE}")
    for name, fault in found.failures.items():
        say(f"error: {name} was left out: {fault}", err=True)
