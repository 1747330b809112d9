"""Products become bounds of squared distances that rounding cannot break.

Input: centred vectors of queries and members. Output: operands whose product is a lower bound of
every pair's squared distance, and limits for these bounds. Both products of a search use them: that
of whole embeddings (`product_search`) and that of projections (`projection_search`).

A member's operand is (x, ||x||^2, 1) and a query's is (-2 q, 1 - margin, (1 - margin) ||q||^2 -
tiny), so that their product is ||q - x||^2 less what rounding may have added.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Precision: TypeAlias = type[np.floating[Any]]


@dataclass(frozen=True)
class BlockSizes:
    """How many queries and members one product takes at most; no result depends on them.

    `sample` is the number of members from which a search by projection takes its first limits.
    """

    queries: int
    members: int
    sample: int = 4096


def tiny(precision: Precision) -> float:
    """Return what products too small for the precision may add to a bound."""
    smallest = float(np.finfo(precision).tiny)
    return float(smallest**0.9)


def with_norms(
    offsets: NDArray[np.float64], first: NDArray[np.float64], second: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the offsets with two more columns."""
    columns = np.empty((len(offsets), offsets.shape[1] + 2))
    columns[:, :-2], columns[:, -2], columns[:, -1] = offsets, first, second
    return columns


def query_operand(
    vectors: NDArray[np.float64],
    squares: NDArray[np.float64],
    margin: float,
    precision: Precision,
) -> NDArray[Any]:
    """Return the operand of queries (q, values + 2).

    Parameters
    ----------
    vectors : float64 (q, values)
        The queries, centred and scaled as the members are.
    squares : float64 (q,)
        Their squared norms.
    margin : float
        Bounds the rounding error of the product, as a share of the sum of both squared norms.
    precision : type
        float32 or float64.
    """
    keep = 1 - margin
    columns = with_norms(-2 * vectors, np.full(1, keep), keep * squares - tiny(precision))
    return columns.astype(precision)


def weights_of(scale: NDArray[np.float64] | None, metric: str) -> NDArray[np.float64] | None:
    """Return factors of squared distances, at most 1, that order them as distance / scale."""
    if scale is None:
        return None
    relative: NDArray[np.float64] = scale.min(initial=np.inf) / scale
    return np.square(relative) if metric == "euclidean" else relative


def limit_of(values: NDArray[Any], precision: Precision) -> NDArray[Any]:
    """Return the values as limits for bounds: one step up, and finite.

    The conversion to the precision must not lower a limit, and a pair that does not count has the
    bound inf, which must exceed every limit.
    """
    largest = np.finfo(precision).max
    above = np.nextafter(np.minimum(values, largest / 2).astype(precision), largest)
    return np.where(np.isinf(values), largest, above).astype(precision)


def pairs_below(
    bounds: NDArray[Any], hit: NDArray[np.bool_], limit: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]:
    """Return (query, member, bound) of the pairs whose bound does not exceed the query's limit.

    Parameters
    ----------
    bounds : array (queries, layers, groups)
        Member c stands at [c // groups, c % groups].
    hit : bool (queries, groups)
        The groups that are looked at.
    limit : array (queries,)
        Limits of the bounds.
    """
    row, group = np.nonzero(hit)
    of_group = bounds[row, :, group]
    chosen, layer = np.nonzero(of_group <= limit[row, None])
    return row[chosen], layer * bounds.shape[2] + group[chosen], of_group[chosen, layer]
