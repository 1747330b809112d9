"""The different clips of a bank, each with its density: the sum of distances to its neighbours.

Input: the clips of a bank. Output: a `DenseBank`, on which the normalisers `local_density` and
`domain_local_density` are built.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firstshot.errors import DatasetError
from firstshot.scoring.normalizers.base import OwnNeighbors, SavedState, Scores
from firstshot.scoring.search.exact import search
from firstshot.scoring.search.index import Index, Pairs
from firstshot.scoring.search.vectors import Points, first_copies


@dataclass
class DenseBank:
    """The different clips of a bank with their densities.

    `index` holds the different clips, `first` (clips,) the row of each clip's first copy, `density`
    (different,) the sum over the k nearest others. Only `left_out` needs the `neighbors`: where the
    densities come from a file, it searches them.
    """

    index: Index
    first: NDArray[np.int64]
    density: NDArray[np.float64]
    k: int
    neighbors: OwnNeighbors | None = None

    @classmethod
    def of(cls, points: Points, k: int, name: str, what: str) -> DenseBank:
        """Measure the densities; `name` and `what` (which bank) are for messages."""
        first = first_copies(points)
        different = different_rows(first, name, what)
        index = Index.of(points.take(different))
        neighbors = OwnNeighbors.of(index, k)
        return cls(index, first, neighbors.counted.sum(axis=1), k, neighbors)

    @classmethod
    def restore(cls, points: Points, k: int, what: str, state: SavedState) -> DenseBank:
        """Take the densities of a `state`; `what` is the bank's name there too."""
        first = state.copies(f"{what}.first", len(points))
        different = different_rows(first, state.normalizer, what)
        density = state.densities(f"{what}.density", len(different))
        return cls(Index.of(points.take(different)), first, density, k)

    def left_out(self) -> Scores:
        """Return each clip's minimum of eq. 4 over this bank without the clip.

        inf where fewer than two different clips are left: these have no density.
        """
        count, (number, copies) = len(self.index), numbered(self.first)
        if count == 2:
            alone = np.where(copies > 1, 0.0, np.inf)
            # Without the clip the bank holds copies of one clip only.
            return alone[number]
        if self.neighbors is None:
            self.neighbors = OwnNeighbors.of(self.index, self.k)
        width = self.neighbors.counted.shape[1]
        shortened = np.stack([self.neighbors.without(p).sum(axis=1) for p in range(width)], axis=1)
        # Without clip i the density changes of those members that have i as a neighbour. These
        # pairs come from the lists; all other pairs keep their density and are searched.
        holders, left = self.neighbors.holders
        itself = np.arange(count)
        skip = Pairs.listed(count, np.append(left, itself), np.append(holders, itself))
        values, _ = search(self.index.points, self.index, 1, scale=self.density, skip=skip)
        scores = values[:, 0].copy()
        np.minimum.at(scores, left, (self.neighbors.counted / shortened).ravel())
        scores[copies > 1] = 0.0
        return scores[number]


def different_rows(first: NDArray[np.int64], name: str, what: str) -> NDArray[np.int64]:
    """Return the rows of the different clips, ascending; there must be two to have a density.

    `first` (clips,) holds the row of each clip's first copy; `name` (the normaliser) and `what`
    (which bank) are for the message.
    """
    different = np.flatnonzero(first == np.arange(len(first)))
    if len(different) < 2:
        alike = "" if len(first) == 1 else f"; its {len(first)} clips are copies of one"
        raise DatasetError(
            f"{name} needs at least 2 different clips in {what} to measure a density, got "
            f"{len(different)}{alike}; add normal clips, leave the domain empty, or use the "
            "normaliser none"
        )
    return different


def numbered(first: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each clip's number among the different ones, and how often each of those occurs.

    >>> [array.tolist() for array in numbered(np.array([0, 1, 0]))]
    [[0, 1, 0], [2, 1]]
    """
    number = np.searchsorted(np.flatnonzero(first == np.arange(len(first))), first)
    return number, np.bincount(number)
