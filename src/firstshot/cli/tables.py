"""Tables on standard output, drawn first and then written like any other text.

`rich` would answer a closed pipe by leaving with status 1, which here means an anomaly.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.table import Table


def table_width(piped: int = 80) -> int:
    """Return the terminal's width in letters, or `piped` where the output is none."""
    from rich.console import Console

    return Console().width if sys.stdout.isatty() else piped


def print_table(table: Table, width: int | None = None) -> None:
    """Write a table in at most `width` letters; None takes the terminal's width."""
    from rich.console import Console

    console = Console(width=width)
    with console.capture() as drawn:
        console.print(table)
    typer.echo(drawn.get(), nl=False)


def print_rows(
    header: Sequence[str], rows: Sequence[Sequence[str]], last_apart: bool = False
) -> None:
    """Write rows of text in columns, numbers to the right; headings break, words never do."""
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
