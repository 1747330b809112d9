"""The k best members of every query, found from exact values of chosen pairs.

Input: pairs (query, member), and a scale per member. Output: `Best`, the k smallest values
distance / scale of every query with the members, ascending; ties go to the lowest number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstshot.scoring.search.index import Pairs
from firstshot.scoring.search.vectors import Points, distances_from_one, distances_of_pairs


@dataclass(frozen=True)
class Best:
    """The k best (queries, k) found so far; `inf` and -1 where there is no member."""

    values: NDArray[np.float64]
    members: NDArray[np.int64]

    @classmethod
    def empty(cls, queries: int, k: int) -> Best:
        """Return the k best of that many queries before any member was looked at."""
        return cls(np.full((queries, k), np.inf), np.full((queries, k), -1, dtype=np.int64))

    def add_pairs(
        self,
        queries: Points,
        rows: NDArray[np.int64],
        points: Points,
        members: NDArray[np.int64],
        scale: NDArray[np.float64] | None,
    ) -> None:
        """Evaluate pairs (rows, members) exactly; keep each row's k best of these and the old ones.

        No pair may be among the old ones.
        """
        k = self.values.shape[1]
        values = distances_of_pairs(queries, rows, points, members)
        if scale is not None:
            values /= scale[members]
        near = values <= self.values[rows, -1]
        rows, members, values = rows[near], members[near], values[near]
        changed = np.unique(rows)
        old_values = self.values[changed].ravel()
        found = np.flatnonzero(old_values < np.inf)
        rows = np.concatenate([rows, np.repeat(changed, k)[found]])
        members = np.concatenate([members, self.members[changed].ravel()[found]])
        values = np.concatenate([values, old_values[found]])
        order = np.lexsort((members, values, rows))
        rows, members, values = rows[order], members[order], values[order]
        rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
        kept = rank < k
        self.values[rows[kept], rank[kept]] = values[kept]
        self.members[rows[kept], rank[kept]] = members[kept]

    def search_all(
        self,
        queries: Points,
        row: int,
        points: Points,
        scale: NDArray[np.float64] | None,
        skip: Pairs | None,
    ) -> None:
        """Evaluate one query exactly against all members and keep the k best."""
        values = distances_from_one(queries.positions(slice(row, row + 1))[0], points)
        if scale is not None:
            values /= scale
        if skip is not None:
            values[skip.of(np.array([row]))[1]] = np.inf
        order = np.argsort(values, kind="stable")[: self.values.shape[1]]
        self.values[row] = values[order]
        self.members[row] = np.where(np.isinf(values[order]), -1, order)

    def reset(self, rows: NDArray[np.int64]) -> None:
        """Remove what was found for these rows."""
        self.values[rows], self.members[rows] = np.inf, -1
