"""Comparisons become the rows of tables, and a CSV with one row per value.

Input: `Comparison` records. Output: text; percent with two decimals, differences in points with
their sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from firstshot.dcase.comparing.compare import METRICS, Cell, Comparison, Line
from firstshot.disk.names import cell_name, csv_text
from firstshot.report.formats import TextTable

CSV_COLUMNS = (
    "run",
    "system",
    "published system",
    "source",
    "machine",
    "section",
    "metric",
    "here",
    "low",
    "high",
    "level",
    "published",
    "published deviation",
    "difference",
    "published in interval",
)


def heading(comparison: Comparison) -> str:
    """Return one line that names the run and the published system."""
    if comparison.published is None:
        return f"{comparison.system} ({comparison.run}), percent"
    return (
        f"{comparison.system} ({comparison.run}) beside {comparison.published} of the "
        f"{comparison.source}, percent"
    )


def comparison_rows(comparison: Comparison) -> list[list[str]]:
    """Return rows of machine, what the row holds, and the four metrics.

    A section has up to four rows: here, its interval, published, difference. A row without any
    value is left out.
    """
    return [row for line in (*comparison.lines, comparison.overall) for row in _line_rows(line)]


def _line_rows(line: Line) -> list[list[str]]:
    cells = [line.cells[metric] for metric in METRICS]
    kinds = {
        "here": [percent(cell.here) for cell in cells],
        f"{_level(cells)} interval": [_interval(cell) for cell in cells],
        "published": [_published(cell) for cell in cells],
        "difference": [points(cell.difference) for cell in cells],
    }
    title = line.machine if line.section in ("", "00") else f"{line.machine} {line.section}"
    rows = [[kind, *texts] for kind, texts in kinds.items() if kind == "here" or any(texts)]
    return [[title if not i else "", *row] for i, row in enumerate(rows)]


def overall_row(comparison: Comparison) -> list[str]:
    """Return system, official score over all machines, its interval, published value, difference.

    Of several runs these rows are one table.
    """
    cell = comparison.overall.cells["official_score"]
    difference = points(cell.difference)
    return [comparison.system, percent(cell.here), _interval(cell), _published(cell), difference]


def standing_rows(comparison: Comparison) -> list[list[str]]:
    """Return every published system, its official score, and this run's score minus it."""
    return [
        [s.name, s.source, percent(s.official_score), points(s.difference)]
        for s in comparison.standings
    ]


def comparison_tables(comparison: Comparison) -> list[TextTable]:
    """Return the comparison and the standings as tables for a paper, the limits as their notes."""
    notes = [
        *comparison.notes,
        *(
            f"differs from the packaged {comparison.published}: {text}"
            for text in comparison.changed_settings
        ),
        *(f"assumed {a.setting}: {a.value} ({a.reason})" for a in comparison.assumptions),
    ]
    rows = tuple(map(tuple, comparison_rows(comparison)))
    header = ("Machine", "Value", *METRICS.values())
    tables = [TextTable(heading(comparison), header, rows, tuple(notes))]
    standings = tuple(map(tuple, standing_rows(comparison)))
    if standings:
        title = "official scores of all published systems over these machines"
        tables.append(TextTable(title, ("System", "From", "Official", "This run"), standings))
    return tables


def percent(value: float | None) -> str:
    """Show percent with two decimals, a missing value as an empty text.

    >>> percent(64.5), percent(None)
    ('64.50', '')
    """
    return "" if value is None else f"{value:.2f}"


def points(value: float | None) -> str:
    """Show a difference with its sign.

    >>> points(1.5), points(-0.001), points(None)
    ('+1.50', '-0.00', '')
    """
    return "" if value is None else f"{value:+.2f}"


def _level(cells: Sequence[Cell]) -> str:
    levels = [cell.interval.level for cell in cells if cell.interval]
    return f"{100 * levels[0]:.0f} %" if levels else ""


def _interval(cell: Cell) -> str:
    return f"{cell.interval.low:.1f}–{cell.interval.high:.1f}" if cell.interval else ""


def _published(cell: Cell) -> str:
    spread = "" if cell.deviation is None else f" ±{cell.deviation:.2f}"
    return percent(cell.published) + spread


def comparison_csv(comparisons: Sequence[Comparison]) -> str:
    """Return one row per run, section and metric, as CSV with a header; percent and points."""
    rows: list[Sequence[str]] = [CSV_COLUMNS]
    for c in comparisons:
        for line in (*c.lines, c.overall):
            for metric, cell in line.cells.items():
                name = [c.run, c.system, c.published or "", c.source]
                texts = [*name, line.machine, line.section, metric]
                rows.append([*map(cell_name, texts), *_values(cell)])
    return csv_text(rows)


def is_comparison_csv(path: Path) -> bool:
    """Return whether a file is a comparison as CSV, by its header."""
    header = ",".join(CSV_COLUMNS).encode()
    with path.open("rb") as file:
        return file.read(len(header)) == header


def _values(cell: Cell) -> list[str]:
    interval, within = cell.interval, cell.within
    bounds = (interval.low, interval.high, interval.level) if interval else (None, None, None)
    numbers = (cell.here, *bounds, cell.published, cell.deviation, cell.difference)
    return [
        *("" if value is None else f"{value:.6g}" for value in numbers),
        "" if within is None else "yes" if within else "no",
    ]
