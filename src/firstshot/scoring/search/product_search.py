"""Which members can matter to a query: lower and upper bounds from one matrix product.

Input: queries and an `Index` of the members. Output: the (query, member) pairs that may be among
the k smallest, and the queries with too many of them. `neighbors` tells the idea.

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

from firstshot.scoring.search.index import Index, Pairs, Precision, weights_of, with_norms
from firstshot.scoring.search.vectors import Points

Found: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]

QUERY_BLOCK = 1024
MEMBER_BLOCK = 8192
OPERAND_VALUES = 1 << 22
"""Values per operand of a product: clips of very many values come in smaller blocks."""
GROUPS = 256
"""Members of a block fall into this many groups (more for large k); see `_Screening.add`."""


def screen(
    queries: Points,
    index: Index,
    rows: NDArray[np.int64],
    k: int,
    scale: NDArray[np.float64] | None,
    skip: Pairs | None,
    precision: Precision,
) -> Iterator[Found]:
    """Yield per block of queries (its rows, candidates' positions in it, members, undecided).

    For every position not among the undecided, the candidates hold all members that are among the
    k smallest values, ties included.
    """
    weights = weights_of(scale, index.points.metric)
    most = 4 * k + 16 + min(len(index) // 128, 256)
    widest = max(64, OPERAND_VALUES // max(1, index.points.dim))
    query_step = _even_step(len(rows), min(QUERY_BLOCK, widest))
    # In float32 a block of members is a view; only the float64 operand has to be made.
    largest = MEMBER_BLOCK if precision is np.float32 else min(MEMBER_BLOCK, widest)
    member_step = _even_step(len(index), largest)
    for start in range(0, len(rows), query_step):
        block = rows[start : start + query_step]
        screening = _Screening(queries, index, block, k, weights, precision)
        skipped = None if skip is None else skip.of(block)
        for first in range(0, len(index), member_step):
            members = slice(first, min(first + member_step, len(index)))
            screening.add(members, skipped, most)
        yield block, *screening.candidates(most)


class _Screening:
    """One block of queries on its way through the members."""

    def __init__(
        self,
        queries: Points,
        index: Index,
        rows: NDArray[np.int64],
        k: int,
        weights: NDArray[np.float64] | None,
        precision: Precision,
    ) -> None:
        limits = np.finfo(precision)
        terms = (index.points.dim + 32) * float(limits.eps) / 2
        offsets = (queries.positions(rows) - index.centre) * index.unit
        squares = np.einsum("ij,ij->i", offsets, offsets)
        # Outside of this range the products would overflow or vanish: nothing is decided here.
        lowest = 1.0 if weights is None else float(weights.min(initial=1.0))
        usable = (squares < float(limits.max) ** 0.75) & (terms < 0.1)
        usable &= lowest > float(limits.tiny) ** 0.6
        self.hard = ~usable
        offsets[self.hard], squares[self.hard] = 0.0, 0.0
        self.index, self.k, self.weights, self.precision = index, k, weights, precision
        self.margin = 2 * terms / (1 - terms)
        self.tiny = float(limits.tiny) ** 0.9
        keep = 1 - self.margin  # the product then gives lower bounds
        self.operand = with_norms(
            -2 * offsets, np.full(len(rows), keep), keep * squares - self.tiny
        ).astype(precision)
        self.squares = squares
        self.upper = np.full((len(rows), k), np.inf)
        self.hits = np.zeros(len(rows), dtype=np.int64)
        self.parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]] = []

    def add(
        self,
        members: slice,
        skipped: tuple[NDArray[np.int64], NDArray[np.int64]] | None,
        most: int,
    ) -> None:
        """Screen one block of members.

        Column c belongs to group c % groups. A group's smallest lower bound, plus twice the
        largest error in the group, bounds one value from above; the k-th smallest of those over
        all groups so far bounds the k-th smallest value.
        """
        count = members.stop - members.start
        groups = min(count, max(GROUPS, 8 * self.k))
        lower = self._lower_bounds(members, skipped, -(-count // groups) * groups)
        stacked = lower.reshape(len(lower), -1, groups)
        smallest = stacked.min(axis=1)
        near, far = self._group_errors(members, groups)
        upper = smallest + 2 * self.margin * (self.squares[:, None] * far + near) + 2 * self.tiny
        if self.k == 1:  # many times faster than partition
            self.upper = np.minimum(self.upper, upper.min(axis=1, keepdims=True))
        else:
            upper = np.concatenate([self.upper, upper], axis=1)
            self.upper = np.partition(upper, self.k - 1, axis=1)[:, : self.k]
        hit = smallest <= self._limit()[:, None]
        self.hits += np.count_nonzero(hit, axis=1)
        self.hard |= self.hits > 4 * most  # the first blocks' limits are loose: some spare room
        hit[self.hard] = False
        row, group = np.nonzero(hit)
        values = stacked[row, :, group]
        chosen, layer = np.nonzero(values <= self._limit()[row, None])
        columns = members.start + layer * groups + group[chosen]
        self.parts.append((row[chosen], columns, values[chosen, layer]))

    def candidates(
        self, most: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return (positions, members) of the candidates, and the undecided positions."""
        row, member, value = (np.concatenate(part) for part in zip(*self.parts, strict=True))
        kept = value <= self._limit()[row]
        row, member = row[kept], member[kept]
        self.hard |= np.bincount(row, minlength=len(self.hard)) > most
        kept = ~self.hard[row]
        return row[kept], member[kept], np.flatnonzero(self.hard)

    def _limit(self) -> NDArray[Any]:
        """Return what a lower bound must not exceed; finite, so that skipped pairs exceed it."""
        largest = np.finfo(self.precision).max
        limit = self.upper[:, -1]
        # One step up: the conversion to the precision must not lower it.
        above = np.nextafter(np.minimum(limit, largest / 2).astype(self.precision), largest)
        return np.where(np.isinf(limit), largest, above).astype(self.precision)

    def _lower_bounds(
        self,
        members: slice,
        skipped: tuple[NDArray[np.int64], NDArray[np.int64]] | None,
        width: int,
    ) -> NDArray[Any]:
        """Return weight * (distance squared - its error) per pair; inf where skipped."""
        count = members.stop - members.start
        bounds = np.empty((len(self.squares), width), dtype=self.precision)
        bounds[:, count:] = np.inf
        inner = bounds[:, :count]
        np.matmul(self.operand, self.index.operand(members, self.precision).T, out=inner)
        if self.weights is not None:
            inner *= self.weights[members].astype(self.precision)
        if skipped is not None:
            row, member = skipped
            here = (member >= members.start) & (member < members.stop)
            inner[row[here], member[here] - members.start] = np.inf
        return bounds

    def _group_errors(
        self, members: slice, groups: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the largest weight * square and the largest weight in each group (groups,)."""
        squares = self.index.squares[members]
        weights = np.ones(len(squares)) if self.weights is None else self.weights[members]
        padded = np.zeros((2, -(-len(squares) // groups) * groups))
        padded[0, : len(squares)] = weights * squares
        padded[1, : len(squares)] = weights
        near, far = padded.reshape(2, -1, groups).max(axis=1)
        return near, far


def _even_step(count: int, largest: int) -> int:
    """Return a step of at most `largest` that leaves no small last block: products run faster."""
    blocks = max(1, -(-count // largest))
    return max(1, -(-count // blocks))
