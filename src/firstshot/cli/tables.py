"""Tables on standard output, drawn first and then written like any other text.

`rich` would answer a closed pipe by leaving with status 1, which here means an anomaly.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
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
    header: Sequence[str], rows: Sequence[Sequence[str]], bold_last: bool = False
) -> None:
    """Write rows of text as a table, numbers to the right; headings break, words do not."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    needed = 2
    for i, heading in enumerate(header):
        widest = max(map(len, [*heading.split(), *(row[i] for row in rows)]))
        needed += widest + 3
        table.add_column(heading, justify="right" if i else "left", min_width=widest)
    for i, row in enumerate(rows):
        last = bold_last and i == len(rows) - 1
        if last:
            table.add_section()
        table.add_row(*map(Text, row), style="bold" if last else None)
    # Folded words are harder to read than a line that is too long.
    print_table(table, max(table_width(), needed))
