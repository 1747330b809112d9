"""Where a judged clip differs: its map, and the region that is highlighted, if any.

Input: a bank, a clip's cells and whether the clip was judged anomalous. Output: a `Place`. The map
explains a decision and makes none: in a clip that was judged normal nothing is highlighted, since
every clip has a strangest moment.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstshot.anomaly_map.bank import MapBank
from firstshot.anomaly_map.vectors import ClipCells
from firstshot.anomaly_map.words import NOTHING, Region, describe

TOO_FEW = "There are too few normal clips to say which moment stands out."


@dataclass(frozen=True, eq=False)
class Place:
    """Where a clip differs from normal sound.

    Attributes
    ----------
    z : float64 (cells, 12)
        How strange each cell of 0.1 s and each band group is; see `firstshot.anomaly_map.bank`.
    start_seconds : float
        Where in the clip the cells begin.
    threshold : float or None
        The z above which a region is highlighted; a tenth of normal clips would have one. None
        where there are too few normal clips.
    regions : tuple of Region
        The strangest region; none in a clip that was judged normal, or where no cell is above the
        threshold.
    words : str
        One sentence; empty for a clip that was judged normal.
    """

    z: NDArray[np.float64]
    start_seconds: float
    threshold: float | None
    regions: tuple[Region, ...]
    words: str


def find_place(
    bank: MapBank,
    cells: ClipCells,
    is_anomaly: bool,
    start_seconds: float = 0.0,
    ends_clip: bool = True,
) -> Place:
    """Return where a clip differs; its cells begin at `start_seconds` and may end with the clip."""
    found, threshold = bank.compare(cells), bank.highlight_threshold()
    if not is_anomaly or threshold is None:
        return Place(found.z, start_seconds, threshold, (), TOO_FEW if is_anomaly else "")
    region = describe(cells, found, bank, threshold, start_seconds, ends_clip)
    if region is None:
        return Place(found.z, start_seconds, threshold, (), NOTHING)
    return Place(found.z, start_seconds, threshold, (region,), region.words)
