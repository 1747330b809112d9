"""Exact nearest members by blocks: queries and members become distances and member numbers.

Input: queries (q, values), members (n, values), float32 or float64. Output: the k smallest
distances, or distances divided by a scale per member (the GenRep report, eq. 1, 4 and 5), as
float64 (q, k) with member numbers int64 (q, k); ties go to the lowest number.

The search is exact and as fast as a matrix product. ||q - x||^2 = ||q||^2 + ||x||^2 - 2 q.x costs
one float32 product, but loses its digits where clips are nearly equal. So the product only chooses
candidates. Everything is centred on the members' mean. The rounding error of the product (at most
dim * 2^-24 * ||q|| ||x||, whatever order the terms are summed in) gives a lower bound of every
pair's value and an upper bound of the k-th smallest. Members whose lower bound exceeds that upper
bound cannot matter. The few others are evaluated directly in float64 (`vectors`). A query with too
many others is searched again by a float64 product, and one that still has too many is evaluated
directly against all members. Only direct values are returned, so a query's result never depends on
the batch it came in. Where a bank has a projection, that is searched first, and the product
answers the queries that are left.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstshot.errors import ParameterError
from firstshot.progress import progress_of_search
from firstshot.scoring.search.best_k import Best
from firstshot.scoring.search.bounds import BlockSizes, Precision
from firstshot.scoring.search.index import Index, Pairs
from firstshot.scoring.search.product_search import PRODUCT_BLOCKS, candidates_by_product
from firstshot.scoring.search.projection_search import PROJECTION_BLOCKS, search_by_projection
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
    product_blocks: BlockSizes = PRODUCT_BLOCKS,
    projection_blocks: BlockSizes = PROJECTION_BLOCKS,
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
    product_blocks, projection_blocks : BlockSizes
        How many queries and members are worked on at once; no result depends on them.

    Returns
    -------
    values : float64 (q, k)
        Ascending; inf where `skip` left fewer than k members.
    members : int64 (q, k)
        Lowest number first among equal values; -1 where the value is inf.
    """
    check_dims(queries, index.points)
    best = Best.empty(len(queries), k)
    progress = progress_of_search(len(queries), len(index))
    rows, answered = np.arange(len(queries)), 0

    def report(count: int) -> None:
        nonlocal answered
        answered += count
        if progress is not None:
            progress(answered, len(queries))

    if index.projection is not None:
        parts = [rows[:0]]
        for block, left in search_by_projection(
            best, queries, index, scale, skip, projection_blocks
        ):
            parts.append(left)
            report(len(block) - len(left))
        rows = np.concatenate(parts)
    precisions: tuple[Precision, ...] = (np.float32, np.float64)
    for precision in precisions:
        parts = [rows[:0]]
        for block, found, members, left in candidates_by_product(
            queries, index, rows, k, scale, skip, precision, product_blocks
        ):
            best.add_pairs(queries, block[found], index.points, members, scale)
            parts.append(block[left])
            report(len(block) - len(left))
        rows = np.concatenate(parts)
    for row in rows:
        best.search_all(queries, int(row), index.points, scale, skip)
        report(1)
    return best.values, best.members


def check_dims(queries: Points, members: Points) -> None:
    """Refuse queries that have another number of values than the members."""
    if queries.dim != members.dim:
        raise ParameterError(
            f"queries have {queries.dim} values per clip and the members {members.dim}; "
            "embed both with the same encoder and layers"
        )
