"""Score and level over days, as one picture with one axis of time, UTC.

Days have more windows than a screen has columns, so a column shows its lowest and highest value.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from firstshot.live.history.read import MachineHistory
from firstshot.live.messages import EventReport
from firstshot.report.drawing.svg import COLOURS, drawing, inline_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (11.0, 4.6)
COLUMNS = 500
SMALL = 9
Array = NDArray[np.float64]


def plot_history(machine: MachineHistory, first: datetime, last: datetime) -> Markup:
    """Draw a machine's scores, its threshold, its alarms and blind times, and its level."""
    edges = _edges(machine.times, first.timestamp(), last.timestamp())
    with drawing(SIZE) as figure:
        scores = figure.add_axes((0.065, 0.4, 0.925, 0.58))
        levels = figure.add_axes((0.065, 0.085, 0.925, 0.25), sharex=scores)
        _draw_scores(scores, machine, edges)
        low, high = columns(machine.times, machine.numbers("level_dbfs"), edges)
        _band(levels, edges, low, high, COLOURS["muted"])
        levels.set_ylabel("level, dBFS", fontsize=SMALL)
        for axes in (scores, levels):
            _shade(axes, machine.of_kind("blind"), last, COLOURS["muted"], 0.25)
            _shade(axes, machine.of_kind("alarm"), last, COLOURS["anomalous"], 0.3)
            axes.tick_params(labelsize=SMALL)
        _label_time(levels, edges)
        scores.tick_params(labelbottom=False)
        told = (
            f"Scores of {machine.name} over time, {len(machine.of_kind('alarm'))} alarms, "
            f"{len(machine.of_kind('blind'))} times without usable sound."
        )
        return inline_svg(figure, told)


def _edges(times: Array, first: float, last: float) -> Array:
    """Return the edges of the columns, each of which is as wide as two windows at least."""
    hop = float(np.median(np.diff(times))) if times.size > 1 else 1.0
    count = int(np.clip((last - first) / max(2 * hop, 1e-3), 1, COLUMNS))
    return np.linspace(first, max(last, first + 1.0), count + 1)


def columns(times: Array, values: NDArray[np.float32], edges: Array) -> tuple[Array, Array]:
    """Return the lowest and highest value between each two edges, NaN where there is none.

    >>> low, high = columns(np.array([0.5, 0.6, 2.5]), np.float32([3, 1, 7]), np.arange(4.0))
    >>> low.tolist(), high.tolist()
    ([1.0, nan, 7.0], [3.0, nan, 7.0])
    """
    known = np.isfinite(values)
    column = np.clip(np.searchsorted(edges, times[known], "right") - 1, 0, len(edges) - 2)
    low, high = np.full(len(edges) - 1, np.inf), np.full(len(edges) - 1, -np.inf)
    np.minimum.at(low, column, values[known])
    np.maximum.at(high, column, values[known])
    empty = np.isinf(low)
    low[empty], high[empty] = np.nan, np.nan
    return low, high


def _draw_scores(axes: Axes, machine: MachineHistory, edges: Array) -> None:
    low, high = columns(machine.times, machine.numbers("score"), edges)
    _band(axes, edges, low, high, COLOURS["normal"])
    middle = (edges[:-1] + edges[1:]) / 2
    _, ranked = columns(machine.times, machine.numbers("ranked"), edges)
    axes.plot(_days(middle), ranked, color=COLOURS["ink"], linewidth=1.1)
    threshold, _ = columns(machine.times, machine.numbers("threshold"), edges)
    axes.step(
        _days(middle), threshold, where="mid",
        color=COLOURS["anomalous"], linewidth=1.2, linestyle=(0, (4, 2)),
    )  # fmt: skip
    known = np.concatenate([low, high, threshold])
    known = known[np.isfinite(known)]
    if known.size and known.min() > 0 and known.max() > 20 * np.median(known):
        axes.set_yscale("log")
    axes.set_ylabel("score", fontsize=SMALL)


def _band(axes: Axes, edges: Array, low: Array, high: Array, colour: str) -> None:
    """Fill between low and high; columns of one value keep a line."""
    middle = _days((edges[:-1] + edges[1:]) / 2)
    axes.fill_between(middle, low, high, color=colour, alpha=0.55, linewidth=0.6, step="mid")


def _shade(
    axes: Axes, events: list[EventReport], last: datetime, colour: str, alpha: float
) -> None:
    for event in events:
        ended = event.ended or last
        span = _days(np.array([event.started.timestamp(), ended.timestamp()]))
        axes.axvspan(span[0], span[1], color=colour, alpha=alpha, linewidth=0.8, zorder=0)


def _days(seconds: Array) -> Array:
    """Return times as matplotlib counts them: days since 1970, UTC."""
    return seconds / 86400.0


def _label_time(axes: Axes, edges: Array) -> None:
    from matplotlib import dates

    untyped: Any = dates
    locator = untyped.AutoDateLocator(tz=UTC, maxticks=9)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(untyped.ConciseDateFormatter(locator, tz=UTC))
    axes.xaxis.get_offset_text().set_fontsize(SMALL)
    first, last = _days(edges[[0, -1]])
    axes.set_xlim(first, last)
