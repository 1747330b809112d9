"""`firstshot dcase show`: a finished run by machine, attribute value, encoder and part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstshot.cli.printing.tables import TableFormat, print_json, print_text_tables, say

if TYPE_CHECKING:
    from firstshot.dcase.running.stored_run import StoredSection
    from firstshot.results import SectionResult


def show(
    run: Annotated[Path, typer.Argument(help="Folder that `firstshot dcase run` wrote.")],
    form: Annotated[
        TableFormat, typer.Option("--format", help="How to print the tables.")
    ] = TableFormat.text,
) -> None:
    """Print the results of a run: by machine, by attribute value, by encoder and by part.

    AUC of an attribute value: its normal clips against all anomalous clips of the machine. The
    tables of encoders and parts are the metrics of their own scores. All metrics are percent.

    Example: firstshot dcase show runs/first --format markdown
    """
    from firstshot.dcase.running.stored_run import read_run

    found = read_run(run)
    if form is TableFormat.json:
        sections = [{"name": section.name} | asdict(section) for section in found.sections]
        print_json({"schema": 1, "system": found.name, "sections": sections})
        return
    print_details(found.sections, form, f"{found.name}: by machine")
    if not any(section.details.attributes for section in found.sections):
        say("no clip has attributes, or the run is from an older version: run it again", err=True)


def print_details(
    sections: Sequence[StoredSection] | Sequence[SectionResult],
    form: TableFormat = TableFormat.text,
    title: str = "",
) -> None:
    """Print the tables of details; with a title, the table of the sections before them."""
    from firstshot.report.details import detail_tables, metrics_table
    from firstshot.report.table import overall_metrics

    metrics = {section.name: section.metrics for section in sections if section.metrics}
    if len(metrics) > 1:
        metrics["all"] = overall_metrics(sections)
    tables = [metrics_table(title, "Machine", metrics)] if title and metrics else []
    for section in sections:
        tables += detail_tables(section.name, section.details)
    print_text_tables(tables, form)
