"""`firstshot dcase compare`: the results of runs beside the published tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstshot.cli.options import Overwrite
from firstshot.cli.printing.tables import (
    TableFormat,
    print_json,
    print_rows,
    print_text_tables,
    say,
)
from firstshot.errors import ParameterError

if TYPE_CHECKING:
    from firstshot.dcase.comparing.compare import Comparison


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs on clips with labels.")],
    against: Annotated[
        str | None,
        typer.Option(
            help="A published system to set beside every run: baseline_mse, baseline_mahala, "
            "system1 to system4. Default: the one that the run's system is named after."
        ),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Write all values here, one per row, as CSV.")
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Write the comparison here as a page.")] = None,
    form: Annotated[
        TableFormat, typer.Option("--format", help="How to print the tables.")
    ] = TableFormat.text,
    overwrite: Overwrite = False,
) -> None:
    """Compare runs with the published results: differences in points, intervals, assumptions.

    Example: firstshot dcase compare runs/dev-system4 --csv compare.csv --page compare.html
    """
    from firstshot.dcase.comparing.compare import compare_runs
    from firstshot.disk.files import check_replaceable, write_result

    if csv is not None and page is not None and csv.absolute() == page.absolute():
        raise ParameterError(f"{csv}: named by --csv and by --page; give each a file of its own")
    if csv is not None:
        from firstshot.dcase.comparing.table import is_comparison_csv

        check_replaceable(csv, overwrite, "comparison", "compare.csv", is_comparison_csv)
    if page is not None:
        from firstshot.dcase.comparing.page import is_comparison_page

        check_replaceable(page, overwrite, "comparison", "compare.html", is_comparison_page)
    comparisons = compare_runs(runs, against)
    _print_all(comparisons, form)
    # What goes into a file or another program holds the tables alone.
    err = form is not TableFormat.text
    if csv is not None:
        from firstshot.dcase.comparing.table import comparison_csv

        written = write_result(csv, comparison_csv(comparisons), overwrite)
        typer.echo(f"the values: {written}", err=err)
    if page is not None:
        from firstshot.dcase.comparing.page import render_comparison

        written = write_result(page, render_comparison(comparisons), overwrite)
        typer.echo(f"the page: {written}", err=err)


def _print_all(comparisons: Sequence[Comparison], form: TableFormat) -> None:
    from firstshot.dcase.comparing.table import comparison_tables

    if form is TableFormat.json:
        print_json({"schema": 1, "comparisons": [asdict(one) for one in comparisons]})
        return
    for comparison in comparisons:
        if form is TableFormat.text:
            _print(comparison)
        else:
            print_text_tables(comparison_tables(comparison), form)


def _print(comparison: Comparison) -> None:
    from firstshot.dcase.comparing.compare import METRICS
    from firstshot.dcase.comparing.table import comparison_rows, heading, standing_rows

    typer.echo(heading(comparison))
    print_rows(("Machine", "", *METRICS.values()), comparison_rows(comparison))
    standings = standing_rows(comparison)
    if standings:
        typer.echo("official scores of all published systems over these machines")
        print_rows(("System", "From", "Official", "This run"), standings)
    for note in comparison.notes:
        say(f"note: {note}")
    for text in comparison.changed_settings:
        typer.echo(f"differs from the packaged {comparison.published}: {text}")
    if comparison.assumptions:
        typer.echo("assumptions, where the report does not specify a setting:")
    for assumed in comparison.assumptions:
        typer.echo(f"  {assumed.setting}: {assumed.value} ({assumed.reason})")
    typer.echo("")
