"""A block of queries becomes ready for products with the members of an index.

Input: queries, an `Index`, weights and pairs that do not count. Output: a `QueryBlock`, which turns
a product of operands into bounds of weighted squared distances.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.scoring.search.bounds import Precision
from firstshot.scoring.search.index import Index, Pairs
from firstshot.scoring.search.vectors import Points


@dataclass(frozen=True)
class QueryBlock:
    """Some queries, centred and scaled as the members of an index are.

    `offsets` (q, values) and their squared norms `squares` (q,) are 0 where `undecided` (q,) is
    true: there a product would overflow or its factors vanish. `skipped` holds (query, member)
    pairs that do not count.
    """

    offsets: NDArray[np.float64]
    squares: NDArray[np.float64]
    undecided: NDArray[np.bool_]
    weights: NDArray[np.float64] | None
    skipped: tuple[NDArray[np.int64], NDArray[np.int64]] | None

    @classmethod
    def of(
        cls,
        queries: Points,
        rows: NDArray[np.int64],
        index: Index,
        weights: NDArray[np.float64] | None,
        skip: Pairs | None,
        precision: Precision,
    ) -> QueryBlock:
        """Return the queries of the given rows."""
        offsets = index.centred_points(queries, rows)
        squares = np.einsum("ij,ij->i", offsets, offsets)
        limits = np.finfo(precision)
        lowest = 1.0 if weights is None else float(weights.min(initial=1.0))
        usable = (squares < float(limits.max) ** 0.75) & (lowest > float(limits.tiny) ** 0.6)
        offsets[~usable], squares[~usable] = 0.0, 0.0
        return cls(offsets, squares, ~usable, weights, None if skip is None else skip.of(rows))

    def bounds(
        self, operand: NDArray[Any], rows: NDArray[Any], members: slice, groups: int
    ) -> NDArray[Any]:
        """Return weight * bound (queries, layers, groups); inf where a pair does not count.

        `operand` and `rows` are the factors, of the queries and of the chosen `members`. The
        chosen member of number c stands at [c // groups, c % groups].
        """
        step = members.step or 1
        width = -(-len(rows) // groups) * groups
        bounds = np.empty((len(operand), width), dtype=operand.dtype)
        bounds[:, len(rows) :] = np.inf
        inner = bounds[:, : len(rows)]
        np.matmul(operand, rows.T, out=inner)
        if self.weights is not None:
            inner *= self.weights[members].astype(operand.dtype)
        if self.skipped is not None:
            row, member = self.skipped
            here = (member >= members.start) & (member < members.stop)
            here &= (member - members.start) % step == 0
            inner[row[here], (member[here] - members.start) // step] = np.inf
        return bounds.reshape(len(bounds), -1, groups)
