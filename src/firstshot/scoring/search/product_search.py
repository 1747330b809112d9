"""Which members can be among the k nearest: lower and upper bounds from one matrix product.

Input: queries and an `Index` of the members. Output: candidates, the (query, member) pairs that may
be among the k smallest, and the queries with too many of them. `exact` explains the idea.

The bound. Let a and b be a centred query and member, A and B their norms, u the rounding unit of
the precision. Rounding a and b moves ||a - b||^2 by at most 4.1 u (A^2 + B^2). One product gives
A^2 + B^2 - 2 a.b, the norms being its last two columns; it is off by at most dim u / (1 - dim u)
times the sum of its terms' sizes, A^2 + B^2 + 2 AB <= 2 (A^2 + B^2), for any order of summation
(Higham, Accuracy and Stability of Numerical Algorithms, eq. 3.5). With the few roundings after it
all is below margin * (A^2 + B^2), margin = 2 (dim + 32) u / (1 - (dim + 32) u).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from firstshot.scoring.search.bounds import (
    BlockSizes,
    Precision,
    limit_of,
    pairs_below,
    query_operand,
    tiny,
    weights_of,
)
from firstshot.scoring.search.index import Index, Pairs
from firstshot.scoring.search.queries import QueryBlock
from firstshot.scoring.search.vectors import Points

Found: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]

PRODUCT_BLOCKS = BlockSizes(queries=1024, members=8192)
OPERAND_VALUES = 1 << 22
"""Values per operand of a product: clips of very many values come in smaller blocks."""
GROUPS = 256
"""Members of a block fall into this many groups (more for large k); see `_BlockSearch.add`."""


def candidates_by_product(
    queries: Points,
    index: Index,
    rows: NDArray[np.int64],
    k: int,
    scale: NDArray[np.float64] | None,
    skip: Pairs | None,
    precision: Precision,
    sizes: BlockSizes = PRODUCT_BLOCKS,
) -> Iterator[Found]:
    """Yield per block of queries (its rows, candidates' positions in it, members, undecided).

    For every position that is not undecided, the candidates hold all members that are among the k
    smallest values, ties included.
    """
    weights = weights_of(scale, index.points.metric)
    most = 4 * k + 16 + min(len(index) // 128, 256)
    widest = max(64, OPERAND_VALUES // max(1, index.points.dim))
    query_step = _even_step(len(rows), min(sizes.queries, widest))
    # In float32 a block of members is a view; only the float64 operand has to be made.
    largest = sizes.members if precision is np.float32 else min(sizes.members, widest)
    member_step = _even_step(len(index), largest)
    for start in range(0, len(rows), query_step):
        block = rows[start : start + query_step]
        chosen = QueryBlock.of(queries, block, index, weights, skip, precision)
        block_search = _BlockSearch(chosen, index, k, precision, most)
        for first in range(0, len(index), member_step):
            block_search.add(slice(first, min(first + member_step, len(index))))
        yield block, *block_search.candidates()


class _BlockSearch:
    """The candidates of one block of queries, while the members are gone through."""

    def __init__(
        self, queries: QueryBlock, index: Index, k: int, precision: Precision, most: int
    ) -> None:
        terms = (index.points.dim + 32) * float(np.finfo(precision).eps) / 2
        self.queries, self.index, self.k, self.precision = queries, index, k, precision
        self.most = most
        # With very many values the error may be as large as the distance: nothing is decided.
        self.undecided = queries.undecided | (terms >= 0.1)
        self.margin = 2 * terms / (1 - terms)
        self.operand = query_operand(queries.offsets, queries.squares, self.margin, precision)
        self.upper = np.full((len(self.operand), k), np.inf)
        self.hits = np.zeros(len(self.operand), dtype=np.int64)
        self.parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]] = []

    def add(self, members: slice) -> None:
        """Find the candidates in one block of members.

        Column c belongs to group c % groups. A group's smallest lower bound, plus twice the
        largest error in the group, bounds one value from above; the k-th smallest of those over
        all groups so far bounds the k-th smallest value.
        """
        groups = min(members.stop - members.start, max(GROUPS, 8 * self.k))
        rows = self.index.operand(members, self.precision)
        bounds = self.queries.bounds(self.operand, rows, members, groups)
        smallest = bounds.min(axis=1)
        near, far = self._group_errors(members, groups)
        upper = smallest + 2 * self.margin * (self.queries.squares[:, None] * far + near)
        upper = upper + 2 * tiny(self.precision)
        if self.k == 1:  # many times faster than partition
            self.upper = np.minimum(self.upper, upper.min(axis=1, keepdims=True))
        else:
            upper = np.concatenate([self.upper, upper], axis=1)
            self.upper = np.partition(upper, self.k - 1, axis=1)[:, : self.k]
        limit = limit_of(self.upper[:, -1], self.precision)
        hit = smallest <= limit[:, None]
        self.hits += np.count_nonzero(hit, axis=1)
        # The limits of the first blocks are loose: four times as many hits are allowed.
        self.undecided |= self.hits > 4 * self.most
        hit[self.undecided] = False
        position, column, bound = pairs_below(bounds, hit, limit)
        self.parts.append((position, members.start + column, bound))

    def candidates(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return (positions, members) of the candidates, and the undecided positions."""
        row, member, value = (np.concatenate(part) for part in zip(*self.parts, strict=True))
        kept = value <= limit_of(self.upper[:, -1], self.precision)[row]
        row, member = row[kept], member[kept]
        self.undecided |= np.bincount(row, minlength=len(self.undecided)) > self.most
        kept = ~self.undecided[row]
        return row[kept], member[kept], np.flatnonzero(self.undecided)

    def _group_errors(
        self, members: slice, groups: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the largest weight * square and the largest weight in each group (groups,)."""
        squares = self.index.squares[members]
        weights = self.queries.weights
        weights = np.ones(len(squares)) if weights is None else weights[members]
        padded = np.zeros((2, -(-len(squares) // groups) * groups))
        padded[0, : len(squares)] = weights * squares
        padded[1, : len(squares)] = weights
        near, far = padded.reshape(2, -1, groups).max(axis=1)
        return near, far


def _even_step(count: int, largest: int) -> int:
    """Return a step of at most `largest` that leaves no small last block: products run faster."""
    blocks = max(1, -(-count // largest))
    return max(1, -(-count // blocks))
