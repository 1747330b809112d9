"""A bank made ready for search: centred, scaled, and with a projection where that saves time.

Input: `Points`. Output: an `Index`. A matrix product of its operands with queries gives bounds of
distances (`product_search`); its projection rules most members out before (`projection_search`).

A bank in float32 or float64 is held a second time as centred float32 rows. A float16 bank is not:
its rows stay where they are, on disk if they are mapped, and become operands a block at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from firstshot.scoring.search.bounds import Precision, with_norms
from firstshot.scoring.search.float16 import CACHED_VALUES, to_float32
from firstshot.scoring.search.projection import LEAST_MEMBERS, Projection, make_projection
from firstshot.scoring.search.vectors import Points

SHARED_MEMBERS = 8192
CENTRE_MEMBERS = 1 << 16
"""The centre of a larger bank is that of about so many of its members."""


@dataclass(frozen=True)
class Pairs:
    """Pairs (query, member) that do not count, by query: members[starts[i]:starts[i + 1]]."""

    starts: NDArray[np.int64]
    members: NDArray[np.int64]

    @classmethod
    def diagonal(cls, n: int) -> Pairs:
        """Return the pairs (i, i): each of n members excludes itself."""
        return cls(np.arange(n + 1), np.arange(n))

    @classmethod
    def listed(cls, n: int, rows: NDArray[np.int64], members: NDArray[np.int64]) -> Pairs:
        """Return the given pairs for n queries, in any order."""
        order = np.argsort(rows, kind="stable")
        return cls(np.searchsorted(rows[order], np.arange(n + 1)), members[order])

    def of(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return (position in rows, member) of the pairs of the given queries."""
        counts = self.starts[rows + 1] - self.starts[rows]
        position = np.repeat(np.arange(len(rows)), counts)
        within = np.arange(len(position)) - np.repeat(np.cumsum(counts) - counts, counts)
        return position, self.members[self.starts[rows][position] + within]


@dataclass(frozen=True, eq=False)
class Index:
    """Members centred on about their mean and scaled to norms of at most 1.

    `centre` (values,) holds float32 numbers where the rows are float16 or float32, so that taking
    it from a row as float32 rounds once.
    `squares` (n,) are the squared norms; `unit` is a power of two: scaling rounds nothing.
    `centred` is float32 (n, values + 2), the centred values, their squared norm, and 1, or None for
    a float16 bank; `projection` is None where it would rule too little out.
    """

    points: Points
    centre: NDArray[np.float64]
    unit: float
    squares: NDArray[np.float64]
    centred: NDArray[np.float32] | None
    projection: Projection | None

    @classmethod
    def of(
        cls,
        points: Points,
        shared_members: int = SHARED_MEMBERS,
        projected_members: int = LEAST_MEMBERS,
    ) -> Index:
        """Return the points' index.

        A read-only bank of `shared_members` or more has one index, which is made once and shared as
        long as it is used. A bank of `projected_members` or more may get a projection.
        """
        if len(points) < shared_members or points.rows.flags.writeable:
            return cls._make(points, projected_members)
        rows = points.rows
        # Its rows cannot change nor move as long as an index holds them.
        key = (rows.ctypes.data, rows.shape, rows.strides, rows.dtype.str, points.metric)
        index = _shared.get(key)
        if index is None:
            index = _shared[key] = cls._make(points, projected_members)
        return index

    @classmethod
    def _make(cls, points: Points, projected_members: int) -> Index:
        """Centre and scale the points, by blocks."""
        centre = _centre(points)
        squares = np.empty(len(points))
        for block in points.blocks():
            offsets = points.positions(block) - centre
            squares[block] = np.einsum("ij,ij->i", offsets, offsets)
        largest = float(np.sqrt(squares.max(initial=0.0)))
        unit = 2.0 ** -np.ceil(np.log2(largest)) if largest > 0 else 1.0
        squares *= unit**2
        bare = cls(points, centre, unit, squares, None, None)
        centred = None
        if points.rows.dtype != np.float16:
            centred = np.empty((len(points), points.dim + 2), dtype=np.float32)
            for block, offsets in bare.offsets():
                centred[block] = with_norms(offsets, squares[block], np.ones(1))
        projection = make_projection(squares, bare.chosen_offsets, projected_members)
        return cls(points, centre, unit, squares, centred, projection)

    def __len__(self) -> int:
        return len(self.points)

    def offsets(self) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """Yield (block, its centred and scaled rows) over all members."""
        for block in self.points.blocks():
            yield block, self.chosen_offsets(block)

    def chosen_offsets(self, chosen: slice | NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the chosen members centred and scaled, float64 (chosen, values)."""
        return self.centred_points(self.points, chosen)

    def centred_points(
        self, points: Points, chosen: slice | NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the chosen points, centred and scaled as the members are."""
        offsets = points.positions(chosen)
        offsets -= self.centre
        offsets *= self.unit
        return offsets

    def operand(self, block: slice, precision: Precision) -> NDArray[Any]:
        """Return a block's centred rows with squared norm and 1, in the given precision."""
        if precision is not np.float32:
            offsets = self.chosen_offsets(block)
            return with_norms(offsets, self.squares[block], np.ones(1)).astype(precision)
        if self.centred is not None:
            return self.centred[block]
        operand = np.empty((block.stop - block.start, self.points.dim + 2), dtype=np.float32)
        operand[:, -2], operand[:, -1] = self.squares[block], 1.0
        if self.points.lengths is not None:
            operand[:, :-2] = self.chosen_offsets(block)
            return operand
        centre, unit = self.centre.astype(np.float32), np.float32(self.unit)
        # A few rows at a time, which the cache holds from one operation to the next.
        step = max(1, CACHED_VALUES // self.points.dim)
        for start in range(block.start, block.stop, step):
            few = slice(start, min(start + step, block.stop))
            values = to_float32(self.points.rows[few])
            np.subtract(values, centre, out=values)
            out = operand[start - block.start : few.stop - block.start, :-2]
            np.multiply(values, unit, out=out)
        return operand


def _centre(points: Points) -> NDArray[np.float64]:
    """Return the mean of the members, or of some; any other point would be as exact."""
    total, counted = np.zeros(points.dim), 0
    every = -(-len(points) // CENTRE_MEMBERS)
    for number, block in enumerate(points.blocks()):
        if number % max(1, every) == 0:
            total += points.positions(block).sum(axis=0)
            counted += block.stop - block.start
    centre = total / max(1, counted)
    if points.rows.dtype == np.float64:  # some of whose values are beyond float32
        return centre
    return centre.astype(np.float32).astype(np.float64)


_shared: WeakValueDictionary[tuple[Any, ...], Index] = WeakValueDictionary()
