"""The strangest region of a map, in plain words.

Input: a clip's cells, its map and the bank. Output: a `Region` with a sentence such as "At 3.2 to
3.4 s, 2.4 to 3.1 kHz: louder by 9 dB than normal moments". What the region is called follows from
its strangest cell: four of its values are set beside the 5, 50 and 95 % quantiles of the normal
cells it was compared with, and the largest ratio names it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstshot.anomaly_map.bank import AnomalyMap, MapBank
from firstshot.anomaly_map.vectors import CELL_SECONDS, GROUP_EDGES_HZ, VALUES, ClipCells

DECIBELS_PER_NEPER = 10.0 / np.log(10.0)
LEAST_SPREAD = 0.2
"""In nepers, between the median and an outer quantile."""
LONGEST_KNOCK, SHORTEST_LOUD = 0.3, 0.2
NOTHING = "No single moment stands out; the clip differs as a whole."


@dataclass(frozen=True)
class Region:
    """Where a clip is strangest.

    Attributes
    ----------
    start_seconds, end_seconds : float
        From the clip's start.
    low_hz, high_hz : float
        The edges of its band groups.
    kind : str
        `louder`, `quieter`, `knock`, `fluctuates` or `different`.
    decibels : float
        Of the strangest cell, relative to the median of normal cells; levels are relative to the
        clip's own level. 0 for `different`.
    z : float
        Of the strangest cell.
    stranger_than : float
        The share (0 to 1) of normal moments, in the band group of the strangest cell, that were
        less strange when they were held out.
    words : str
        One sentence.
    """

    start_seconds: float
    end_seconds: float
    low_hz: float
    high_hz: float
    kind: str
    decibels: float
    z: float
    stranger_than: float
    words: str


def describe(
    cells: ClipCells,
    found: AnomalyMap,
    bank: MapBank,
    threshold: float,
    start_seconds: float = 0.0,
    ends_clip: bool = True,
) -> Region | None:
    """Return the strangest region, or None where no cell's z is above the threshold.

    The cells may be of a stretch of the clip that begins at `start_seconds`; `ends_clip` tells
    whether it lasts to the clip's end.
    """
    peak = np.unravel_index(int(found.z.argmax()), found.z.shape)
    cell, group = int(peak[0]), int(peak[1])
    highest = float(found.z[cell, group])
    if highest <= threshold:
        return None
    region = _connected(found.z >= max(threshold, highest / 2), cell, group)
    times, groups = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    seconds = CELL_SECONDS * float(times[0]), CELL_SECONDS * float(times[-1] + 1)
    hertz = GROUP_EDGES_HZ[groups[0]], GROUP_EDGES_HZ[groups[-1] + 1]
    kind, nepers = _kind(cells, found, bank, cell, group, seconds[1] - seconds[0])
    until_end = ends_clip and times[-1] + 1 == len(found.z) and times[0] > 0
    start, end = start_seconds + seconds[0], start_seconds + seconds[1]
    decibels = float(DECIBELS_PER_NEPER * nepers)
    stranger = float(bank.strangeness(found)[cell, group])
    words = _sentence(kind, decibels, (start, end), hertz, until_end)
    return Region(start, end, *hertz, kind, decibels, highest, stranger, words)


def _connected(strange: NDArray[np.bool_], cell: int, group: int) -> NDArray[np.bool_]:
    """Return the strange cells that are joined to one by shared sides."""
    region = np.zeros_like(strange)
    region[cell, group] = True
    while True:
        grown = region.copy()
        grown[1:] |= region[:-1]
        grown[:-1] |= region[1:]
        grown[:, 1:] |= region[:, :-1]
        grown[:, :-1] |= region[:, 1:]
        grown &= strange
        if (grown == region).all():
            return region
        region = grown


def _kind(
    cells: ClipCells, found: AnomalyMap, bank: MapBank, cell: int, group: int, seconds: float
) -> tuple[str, float]:
    """Return what the strangest cell is called, and the nepers that go with it."""
    normal = bank.cells.arrays(found.taken)[:, group].astype(np.float64)
    ours = cells.values[cell, group].astype(np.float64)
    level = _beside(normal[:, VALUES], float(cells.levels[cell, group]))
    widest = _beside(normal[:, 8], float(ours[8]))
    knock = _beside(normal[:, 4:8].max(axis=1), float(ours[4:8].max()))
    swings = _beside(normal[:, 9], float(ours[9]))
    quieter = max(level, widest, key=lambda value: value.below)
    ratios = {
        "louder": (level.above, level.offset),
        "quieter": (quieter.below, quieter.offset),
        "knock": (knock.above, knock.offset),
        "fluctuates": (swings.above, swings.offset),
    }
    kind = max(ratios, key=lambda name: ratios[name][0])
    if ratios[kind][0] <= 1.0:
        return "different", 0.0
    if kind == "knock" and seconds > LONGEST_KNOCK + CELL_SECONDS / 2:
        kind = "louder"
    elif (
        kind == "louder" and seconds < SHORTEST_LOUD + CELL_SECONDS / 2 and ratios["knock"][0] > 1.0
    ):
        kind = "knock"
    return kind, ratios[kind][1]


@dataclass(frozen=True)
class _Beside:
    """A value beside normal ones: in spreads above and below the median, and as a difference."""

    above: float
    below: float
    offset: float


def _beside(normal: NDArray[np.float64], value: float) -> _Beside:
    low, middle, high = (float(q) for q in np.quantile(normal, (0.05, 0.5, 0.95)))
    offset = value - middle
    return _Beside(
        offset / max(high - middle, LEAST_SPREAD), -offset / max(middle - low, LEAST_SPREAD), offset
    )


def _sentence(
    kind: str,
    decibels: float,
    seconds: tuple[float, float],
    hertz: tuple[float, float],
    until_end: bool,
) -> str:
    start, end = seconds
    if until_end and end - start > LONGEST_KNOCK:
        when = f"{start:.1f} s to the end"
    elif kind == "knock":
        when = f"At {start:.1f} s"
    else:
        when = f"At {start:.1f} to {end:.1f} s"
    where = f", {hertz[0] / 1000:.1f} to {hertz[1] / 1000:.1f} kHz"
    size = f"{abs(decibels):.0f} dB"
    return {
        "louder": f"{when}{where}: louder by {size} than normal moments.",
        "quieter": f"{when}{where}: a usual sound is missing ({size} quieter).",
        "knock": f"{when}: a knock, {size} above the normal peak.",
        "fluctuates": f"{when}{where}: the level fluctuates.",
        "different": f"{when}{where}: sounds different.",
    }[kind]
