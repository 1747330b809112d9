"""The anomaly map of a clip is drawn over its spectrogram.

Input: the axes of a spectrogram, seconds by mel, and a `Place`. Cells that are stranger than 95 %
of normal moments become lighter, the more the stranger, and the region that explains an anomaly has
a frame. Its colour is of no other meaning on the page and is not in the spectrogram's scale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from firstshot.anomaly_map import CELL_SECONDS, GROUP_EDGES_HZ, Place
from firstshot.report.drawing.spectra import mel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOUR = "#7df9ff"
STRANGE, STRANGEST = 1.645, 10.0
"""The z of a cell that begins to be seen, and the least of one that is as light as any."""
LIGHTEST = 0.5


def draw_place(axes: Axes, place: Place) -> None:
    """Draw a clip's map, and its regions with frames."""
    from matplotlib.colors import to_rgba

    cells, groups = place.z.shape
    picture = np.empty((groups, cells, 4))
    picture[:] = to_rgba(COLOUR)
    strangest = max(STRANGEST, float(place.z.max()))  # where all is strange, the most still shows
    picture[:, :, 3] = LIGHTEST * np.clip((place.z.T - STRANGE) / (strangest - STRANGE), 0.0, 1.0)
    edges = mel(GROUP_EDGES_HZ)  # equally spaced in mel
    end = place.start_seconds + CELL_SECONDS * cells
    axes.imshow(
        picture, origin="lower", aspect="auto", interpolation="none",
        extent=(place.start_seconds, end, float(edges[0]), float(edges[-1])),
    )  # fmt: skip
    for region in place.regions:
        left, right = region.start_seconds, region.end_seconds
        low, high = mel([region.low_hz, region.high_hz])
        for width, colour in ((4.0, "#000000"), (2.0, COLOUR)):
            axes.plot(
                [left, right, right, left, left], [low, low, high, high, low],
                color=colour, linewidth=width, solid_joinstyle="miter",
            )  # fmt: skip
