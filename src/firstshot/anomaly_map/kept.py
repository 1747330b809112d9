"""The cells of normal clips as they are kept: few, in float16, in the order of a detector's rows.

Input: the cells of each row, a clip or a window of one. Output: `KeptCells`, which may be selected
and joined as the rows are, and written as arrays. float16 has three digits, and a steady machine
varies by less than that of its level: what is kept is the difference from the mean of all cells in
units of their deviation, and stays in these units when rows are removed or added. A row may have no
cells: of very many rows only some are kept, so that all stays below 11 MB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.anomaly_map.vectors import GROUPS, VALUES, ClipCells

MOST_CELLS = 40_000
LEAST_DEVIATION = 0.05
"""Of a value, as a share of its median over the groups."""
Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class KeptCells:
    """Cells of normal clips.

    Attributes
    ----------
    packed : float16 (cells, 12, 11)
        Values and levels of the cells of all rows, one row after the other, minus `offset`, in
        units of `scale`, both float64 (12, 11).
    counts : int64 (rows,)
        How many cells each row has.
    keys : float64 (rows with cells, 24)
        What each row sounds like as a whole, of all its cells, also those that were left out.
    """

    packed: NDArray[np.float16]
    offset: Numbers
    scale: Numbers
    counts: NDArray[np.int64]
    keys: Numbers

    @classmethod
    def of(cls, clips: Sequence[ClipCells]) -> KeptCells:
        """Keep all cells of clips, a row each."""
        arrays = np.concatenate([clip.array for clip in clips])
        mean, deviation = spread(arrays[:, :, :VALUES])
        offset, scale = np.zeros((GROUPS, VALUES + 1)), np.ones((GROUPS, VALUES + 1))
        offset[:, :VALUES], scale[:, :VALUES] = mean, deviation
        return cls(
            ((arrays - offset) / scale).astype(np.float16),
            offset,
            scale,
            np.array([len(clip) for clip in clips]),
            np.stack([clip.key for clip in clips]),
        )

    def arrays(self, cells: NDArray[np.intp] | slice = slice(None)) -> NDArray[np.float32]:
        """Return values and levels of cells, in nepers (cells, 12, 11)."""
        array: NDArray[np.float32] = (self.packed[cells] * self.scale + self.offset).astype(
            np.float32
        )
        return array

    @property
    def rows(self) -> NDArray[np.intp]:
        """The rows that have cells."""
        return np.flatnonzero(self.counts)

    def clips(self) -> list[ClipCells]:
        """Return the cells of each row that has some."""
        counts = self.counts[self.rows]
        found = [ClipCells.of(part) for part in np.split(self.arrays(), np.cumsum(counts)[:-1])]
        for clip, key in zip(found, self.keys, strict=True):
            vars(clip)["key"] = key  # of all its cells; some may have been left out since
        return found

    def keep(self, rows: NDArray[np.intp]) -> KeptCells:
        """Return those of the given rows, in that order."""
        starts = np.cumsum(self.counts) - self.counts
        cells = [np.arange(starts[row], starts[row] + self.counts[row]) for row in rows]
        number = np.cumsum(self.counts > 0) - 1
        keyed = [int(number[row]) for row in rows if self.counts[row]]
        places = np.concatenate([*cells, np.empty(0, np.int64)])
        return replace(
            self, packed=self.packed[places], counts=self.counts[rows], keys=self.keys[keyed]
        )

    def join(self, other: KeptCells) -> KeptCells:
        """Return both, the other's rows last, in the units of this one."""
        theirs = ((other.arrays() - self.offset) / self.scale).astype(np.float16)
        return replace(
            self,
            packed=np.concatenate([self.packed, theirs]),
            counts=np.concatenate([self.counts, other.counts]),
            keys=np.concatenate([self.keys, other.keys]),
        )

    def thinned(self) -> KeptCells:
        """Return every n-th cell of each row, so that there are at most about 40,000."""
        step = max(1, -(-len(self.packed) // MOST_CELLS))
        if step == 1:
            return self
        starts = np.cumsum(self.counts) - self.counts
        within = np.arange(len(self.packed)) - np.repeat(starts, self.counts)
        return replace(self, packed=self.packed[within % step == 0], counts=-(-self.counts // step))

    def without(self, rows: NDArray[np.bool_]) -> KeptCells:
        """Return the same rows, the marked ones without cells."""
        return replace(
            self,
            packed=self.packed[~np.repeat(rows, self.counts)],
            counts=np.where(rows, 0, self.counts),
            keys=self.keys[~rows[self.rows]],
        )

    def check(self, rows: int) -> None:
        """Raise ValueError where the arrays cannot be those of so many rows."""
        check_array("counts", self.counts, (rows,), "i")
        if (self.counts < 0).any() or not self.counts.any():
            raise ValueError("its anomaly map has no cells, or a row with fewer than none")
        columns = (GROUPS, VALUES + 1)
        check_array("packed", self.packed, (int(self.counts.sum()), *columns))
        check_array("offset", self.offset, columns)
        check_array("scale", self.scale, columns)
        check_array("keys", self.keys, (len(self.rows), 2 * GROUPS))


def check_array(name: str, array: NDArray[Any], shape: tuple[int, ...], kind: str = "f") -> None:
    """Raise ValueError for an array of another shape or kind, or with a value not finite."""
    if array.shape != shape or array.dtype.kind != kind or not np.isfinite(array).all():
        raise ValueError(
            f"the array {name} of its anomaly map is {array.dtype} of shape {array.shape}, "
            f"or not finite, where {shape} is needed"
        )


def spread(values: NDArray[np.float32]) -> tuple[Numbers, Numbers]:
    """Return mean and deviation (12, 10) over cells; no deviation is far below the typical one."""
    mean = values.mean(axis=0, dtype=np.float64)
    deviation = values.std(axis=0, dtype=np.float64)
    deviation = np.maximum(deviation, LEAST_DEVIATION * np.median(deviation, axis=0))
    deviation[deviation == 0.0] = 1.0  # the same in all cells of all groups
    return mean, deviation
