"""Section results become a table for the terminal, in percent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from firstshot.disk.names import show_name
from firstshot.report.table import called_anomalous, overall_metrics, percent, shown_metrics
from firstshot.results import SectionResult

if TYPE_CHECKING:
    from rich.table import Table


def terminal_table(sections: Sequence[SectionResult], title: str | None = None) -> Table:
    """Return the results as a table in percent; print it with `rich.console.Console`.

    One row per machine and section and an `all` row of harmonic means (official score: over every
    AUC source, AUC target and pAUC). The section column appears when a machine has more than one.
    """
    from rich.table import Table
    from rich.text import Text

    machines = [section.machine for section in sections]
    several = len(set(machines)) < len(machines)
    metrics = shown_metrics(sections)
    table = Table(title=title, title_justify="left")
    table.add_column("Machine", overflow="fold")
    if several:
        table.add_column("Section")
    for _, heading in metrics:
        table.add_column(heading, justify="right")
    table.add_column("Called anomalous", justify="right")
    for section in sections:
        cells = [Text(show_name(section.machine))]
        cells += [Text(section.section)] if several else []
        cells += [Text(_with_deviation(section, name)) for name, _ in metrics]
        cells.append(Text(f"{called_anomalous(section)} of {len(section.clips)}"))
        table.add_row(*cells)
    table.add_section()
    overall = overall_metrics(sections)
    clips = sum(len(section.clips) for section in sections)
    cells = [Text("all")] + ([Text("")] if several else [])
    cells += [Text(percent(overall.get(name))) for name, _ in metrics]
    cells.append(Text(f"{sum(map(called_anomalous, sections))} of {clips}"))
    table.add_row(*cells, style="bold")
    return table


def _with_deviation(section: SectionResult, name: str) -> str:
    """Show a metric in percent, and its deviation over trials where there were some."""
    shown = percent(section.metrics.get(name))
    if name not in section.deviations:
        return shown
    return f"{shown}±{100 * section.deviations[name]:.2f}"
