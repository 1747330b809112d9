"""Scores over time: each clip a point, above or below the threshold.

Input: scores, thresholds and times, or clips in the order of their names. Output: SVG markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from numpy.typing import ArrayLike, NDArray

from firstshot.report.drawing.points import Point, inline_points
from firstshot.report.drawing.svg import COLOURS, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE = (6.8, 3.2)
SMALL = 8


def draw_timeline(
    scores: ArrayLike,
    thresholds: ArrayLike,
    times: Sequence[float] | None,
    words: Sequence[str],
    plays: Sequence[str],
) -> Markup:
    """Draw scores over time.

    Parameters
    ----------
    scores, thresholds : arrays (clips,)
        A score above its threshold is drawn as anomalous.
    times : sequence of float, optional
        Seconds since 1970; None, or one time for all, draws the clips one after the other.
    words, plays : sequences of str
        What is said of each clip, and the id of its player or "".
    """
    timed = times is not None and max(times) > min(times)
    score, limit = np.asarray(scores, np.float64), np.asarray(thresholds, np.float64)
    with drawing(SIZE) as figure:
        axes = figure.add_axes((0.1, 0.125, 0.885, 0.86))
        x: NDArray[np.float64] = np.arange(1.0, len(score) + 1)
        if times is not None and timed:
            x = _time_axis(axes, times)
        known = np.concatenate([score, limit[np.isfinite(limit)]])
        if known.min() > 0 and known.max() > 20 * np.median(known):
            axes.set_yscale("log")
        order = np.argsort(x, kind="stable")
        line: dict[str, Any] = {"color": COLOURS["ink"], "linewidth": 1.0, "linestyle": (0, (4, 2))}
        if len(set(limit.tolist())) == 1:
            axes.axhline(limit[0], **line)
        else:
            axes.step(x[order], limit[order], where="mid", **line)
        axes.scatter(x, score, alpha=0)  # the points are drawn over the plot; this sets the limits
        axes.margins(0.03, 0.08)
        axes.tick_params(labelsize=SMALL)
        axes.xaxis.get_offset_text().set_fontsize(SMALL)
        axes.set_xlabel("time of the file" if timed else "clip", fontsize=SMALL)
        axes.set_ylabel("anomaly score", fontsize=SMALL)
        above = score > limit
        points = [
            Point(x[i], score[i], words[i], colours=_colour(bool(above[i])), plays=plays[i])
            for i in range(len(score))
        ]
        told = f"Scores of {len(score)} clips over time; {int(above.sum())} above the threshold."
        return inline_points(figure, axes, points, told)


def _time_axis(axes: Axes, times: Sequence[float]) -> NDArray[np.float64]:
    """Label the axis by local time; return its coordinates of the times."""
    from matplotlib import dates

    untyped: Any = dates
    locator = untyped.AutoDateLocator(maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(untyped.ConciseDateFormatter(locator))
    return np.asarray(untyped.date2num([datetime.fromtimestamp(time) for time in times]))


def _colour(anomalous: bool) -> dict[str, str]:
    return {"decision": "anomalous" if anomalous else "normal"}
