"""Exact nearest members by blocks: queries and members become distances and member numbers.

Input: queries (q, values), members (n, values), float32 or float64. Output: the k smallest
distances, or distances divided by a scale per member (the GenRep report, eq. 1, 4 and 5), as
float64 (q, k) with member numbers int64 (q, k); ties go to the lowest number.

How it is both exact and as fast as a matrix product. ||q - x||^2 = ||q||^2 + ||x||^2 - 2 q.x costs
one float32 product, but loses its digits where clips nearly repeat. So the product only screens:
everything is centred on the members' mean, and from the rounding error of the product (at most
dim * 2^-24 * ||q|| ||x||, whatever order the terms are summed in) follow a lower bound of every
pair's value and an upper bound of the k-th smallest. Members whose lower bound exceeds that upper
bound cannot matter; the few others are evaluated directly in float64 (`points`). A query with too
many others is screened again in float64, and one that still has too many is evaluated directly
against all members. Only direct values are returned, so a query's result never depends on the
batch it came in. Where a bank has a sketch, that screens first and the product sees what is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstshot.errors import ParameterError
from firstshot.progress import Progress, progress_of_search
from firstshot.scoring.search.best_k import Best
from firstshot.scoring.search.index import Index, Pairs
from firstshot.scoring.search.product_search import screen
from firstshot.scoring.search.projection_search import prune
from firstshot.scoring.search.vectors import Points, distances_from_one, make_points

__all__ = ["Index", "Pairs", "distances", "nearest", "search"]


def nearest(
    Q: ArrayLike,
    X: ArrayLike,
    k: int = 1,
    metric: str = "sqeuclidean",
    exclude_self: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the k nearest members of every query, nearest first.

    Parameters
    ----------
    Q : array (q, values)
        Queries, float32 or float64.
    X : array (n, values)
        Members.
    k : int
        Neighbours per query, 1 to n (n - 1 with `exclude_self`).
    metric : str
        `sqeuclidean`, `euclidean` or `cosine`.
    exclude_self : bool
        Q is X, and row i is not a neighbour of query i. A copy of it in another row is.

    Returns
    -------
    distances : float64 (q, k)
        Exact; 0 for exact duplicates.
    members : int64 (q, k)
        Row numbers in X; the lower of two equally near ones first.

    Raises
    ------
    ParameterError
        k, the metric or the shapes cannot be used.
    DatasetError
        A row holds NaN or infinite values, or is all zero under `cosine`.

    Examples
    --------
    >>> distances, members = nearest([[0.0], [4.0]], [[1.0], [4.0], [-1.0]], k=2)
    >>> distances.tolist(), members.tolist()
    ([[1.0, 1.0], [0.0, 9.0]], [[0, 2], [1, 0]])
    """
    queries, members = make_points(Q, metric, "query"), make_points(X, metric, "member")
    if exclude_self and len(queries) != len(members):
        raise ParameterError(
            f"exclude_self needs the members themselves as queries; got {len(queries)} queries "
            f"and {len(members)} members"
        )
    most = len(members) - int(exclude_self)
    if not 1 <= k <= most:
        raise ParameterError(f"k={k} neighbours cannot be found; choose 1 to {most}")
    skip = Pairs.diagonal(len(members)) if exclude_self else None
    return search(queries, Index.of(members), k, skip=skip)


def distances(
    Q: ArrayLike, X: ArrayLike, metric: str = "sqeuclidean"
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield (query number, its exact distances (n,) to all members), one query at a time.

    Slow beside `nearest` (no matrix product), but every value is exact; memory is bounded.

    Examples
    --------
    >>> [(i, d.tolist()) for i, d in distances([[0.0, 0.0]], [[3.0, 4.0]], "euclidean")]
    [(0, [5.0])]
    """
    queries, members = make_points(Q, metric, "query"), make_points(X, metric, "member")
    check_dims(queries, members)
    for row in range(len(queries)):
        yield row, distances_from_one(queries.positions(slice(row, row + 1))[0], members)


def search(
    queries: Points,
    index: Index,
    k: int,
    scale: NDArray[np.float64] | None = None,
    skip: Pairs | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the k smallest values distance / scale[member] of every query, and the members.

    Parameters
    ----------
    queries : Points
        Under the metric of the index.
    index : Index
        The members.
    k : int
        At most the number of members.
    scale : float64 (n,), optional
        Positive divisor of each member's distances; none means 1.
    skip : Pairs, optional
        (query, member) pairs that do not count.

    Returns
    -------
    values : float64 (q, k)
        Ascending; inf where `skip` left fewer than k members.
    members : int64 (q, k)
        Lowest number first among equal values; -1 where the value is inf.
    """
    check_dims(queries, index.points)
    best, progress = Best.of(len(queries), k), progress_of_search(len(queries), len(index))
    rows, answered = np.arange(len(queries)), 0
    if index.sketch is not None:
        undecided = []
        for block, left in prune(best, queries, index, scale, skip):
            undecided.append(left)
            answered += len(block) - len(left)
            _tell(progress, answered, len(queries))
        rows = np.concatenate(undecided) if undecided else rows
    precisions: tuple[type[np.floating[Any]], ...] = (np.float32, np.float64)
    for precision in precisions:
        undecided = []
        for block, found, members, left in screen(queries, index, rows, k, scale, skip, precision):
            best.settle(queries, block[found], index.points, members, scale)
            undecided.append(block[left])
            answered += len(block) - len(left)
            _tell(progress, answered, len(queries))
        rows = np.concatenate(undecided) if undecided else rows[:0]
    for row in rows:
        best.settle_directly(queries, int(row), index.points, scale, skip)
        answered += 1
        _tell(progress, answered, len(queries))
    return best.values, best.members


def _tell(progress: Progress | None, answered: int, queries: int) -> None:
    if progress is not None:
        progress(answered, queries)


def check_dims(queries: Points, members: Points) -> None:
    """Refuse queries that have another number of values than the members."""
    if queries.dim != members.dim:
        raise ParameterError(
            f"queries have {queries.dim} values per clip and the members {members.dim}; "
            "embed both with the same encoder and layers"
        )
