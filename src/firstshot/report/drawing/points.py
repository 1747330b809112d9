"""Clips become points over a matplotlib plot, which the page colours anew and which play sounds.

Input: axes and points in their coordinates. Output: SVG markup: the plot, and a shape per point
with the names of its colours, its words, and the id of its player. The page's script does the rest;
without it the points have their first colours, and their words when pointed at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from firstshot.report.drawing.svg import inline_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

UNITS = 72  # of the SVG per inch
RADIUS = 2.6
COLOURS = 8
"""The page has so many colours for groups, `c0` to `c7`."""
MARKS = {
    "open": "a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0 -{d} 0",
    "disc": "a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0 -{d} 0",
    "diamond": "l{r} -{r}l{r} {r}l-{r} {r}z",
}


@dataclass(frozen=True)
class Point:
    """One clip at (x, y) of the axes.

    `mark` is a name of `MARKS`; `colours` has a colour's name (a custom property of the page) for
    each colouring; `words` is what is said of the clip; `plays` the id of its player, or "".
    """

    x: float
    y: float
    words: str
    mark: str = "disc"
    colours: Mapping[str, str] = field(default_factory=dict)
    plays: str = ""


def inline_points(figure: Figure, axes: Axes, points: Sequence[Point], description: str) -> Markup:
    """Draw a figure as SVG with points over its axes; those with a sound come last, on top."""
    drawn = str(inline_svg(figure, description)).replace('role="img"', 'role="group"', 1)
    shapes = Markup("").join(
        _shape(figure, axes, point) for point in sorted(points, key=lambda point: bool(point.plays))
    )
    return Markup(drawn.replace("</svg>", f"<g>{shapes}</g></svg>"))


def _shape(figure: Figure, axes: Axes, point: Point) -> Markup:
    x, y = axes.transData.transform((point.x, point.y)) / figure.dpi * UNITS
    y = figure.get_figheight() * UNITS - y
    radius = RADIUS * (1.25 if point.mark == "diamond" else 1.0)
    mark = MARKS[point.mark].format(r=f"{radius:g}", d=f"{2 * radius:g}")
    first = next(iter(point.colours.values()), "ink")
    attributes = [
        ("class", "point open" if point.mark == "open" else "point"),
        ("d", f"M{x - radius:.1f} {y:.1f}{mark}"),
        ("data-colour", first),
        *((f"data-{name}", colour) for name, colour in point.colours.items()),
    ]
    if point.plays:
        label = f"play {point.words}"
        attributes += [("data-plays", point.plays), ("tabindex", "0"), ("role", "button")]
        attributes.append(("aria-label", label))
    listed = " ".join(f'{name}="{escape(value)}"' for name, value in attributes)
    return Markup(f"<path {listed}><title>{escape(point.words)}</title></path>")
