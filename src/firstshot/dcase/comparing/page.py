"""Comparisons become one offline HTML page in the style of a run's report.

Input: `Comparison` records. Output: a file that needs no network and contains no script; its
content security policy forbids the browser to fetch or run anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Count:
    """What a clip costs an encoder or a system, counted here and as published (None: nothing is).

    `macs` are G multiply-accumulates of a clip of ten seconds, `parameters` millions.
    """

    name: str
    macs: float
    published_macs: float | None
    parameters: float
    published_parameters: float | None


def render_comparison(
    comparisons: Sequence[Comparison],
    title: str = TITLE,
    failures: Mapping[str, str] | None = None,
    counts: Sequence[Count] = (),
) -> str:
    """Return the page as text.

    Parameters
    ----------
    comparisons : sequence of Comparison
        In the order in which they are shown; of several, the first table has the overall values.
    title : str
        The heading.
    failures : mapping of str to str, optional
        Why a system, or some of its machines, has no result, by the system's name.
    counts : sequence of Count
        The cost of encoders and systems.

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
        failures=failures or {},
        counts=counts,
        metrics=METRICS,
        misprints=MISPRINTS,
    )
