"""A clip becomes cells of 0.1 s by 12 groups of mel bands, ten values each.

Input: a waveform at 16 kHz. Output: `ClipCells`. The levels of a clip are relative to its mean log
energy c, so that a gain changes nothing. E(t, b) = ln P(t, b) - c is the level of a mel band in
frame t, and A(t, g) = ln(mean of P over the group's four bands) - c that of a group. The values of
a cell and group:

1 to 4   the mean of E over 20 frames around the cell, for each of the four bands
5 to 8   the maximum of E over the cell's own frames, for each of the four bands
9        the maximum of A, smoothed over 3 frames, over 50 frames around the cell
10       the population deviation of A over 50 frames around the cell

The first four say what sounds now, the next four see a knock, the last two a sound that is missing
and a level that fluctuates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from firstshot.sound.mel import MelSpec, hertz_to_mel, mel_edges, mel_energies, mel_to_hertz

SAMPLE_RATE = 16000
CELL_SECONDS = 0.1
GROUPS, BANDS_PER_GROUP, VALUES = 12, 4, 10
POWER_FLOOR = np.float32(1e-10)
AROUND, WIDELY_AROUND, SMOOTHED = 20, 50, 3
"""Frames (10 ms each) that values 1 to 4, values 9 and 10, and the smoothing of value 9 look at."""

CELLS_AT_ONCE = 1000

MEL = MelSpec(512, GROUPS * BANDS_PER_GROUP, 50.0, 7800.0, scale="htk", area=False)


def _group_edges() -> tuple[float, ...]:
    """Return the edges in Hz (13,): in mel, midway between two corners of the mel bank."""
    corners = hertz_to_mel(mel_edges(MEL), MEL.scale)
    middles = (corners[:-1] + corners[1:]) / 2
    return tuple(mel_to_hertz(middles[::BANDS_PER_GROUP], MEL.scale).tolist())


GROUP_EDGES_HZ = _group_edges()
"""The groups' edges in Hz (13,), lowest first."""


@dataclass(frozen=True)
class ClipCells:
    """The cells of a clip.

    `values` are float32 (cells, 12 groups, 10 values) in nepers, `levels` float32 (cells, 12) the
    logarithm of a group's mean power over 20 frames, relative to the clip's own level.
    """

    values: NDArray[np.float32]
    levels: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def of(cls, array: NDArray[np.float32]) -> ClipCells:
        """Return the cells of an array (cells, 12, 11) as `array` gives it."""
        return cls(array[:, :, :VALUES], array[:, :, VALUES])

    @property
    def array(self) -> NDArray[np.float32]:
        """Values and levels as one array (cells, 12, 11)."""
        return np.concatenate([self.values, self.levels[:, :, np.newaxis]], axis=2)

    @cached_property
    def key(self) -> NDArray[np.float64]:
        """What the clip sounds like as a whole (24,): mean and deviation of its group levels."""
        means = self.values[:, :, :BANDS_PER_GROUP].astype(np.float64).mean(axis=2)
        return np.concatenate([means.mean(axis=0), means.std(axis=0)])


def cells_of(waveform: NDArray[np.float32]) -> ClipCells:
    """Return the cells of a waveform (samples,) at 16 kHz; one shorter than 32 ms is padded.

    >>> len(cells_of(np.zeros(16000, dtype=np.float32)))
    10
    """
    samples = waveform - waveform.mean(dtype=np.float64).astype(np.float32)
    samples = np.pad(samples, (0, max(0, MEL.window - len(samples))))
    power = (mel_energies(samples, MEL, centred=False) + POWER_FLOOR).astype(np.float64)
    logarithms = np.log(power)
    level = logarithms.mean()
    bands = logarithms - level
    frames = len(power)
    groups = np.log(power.reshape(frames, GROUPS, BANDS_PER_GROUP).mean(axis=2)) - level
    cell_of_frame = (10 * np.arange(frames) + 16) // 100
    cells = int(cell_of_frame[-1]) + 1
    starts = np.searchsorted(cell_of_frame, np.arange(cells))
    values = np.empty((cells, GROUPS, VALUES), dtype=np.float32)
    by_band = (cells, GROUPS, BANDS_PER_GROUP)
    values[:, :, 0:4] = _around(np.mean, bands, AROUND, cells).reshape(by_band)
    values[:, :, 4:8] = np.maximum.reduceat(bands, starts, axis=0).reshape(by_band)
    smooth = sliding_window_view(groups, min(SMOOTHED, frames), axis=0).mean(axis=-1)
    values[:, :, 8] = _around(np.max, smooth, WIDELY_AROUND, cells)
    values[:, :, 9] = _around(np.std, groups, WIDELY_AROUND, cells)
    levels = np.log(_around(np.mean, np.exp(groups), AROUND, cells)).astype(np.float32)
    return ClipCells(values, levels)


def _around(
    statistic: Callable[..., NDArray[np.float64]], rows: NDArray[np.float64], width: int, cells: int
) -> NDArray[np.float64]:
    """Return a statistic, per column, of the `width` rows around each cell, or all there are."""
    kept = min(width, len(rows))
    starts = np.clip(10 * np.arange(cells) + 3 - width // 2, 0, len(rows) - kept)
    spans = sliding_window_view(rows, kept, axis=0)
    # The spans of all cells of a clip of hours would take gigabytes.
    parts = np.split(starts, range(CELLS_AT_ONCE, cells, CELLS_AT_ONCE))
    return np.concatenate([statistic(spans[part], axis=-1) for part in parts])
