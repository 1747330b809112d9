"""A bank's projection answers queries where it rules out nearly all members.

Input: queries and an `Index` with a projection. Output: the k best of every query, exact, in a
`Best`, and the queries for which the projection left too many members.

For a block of queries the members are gone through block by block. A member whose lower bound is
above the k-th best value found so far cannot matter; the others are evaluated at once, which
lowers the k-th best value for the blocks that follow. The first limits are low already: they come
from the nearest projections among a sample of the members.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from firstshot.scoring.search.best_k import Best
from firstshot.scoring.search.bounds import BlockSizes, limit_of, pairs_below, tiny, weights_of
from firstshot.scoring.search.float16 import CACHED_VALUES, to_float32
from firstshot.scoring.search.index import Index, Pairs
from firstshot.scoring.search.projection import Projection, most_candidates
from firstshot.scoring.search.queries import QueryBlock
from firstshot.scoring.search.vectors import PARALLEL, Points

PROJECTION_BLOCKS = BlockSizes(queries=256, members=8192)
GROUPS = 256
SPARE_SAMPLES = 4
"""Members of the sample that are evaluated besides the k nearest."""
MOST_UNDECIDED = 0.9
"""Where more queries of a block are undecided than this, the product answers the others as well."""
LARGEST = float(np.finfo(np.float32).max)


def search_by_projection(
    best: Best,
    queries: Points,
    index: Index,
    scale: NDArray[np.float64] | None,
    skip: Pairs | None,
    sizes: BlockSizes = PROJECTION_BLOCKS,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield per block of queries (its rows, those rows that are left undecided)."""
    assert index.projection is not None
    weights = weights_of(scale, queries.metric)
    for start in range(0, len(queries), sizes.queries):
        rows = np.arange(start, min(start + sizes.queries, len(queries)))
        block = QueryBlock.of(queries, rows, index, weights, skip, np.float32)
        block_search = _BlockSearch(best, queries, block, index, index.projection, rows, scale)
        block_search.set_first_limits(sizes.sample)
        for first in range(0, len(index), sizes.members):
            block_search.add(slice(first, min(first + sizes.members, len(index))))
            if block_search.undecided.mean() > MOST_UNDECIDED:
                block_search.undecided[:] = True
                break
        undecided = rows[block_search.undecided]
        best.reset(undecided)
        yield rows, undecided


class _BlockSearch:
    """The k best of one block of queries, while the members' projections are gone through."""

    def __init__(
        self,
        best: Best,
        queries: Points,
        block: QueryBlock,
        index: Index,
        projection: Projection,
        rows: NDArray[np.int64],
        scale: NDArray[np.float64] | None,
    ) -> None:
        self.best, self.queries, self.block, self.index = best, queries, block, index
        self.projection, self.rows, self.scale = projection, rows, scale
        self.undecided = block.undecided.copy()
        self.operand = projection.operand(block.offsets, block.squares)
        with np.errstate(over="ignore"):  # `_may_matter` finds what overflows
            self.raw = queries.rows[rows].astype(np.float32, copy=False)
        self.limit = np.full(len(rows), LARGEST, dtype=np.float32)
        self.limit[self.undecided] = -LARGEST
        self.candidates = np.zeros(len(rows), dtype=np.int64)
        float16 = index.points.rows.dtype == np.float16
        self.most = most_candidates(len(index), len(rows), float16)

    def set_first_limits(self, sample: int) -> None:
        """Lower the limits to what the nearest of a sample of the members give."""
        step = -(-len(self.index) // sample)
        groups = max(GROUPS, 8 * self.best.values.shape[1])
        bounds = self._bounds(slice(0, len(self.index), step), groups)
        count = self.best.values.shape[1] + SPARE_SAMPLES
        lowest = bounds.min(axis=1)
        nearest = np.argpartition(lowest, count, axis=1)[:, :count]
        usable = np.take_along_axis(lowest, nearest, axis=1) < LARGEST
        usable[self.undecided] = False
        position, column = np.nonzero(usable)
        group = nearest[position, column]
        layer = bounds[position, :, group].argmin(axis=1)
        self._evaluate(position, (layer * groups + group) * step)
        # `add` evaluates these members again, with all others.
        self.best.reset(self.rows)

    def add(self, members: slice) -> None:
        """Evaluate the members of one block that can matter."""
        bounds = self._bounds(members, min(members.stop - members.start, GROUPS))
        hit = bounds.min(axis=1) <= self.limit[:, None]
        position, column, _ = pairs_below(bounds, hit, self.limit)
        self.candidates += np.bincount(position, minlength=len(self.rows))
        self.undecided |= self.candidates > self._allowed(members.stop)
        self.limit[self.undecided] = -LARGEST
        kept = ~self.undecided[position]
        self._evaluate(position[kept], (members.start + column)[kept])

    def _allowed(self, seen: int) -> int:
        """Return how many candidates a query may have among the first `seen` members.

        Limits fall as members are seen, so the first ones may leave four times their share.
        """
        spare: int = 64 + 4 * self.best.values.shape[1]
        return spare + int(self.most * min(1.0, 4 * seen / len(self.index)))

    def _bounds(self, members: slice, groups: int) -> NDArray[np.float32]:
        return self.block.bounds(self.operand, self.projection.rows[members], members, groups)

    def _evaluate(self, position: NDArray[np.int64], members: NDArray[np.int64]) -> None:
        """Evaluate pairs exactly, and lower the limits of their rows."""
        near = self._may_matter(position, members)
        position, members = position[near], members[near]
        if not len(position):
            return
        rows = self.rows[position]
        self.best.add_pairs(self.queries, rows, self.index.points, members, self.scale)
        changed = np.unique(position)
        limit = self._limit_of(self.best.values[self.rows[changed], -1])
        self.limit[changed] = np.minimum(self.limit[changed], limit)

    def _may_matter(
        self, position: NDArray[np.int64], members: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Tell for which pairs a float32 distance is not above their limit: few remain.

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
                gaps = to_float32(gaps) if gaps.dtype == np.float16 else gaps
                gaps -= self.raw[position[few]]
                squares[few] = np.einsum("ij,ij->i", gaps, gaps)
            unit = float(np.finfo(np.float32).eps) / 2
            lowest = np.sqrt(squares.astype(np.float64) * (1 - (points.dim + 8) * unit))
            lowest -= 2 * unit * np.linalg.norm(self.raw.astype(np.float64), axis=1)[position]
            bound = np.square(np.maximum(lowest, 0.0) * self.index.unit)
            if self.block.weights is not None:
                bound *= self.block.weights[members]
            near: NDArray[np.bool_] = ~(bound - tiny(np.float32) > self.limit[position])
        return near | ~np.isfinite(bound)

    def _limit_of(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return values distance / scale as limits of bounds: scaled, squared and weighted."""
        bound = values if self.scale is None else values * float(self.scale.min())
        if self.queries.metric == "euclidean":
            bound = np.square(bound)
        elif self.queries.metric == "cosine":  # all below PARALLEL are 0, and equal
            bound = 2 * np.maximum(bound, PARALLEL)
        return limit_of(bound * self.index.unit**2 * (1 + 1e-9), np.float32)
