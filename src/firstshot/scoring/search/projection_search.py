"""Queries are answered by a bank's sketch where it rules out nearly all members.

Input: queries and an `Index` with a sketch. Output: the k best of every query, exact, in a `Best`,
and the queries for which the sketch left too many members.

For a block of queries the members are gone through block by block. A member whose lower bound is
above the k-th best value found so far cannot matter; the others are evaluated at once, which
lowers the k-th best value for the blocks to come. It starts low: at that of the members that the
sketch holds nearest among a sample.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from firstshot.scoring.search.best_k import Best
from firstshot.scoring.search.float16 import CACHED_VALUES, widen
from firstshot.scoring.search.index import Index, Pairs, weights_of
from firstshot.scoring.search.projection import TINY, Sketch, most_survivors
from firstshot.scoring.search.vectors import PARALLEL, Points

QUERY_BLOCK = 256
MEMBER_BLOCK = 8192
GROUPS = 256
SEEDS, SPARE_SEEDS = 4096, 4
MOST_HARD = 0.9
"""Where more queries of a block are given up than this, the product answers the others as well."""
LARGEST = float(np.finfo(np.float32).max)


def prune(
    best: Best,
    queries: Points,
    index: Index,
    scale: NDArray[np.float64] | None,
    skip: Pairs | None,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield per block of queries (its rows, those rows that are left undecided)."""
    assert index.sketch is not None
    for start in range(0, len(queries), QUERY_BLOCK):
        rows = np.arange(start, min(start + QUERY_BLOCK, len(queries)))
        pruning = _Pruning(best, queries, index, index.sketch, rows, scale)
        skipped = None if skip is None else skip.of(rows)
        pruning.seed(skipped)
        for first in range(0, len(index), MEMBER_BLOCK):
            pruning.add(slice(first, min(first + MEMBER_BLOCK, len(index))), skipped)
            if pruning.hard.mean() > MOST_HARD:
                pruning.hard[:] = True
                break
        undecided = rows[pruning.hard]
        best.forget(undecided)
        yield rows, undecided


class _Pruning:
    """One block of queries on its way through the members' sketch."""

    def __init__(
        self,
        best: Best,
        queries: Points,
        index: Index,
        sketch: Sketch,
        rows: NDArray[np.int64],
        scale: NDArray[np.float64] | None,
    ) -> None:
        self.best, self.queries, self.index, self.sketch = best, queries, index, sketch
        self.rows, self.scale = rows, scale
        self.weights = weights_of(scale, queries.metric)
        offsets = (queries.positions(rows) - index.centre) * index.unit
        squares = np.einsum("ij,ij->i", offsets, offsets)
        # Outside of this range the product would overflow or its factors vanish.
        lowest = 1.0 if self.weights is None else float(self.weights.min(initial=1.0))
        tiny = float(np.finfo(np.float32).tiny)
        self.hard = ~((squares < LARGEST**0.75) & (lowest > tiny**0.6))
        offsets[self.hard], squares[self.hard] = 0.0, 0.0
        self.operand = sketch.operand(offsets, squares)
        with np.errstate(over="ignore"):  # what overflows is told in `_near`
            self.raw = queries.rows[rows].astype(np.float32, copy=False)
        self.limit = np.full(len(rows), LARGEST, dtype=np.float32)
        self.limit[self.hard] = -LARGEST
        self.survivors = np.zeros(len(rows), dtype=np.int64)
        halves = index.points.rows.dtype == np.float16
        self.most = most_survivors(len(index), len(rows), halves)

    def seed(self, skipped: tuple[NDArray[np.int64], NDArray[np.int64]] | None) -> None:
        """Lower the limits to what the nearest of a sample of the members give."""
        step = -(-len(self.index) // SEEDS)
        groups = max(GROUPS, 8 * self.best.values.shape[1])
        stacked = self._bounds(slice(0, len(self.index), step), skipped, groups)
        count = self.best.values.shape[1] + SPARE_SEEDS
        lowest = stacked.min(axis=1)
        nearest = np.argpartition(lowest, count, axis=1)[:, :count]
        usable = np.take_along_axis(lowest, nearest, axis=1) < LARGEST
        usable[self.hard] = False
        position, column = np.nonzero(usable)
        group = nearest[position, column]
        layer = stacked[position, :, group].argmin(axis=1)
        self._settle(position, (layer * groups + group) * step)
        # Every member is met again, these as well.
        self.best.forget(self.rows)

    def add(
        self, members: slice, skipped: tuple[NDArray[np.int64], NDArray[np.int64]] | None
    ) -> None:
        """Go through one block of members."""
        groups = min(members.stop - members.start, GROUPS)
        stacked = self._bounds(members, skipped, groups)
        row, group = np.nonzero(stacked.min(axis=1) <= self.limit[:, None])
        chosen, layer = np.nonzero(stacked[row, :, group] <= self.limit[row, None])
        position = row[chosen]
        self.survivors += np.bincount(position, minlength=len(self.rows))
        self.hard |= self.survivors > self._allowed(members.stop)
        self.limit[self.hard] = -LARGEST
        kept = ~self.hard[position]
        self._settle(position[kept], (members.start + layer * groups + group[chosen])[kept])

    def _allowed(self, seen: int) -> int:
        """Return how many survivors a query may have had among the first members.

        Limits fall as members are seen, so the first ones may leave four times their share.
        """
        spare: int = 64 + 4 * self.best.values.shape[1]
        return spare + int(self.most * min(1.0, 4 * seen / len(self.index)))

    def _bounds(
        self,
        members: slice,
        skipped: tuple[NDArray[np.int64], NDArray[np.int64]] | None,
        groups: int,
    ) -> NDArray[np.float32]:
        """Return weight * lower bound (queries, layers, groups); inf where skipped.

        The chosen member of number c stands at [c // groups, c % groups].
        """
        step = members.step or 1
        rows = self.sketch.rows[members]
        bounds = np.empty((len(self.rows), -(-len(rows) // groups) * groups), dtype=np.float32)
        bounds[:, len(rows) :] = np.inf
        inner = bounds[:, : len(rows)]
        np.matmul(self.operand, rows.T, out=inner)
        if self.weights is not None:
            inner *= self.weights[members].astype(np.float32)
        if skipped is not None:
            row, member = skipped
            here = (member >= members.start) & (member < members.stop) & (member % step == 0)
            inner[row[here], (member[here] - members.start) // step] = np.inf
        return bounds.reshape(len(bounds), -1, groups)

    def _settle(self, position: NDArray[np.int64], members: NDArray[np.int64]) -> None:
        """Evaluate pairs exactly, and lower the limits of their rows."""
        near = self._near(position, members)
        position, members = position[near], members[near]
        if not len(position):
            return
        self.best.settle(self.queries, self.rows[position], self.index.points, members, self.scale)
        concerned = np.unique(position)
        worst = self.best.values[self.rows[concerned], -1]
        limit = self._as_bound(worst)
        self.limit[concerned] = np.minimum(self.limit[concerned], limit)

    def _near(self, position: NDArray[np.int64], members: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which pairs a float32 distance leaves below their limit: few are then exact.

        A sum of squares is off by its number of terms times the rounding unit u, and a query that
        is rounded moves by u of its norm at most. Values that overflow decide nothing.
        """
        points = self.index.points
        if points.rows.dtype == np.float64 or points.lengths is not None:
            return np.ones(len(position), dtype=np.bool_)
        squares = np.empty(len(position), dtype=np.float32)
        step = max(1, CACHED_VALUES // points.dim)
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, len(position), step):
                few = slice(start, start + step)
                gaps = points.rows[members[few]]
                gaps = widen(gaps) if gaps.dtype == np.float16 else gaps
                gaps -= self.raw[position[few]]
                squares[few] = np.einsum("ij,ij->i", gaps, gaps)
            unit = float(np.finfo(np.float32).eps) / 2
            lowest = np.sqrt(squares.astype(np.float64) * (1 - (points.dim + 8) * unit))
            lowest -= 2 * unit * np.linalg.norm(self.raw.astype(np.float64), axis=1)[position]
            bound = np.square(np.maximum(lowest, 0.0) * self.index.unit)
            if self.weights is not None:
                bound *= self.weights[members]
            near: NDArray[np.bool_] = ~(bound - TINY > self.limit[position])
        return near | ~np.isfinite(bound)

    def _as_bound(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return values distance / scale as bounds are: scaled, squared, weighted; one step up."""
        bound = values if self.scale is None else values * float(self.scale.min())
        if self.queries.metric == "euclidean":
            bound = np.square(bound)
        elif self.queries.metric == "cosine":  # all below PARALLEL are 0, and equal
            bound = 2 * np.maximum(bound, PARALLEL)
        bound = bound * self.index.unit**2 * (1 + 1e-9)
        rounded = np.minimum(bound, LARGEST / 2).astype(np.float32)
        above = np.nextafter(rounded, np.float32(LARGEST))
        return np.where(np.isinf(values), np.float32(LARGEST), above)
