"""Tables and lines on standard output, drawn first and then written like any other text.

`rich` would answer a closed pipe by leaving with status 1, which here means an anomaly.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from enum import StrEnum
from itertools import zip_longest
from textwrap import wrap
from typing import TYPE_CHECKING

import typer

from firstshot.disk.names import write_names
from firstshot.messages import show_text

if TYPE_CHECKING:
    from rich.table import Table

    from firstshot.report.formats import TextTable


class TableFormat(StrEnum):
    """How tables are printed: `json` has all values, the others what a reader needs."""

    text = "text"
    markdown = "markdown"
    latex = "latex"
    json = "json"


NARROWEST_NAME = 20
_PARTS = re.compile(r"[^_\-./ ]*[_\-./ ]+|[^_\-./ ]+")


def table_width(piped: int = 80) -> int:
    """Return the width in letters to print in: COLUMNS, else the terminal's, else `piped`.

    Where the output goes through a program such as `less`, the terminal is that of standard error.
    """
    columns = os.environ.get("COLUMNS", "")
    if columns.isascii() and columns.isdigit() and int(columns[:6]) > 0:
        return int(columns[:6])
    for stream in (1, 2):
        with suppress(OSError):
            width = os.get_terminal_size(stream).columns
            if width > 0:
                return width
    return piped


def print_table(table: Table, width: int | None = None) -> None:
    """Write a table in at most `width` letters; None takes the terminal's width."""
    from rich.console import Console

    console = Console(width=width)
    with console.capture() as drawn:
        console.print(table)
    typer.echo(drawn.get(), nl=False)


def say(text: str, err: bool = False) -> None:
    """Print a line with names in it, in which nothing acts on the terminal."""
    typer.echo(show_text(text), err=err)


def print_json(value: object) -> None:
    """Print records as JSON, the names in them as `write_name` writes them."""
    typer.echo(json.dumps(write_names(value), indent=2))


def folded_lines(
    rows: Sequence[Sequence[str]], names: int, width: int, right: Collection[int] = ()
) -> Iterator[str]:
    """Lay out a heading and rows, whose last `names` columns break where they are too wide.

    `right` are the columns that are set to the right.
    """
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    fixed = len(widths) - names
    left = width - sum(widths[:fixed]) - 2 * (len(widths) - 1)
    each = max(NARROWEST_NAME, left // names)
    widths[fixed:] = [min(widest, each) for widest in widths[fixed:]]
    header, *others = rows
    for row in (header, ["-" * widest for widest in widths], *others):
        cells = [[cell] for cell in row[:fixed]] + [fold_name(cell, each) for cell in row[fixed:]]
        for line in zip_longest(*cells, fillvalue=""):
            padded = [
                " " * (widths[i] - cell_len(cell)) + cell
                if i in right
                else cell + " " * (widths[i] - cell_len(cell))
                for i, cell in enumerate(line)
            ]
            yield "  ".join(padded).rstrip()


def fold_name(name: str, width: int) -> list[str]:
    """Cut a name that is too long for a column into lines, after separators where it has some.

    Lines after the first are indented.

    >>> fold_name("section_00_source_test_normal_0000_rpm_2600.wav", 30)
    ['section_00_source_test_normal_', '  0000_rpm_2600.wav']
    """
    from rich.cells import cell_len, chop_cells

    lines, line = [], ""
    for part in _PARTS.findall(name):
        for piece in chop_cells(part, width - 2):
            if line and cell_len(line) + cell_len(piece) > width:
                lines.append(line)
                line = "  "
            line += piece
    return [*lines, line]


def print_rows(
    header: Sequence[str], rows: Sequence[Sequence[str]], last_apart: bool = False
) -> None:
    """Write rows of text in columns, numbers to the right; headings break, words never do."""
    rows = [[show_text(cell) for cell in row] for row in rows]
    columns = list(zip(header, *rows, strict=True))
    widths = [max(map(len, [*heading.split(), *cells])) for heading, *cells in columns]
    broken = [wrap(heading, width) for heading, width in zip(header, widths, strict=True)]
    height = max(map(len, broken))
    lines = [*zip(*([""] * (height - len(words)) + words for words in broken), strict=True), *rows]
    rule = "  ".join("-" * width for width in widths)
    for i, line in enumerate(lines):
        if i == height or (last_apart and i == len(lines) - 1):
            typer.echo(rule)
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        typer.echo("  ".join(cells).rstrip())


def print_text_tables(tables: Sequence[TextTable], form: TableFormat) -> None:
    """Write tables as text, Markdown or LaTeX, each with an empty line below it."""
    from firstshot.report.formats import as_latex, as_markdown

    for table in tables:
        if form is TableFormat.text:
            say(table.title)
            print_rows(table.header, table.rows)
            for note in table.notes:
                say(f"note: {note}")
        else:
            write = as_latex if form is TableFormat.latex else as_markdown
            typer.echo(write(table), nl=False)
        typer.echo("")
