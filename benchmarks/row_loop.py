"""The yardstick for scores: a Python loop over the rows of the bank, query by query.

Nothing in the package uses this.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NEIGHBORS = 16


def densities(bank: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return each row's mean squared distance to its nearest others; part of fitting, not timed."""
    squares = (bank.astype(np.float64) ** 2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * bank.astype(np.float64) @ bank.T
    np.fill_diagonal(distances, np.inf)
    nearest: NDArray[np.float64] = np.sort(distances, axis=1)[:, :NEIGHBORS].mean(axis=1)
    return nearest


def score(
    queries: NDArray[np.float32], bank: NDArray[np.float32], density: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the local-density score of every query by a loop over the rows of the bank."""
    scores = []
    for query in queries:
        lowest = np.inf
        for row, spread in zip(bank, density, strict=True):
            lowest = min(lowest, float(((query - row) ** 2).sum()) / spread)
        scores.append(lowest)
    return np.array(scores)
