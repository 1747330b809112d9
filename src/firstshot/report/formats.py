"""A table of text becomes Markdown or LaTeX, to be put into a report or a paper.

Input: `TextTable` records, whose cells are ready to print. Output: text. The first column is set
to the left, all others to the right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from firstshot.messages import show_text


@dataclass(frozen=True)
class TextTable:
    """A title, the headings of the columns, rows of as many cells, and sentences below them."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def as_markdown(table: TextTable) -> str:
    r"""Return a table as GitHub and pandoc read it.

    Examples
    --------
    >>> print(as_markdown(TextTable("Fan", ("Part", "AUC"), (("layer_1", "90.00"),))), end="")
    **Fan**
    <BLANKLINE>
    | Part | AUC |
    | :--- | ---: |
    | layer\_1 | 90.00 |
    """
    escape = _escaping(_MARKDOWN)
    lines = [f"**{escape(table.title)}**", "", _pipes(map(escape, table.header))]
    lines.append(_pipes([":---", *["---:"] * (len(table.header) - 1)]))
    lines += [_pipes(map(escape, row)) for row in table.rows]
    if table.notes:
        lines += ["", *(f"- {escape(note)}" for note in table.notes)]
    return "\n".join(lines) + "\n"


def as_latex(table: TextTable) -> str:
    r"""Return a table that LaTeX sets without any package.

    Examples
    --------
    >>> print(as_latex(TextTable("Fan", ("Part", "AUC"), (("layer_1", "-0.50"),))), end="")
    \begin{table}
    \caption{Fan}
    \begin{tabular}{lr}
    \hline
    Part & AUC \\
    \hline
    layer\_1 & $-0.50$ \\
    \hline
    \end{tabular}
    \end{table}
    """
    escape = _escaping(_LATEX)

    def line(cells: Sequence[str]) -> str:
        signed = (re.fullmatch(r"[+-]\d[\d.]*", cell) for cell in cells)
        set_cells = [
            f"${cell}$" if sign else escape(cell) for sign, cell in zip(signed, cells, strict=True)
        ]
        return " & ".join(set_cells) + r" \\"

    columns = "l" + "r" * (len(table.header) - 1)
    lines = [r"\begin{table}", rf"\caption{{{escape(table.title)}}}"]
    lines += [rf"\begin{{tabular}}{{{columns}}}", r"\hline", line(table.header), r"\hline"]
    lines += [*map(line, table.rows), r"\hline", r"\end{tabular}"]
    lines += [rf"\\ {escape(note)}" for note in table.notes]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _pipes(cells: Sequence[str] | map[str]) -> str:
    return "| " + " | ".join(cells) + " |"


_MARKDOWN = {character: "\\" + character for character in r"\`*_{}[]<>#|~$"}
_LATEX = {
    **{character: "\\" + character for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "–": "--",
}


def _escaping(escapes: dict[str, str]) -> Callable[[str], str]:
    """Return what makes text plain in a language: on one line, nothing in it acts."""
    table = str.maketrans(escapes)
    return lambda text: show_text(text).translate(table)
