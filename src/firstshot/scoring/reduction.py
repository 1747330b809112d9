"""A memory bank becomes a smaller one that keeps real members with their names.

- ``kmeans``: Lloyd's algorithm (scipy) from k-means++ seeds (Arthur and Vassilvitskii, 2007); the
  member nearest to each centroid is kept. It keeps more members where clips are dense.
- ``k_center``: farthest-first traversal (Gonzalez, 1985; PatchCore's "coreset"): from a random
  member on, it keeps the member farthest from all kept ones. It covers rare conditions; the
  largest distance to a kept member is at most twice the smallest possible.

Both are Euclidean, seeded and deterministic. The kept members stay in the bank's order.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from firstshot.errors import ParameterError
from firstshot.messages import choose_one_of
from firstshot.scoring.bank import MemoryBank, keep_rows

METHODS = ("kmeans", "k_center")
_LLOYD_STEPS = 30


def reduce_bank(
    bank: MemoryBank, domain: str, size: int, method: str = "kmeans", seed: int = 0
) -> MemoryBank:
    """Keep `size` members of a domain, chosen by `method`; the other domain stays as it is.

    Raises ParameterError for a size below 1 or above the number of the domain's members.

    >>> from firstshot.scoring.bank import make_bank
    >>> bank = make_bank([[0.0], [0.1], [9.0], [9.1]], ["a", "b", "c", "d"], "source")
    >>> kept = reduce_bank(bank, "source", 2, "k_center").names()["source"]
    >>> len(set(kept) & {"a", "b"}), len(set(kept) & {"c", "d"})
    (1, 1)
    """
    rows = bank.rows(domain)
    if method not in METHODS:
        raise ParameterError(f"reduction {method!r} is not known; {choose_one_of(method, METHODS)}")
    if not 1 <= size <= rows.size:
        raise ParameterError(
            f"the {domain} bank has {rows.size} members and cannot be reduced to {size}; "
            f"choose a size from 1 to {rows.size}"
        )
    if size == rows.size:
        return bank
    choose = _kmeans_rows if method == "kmeans" else _k_center_rows
    # With centred values the products in the distances lose fewer digits.
    embeddings = bank.embeddings[rows].astype(np.float64)
    embeddings -= embeddings.mean(axis=0)
    chosen = rows[choose(embeddings, size, np.random.default_rng(seed))]
    others = np.setdiff1d(np.arange(len(bank)), rows)
    return keep_rows(bank, np.sort(np.concatenate([others, chosen])))


def _squared_distances(
    embeddings: NDArray[np.float64], norms: NDArray[np.float64], point: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return squared Euclidean distances of the rows to a point, at least 0."""
    return np.maximum(norms - 2 * (embeddings @ point) + point @ point, 0.0)


def _k_center_rows(
    embeddings: NDArray[np.float64], size: int, generator: np.random.Generator
) -> NDArray[np.intp]:
    """Return the rows of a farthest-first traversal; ties go to the lowest row."""
    norms = np.einsum("ij,ij->i", embeddings, embeddings)
    kept = [int(generator.integers(len(embeddings)))]
    distance = np.full(len(embeddings), np.inf)
    while len(kept) < size:
        to_last = _squared_distances(embeddings, norms, embeddings[kept[-1]])
        distance = np.minimum(distance, to_last)
        distance[kept] = -1.0  # never chosen again, though its copies are at 0 too
        kept.append(int(np.argmax(distance)))
    return np.asarray(kept, dtype=np.intp)


def _plus_plus_rows(
    embeddings: NDArray[np.float64], size: int, generator: np.random.Generator
) -> NDArray[np.intp]:
    """Return rows of k-means++ seeds, drawn by squared distance to the nearest seed."""
    norms = np.einsum("ij,ij->i", embeddings, embeddings)
    seeds = [int(generator.integers(len(embeddings)))]
    distance = np.full(len(embeddings), np.inf)
    while len(seeds) < size:
        to_last = _squared_distances(embeddings, norms, embeddings[seeds[-1]])
        distance = np.minimum(distance, to_last)
        distance[seeds] = 0.0
        total = distance.sum()
        if total > 0:
            seeds.append(int(generator.choice(len(embeddings), p=distance / total)))
        else:  # only copies of the seeds are left
            seeds.append(int(np.setdiff1d(np.arange(len(embeddings)), seeds)[0]))
    return np.asarray(seeds, dtype=np.intp)


def _kmeans_rows(
    embeddings: NDArray[np.float64], size: int, generator: np.random.Generator
) -> NDArray[np.intp]:
    """Return the rows nearest to the k-means centroids, each row at most once."""
    from scipy.cluster.vq import kmeans2

    seeds = embeddings[_plus_plus_rows(embeddings, size, generator)]
    with warnings.catch_warnings():
        # An empty cluster keeps its centroid, and the nearest free member of that is kept.
        warnings.filterwarnings("ignore", message="One of the clusters is empty")
        centroids, _ = kmeans2(embeddings, seeds, iter=_LLOYD_STEPS, minit="matrix")
    norms = np.einsum("ij,ij->i", embeddings, embeddings)
    free = np.ones(len(embeddings), dtype=bool)
    kept = []
    for centroid in centroids:
        distance = _squared_distances(embeddings, norms, centroid)
        row = int(np.argmin(np.where(free, distance, np.inf)))
        free[row] = False
        kept.append(row)
    return np.asarray(kept, dtype=np.intp)
