"""Tables for other programs: cells stay whole, and nothing in a name acts."""

from __future__ import annotations

import re

from firstshot.report.formats import TextTable, as_latex, as_markdown

ODD = r"a_1|b&c%d$#{x}~^\e*`<b>" + "\n\x1b[31m±–é"
TABLE = TextTable("Odd " + ODD, ("Name", "AUC", "Difference"), ((ODD, "90.00", "-1.50"),), (ODD,))


def test_markdown_reads_back_to_the_same_cells():
    lines = as_markdown(TABLE).splitlines()
    header, rule, row = lines[2:5]
    assert rule == "| :--- | ---: | ---: |"
    assert header == "| Name | AUC | Difference |"
    cells = re.split(r"(?<!\\) \| ", row.removeprefix("| ").removesuffix(" |"))
    assert re.sub(r"\\([^A-Za-z0-9\s])", r"\1", cells[0]) == ODD.replace("\n\x1b", r"\x0a\x1b")
    assert cells[1:] == ["90.00", "-1.50"]
    assert lines[6].startswith(r"- a\_1\|b&c%d\$\#\{x\}")


def test_latex_escapes_what_acts_there_and_sets_signs_as_mathematics():
    text = as_latex(TABLE)
    (row,) = [line for line in text.splitlines() if "90.00" in line]
    assert row == (
        r"a\_1|b\&c\%d\$\#\{x\}\textasciitilde{}\textasciicircum{}\textbackslash{}e*`"
        r"\textless{}b\textgreater{}\textbackslash{}x0a\textbackslash{}x1b[31m$\pm$--é"
        r" & 90.00 & $-1.50$ \\"
    )
    assert text.count(r"\begin") == text.count(r"\end") == 2
    assert r"\begin{tabular}{lrr}" in text
