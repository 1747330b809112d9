"""Comparisons become one offline HTML page in the style of a run's report.

Input: `Comparison` records. Output: a file that needs no network and contains no script; its
content security policy forbids the browser to fetch or run anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from firstshot.dcase.comparing.compare import METRICS, Comparison
from firstshot.dcase.comparing.published import MISPRINTS
from firstshot.dcase.comparing.table import percent, points
from firstshot.errors import ParameterError
from firstshot.report.page import fill_template

TITLE = "Beside the published results"


def is_comparison_page(path: Path) -> bool:
    """Return whether a file is a comparison's page, by its title."""
    with path.open("rb") as file:
        return f"<title>{TITLE}</title>".encode() in file.read(4096)


def render_comparison(comparisons: Sequence[Comparison], title: str = TITLE) -> str:
    """Return the page as text.

    Raises
    ------
    ParameterError
        There is nothing to show.
    """
    if not comparisons:
        raise ParameterError("a comparison needs the folder of one run or more; got none")
    template = resources.files("firstshot.dcase.comparing").joinpath("comparison.html.jinja")
    return fill_template(
        template.read_text(encoding="utf-8"),
        {"points": points, "two_decimals": percent},
        script="",
        title=title,
        comparisons=comparisons,
        metrics=METRICS,
        misprints=MISPRINTS,
    )
