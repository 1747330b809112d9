"""A projection of every member: a few numbers from which a lower bound of its distance follows.

Input: a bank's centred members. Output: a `Projection`, or None where the bank is small or its
members vary in too many directions. Embeddings of sounds vary mostly along few directions, so a
product with 64 numbers a member rules nearly all members out, and their embeddings are never read.

The bound. P projects on a few orthonormal directions, R on all others. By the triangle inequality

    ||q - x||^2 = ||P q - P x||^2 + ||R q - R x||^2 >= ||P q - P x||^2 + (||R q|| - ||R x||)^2,

which is the squared distance of the points (P q, ||R q||) and (P x, ||R x||), of one number more
than there are directions, whose norms are those of q and x. The directions are the leading
principal ones of a sample of the members; with any others the bound holds too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firstshot.scoring.search.bounds import query_operand

LEAST_MEMBERS = 8192
LEAST_VALUES = 256
SIZES = (64, 128, 256)
"""Numbers of directions that are tried in turn."""
LEAST_SHARE = 4
"""A projection has at most one in so many of a member's values: it is small beside the bank."""
WORTH_TRYING = 0.5
"""Share of the sample's variance that the directions must hold to be tried."""
SCAN_COST, PAIR_COST, WORTH_HAVING = 30, 200, 2
"""Work in multiplications of a matrix product: to look at a bound, and to evaluate a pair (times
the values); a projection must halve that of the whole product."""
READ_COST = {False: 30, True: 90}
"""The same, times the values, to read a member of a float32 or float16 bank for a product."""
SAMPLE, TRIAL, TRIAL_NEAREST = 1024, 16, 8
BLOCK = 8192

Offsets = Callable[[slice | NDArray[np.int64]], NDArray[np.float64]]


@dataclass(frozen=True)
class Projection:
    """Coordinates of every member along a few directions, and the norm of what they leave.

    `directions` (size, values) are orthonormal rows, float64. `rows` (n, size + 3), float32, hold
    the coordinates, the norm of the rest, the member's squared norm, and 1. `margin` bounds the
    rounding of a bound, as a share of the sum of both squared norms.
    """

    directions: NDArray[np.float64]
    rows: NDArray[np.float32]
    margin: float

    def __len__(self) -> int:
        return len(self.rows)

    def operand(
        self, offsets: NDArray[np.float64], squares: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Return what queries are multiplied by: operand @ rows.T are lower bounds of distances.

        `offsets` (q, values) are centred and scaled like the members, `squares` (q,) their squared
        norms. The bounds are of squared distances, less what rounding may have added.
        """
        return query_operand(self.coordinates(offsets, squares), squares, self.margin, np.float32)

    def coordinates(
        self, offsets: NDArray[np.float64], squares: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return queries as the members are held: coordinates and the norm of the rest."""
        return _coordinates(offsets, squares, self.directions)


def most_candidates(members: int, queries: int, float16: bool) -> int:
    """Return how many members a projection may leave for one query before the product is faster.

    The product reads every member once for all `queries` of a block, and converts it where the
    bank is in `float16`.
    """
    return int(members * (1 + READ_COST[float16] / queries) / PAIR_COST)


def make_projection(
    squares: NDArray[np.float64], offsets: Offsets, least_members: int = LEAST_MEMBERS
) -> Projection | None:
    """Return the smallest projection that rules enough members out, or None.

    Parameters
    ----------
    squares : float64 (n,)
        The members' squared norms.
    offsets : callable
        Gives chosen members, centred and scaled to norms of at most 1, float64 (chosen, values).
    least_members : int
        A smaller bank gets no projection.
    """
    count = len(squares)
    if count < least_members:
        return None
    sample = offsets(np.arange(0, count, -(-count // SAMPLE)))
    values = sample.shape[1]
    if values < LEAST_VALUES:
        return None
    variances, directions = _principal(sample, max(SIZES))
    for size in SIZES:
        if (
            size * LEAST_SHARE > values
            or variances[:size].sum() < WORTH_TRYING * np.square(sample).sum()
        ):
            continue
        projection = _project(squares, offsets, directions[:size])
        pairs = _median_candidates(projection, squares, offsets) * PAIR_COST * values
        if WORTH_HAVING * (count * (size + SCAN_COST) + pairs) < count * values:
            return projection
    return None


def _project(
    squares: NDArray[np.float64], offsets: Offsets, directions: NDArray[np.float64]
) -> Projection:
    size, values = directions.shape
    rows = np.empty((len(squares), size + 3), dtype=np.float32)
    step = max(1, (1 << 20) // values)
    for start in range(0, len(squares), step):
        block = slice(start, min(start + step, len(squares)))
        rows[block, :-2] = _coordinates(offsets(block), squares[block], directions)
        rows[block, -2], rows[block, -1] = squares[block], 1.0
    return Projection(directions, rows, _margin(size, values))


def _coordinates(
    offsets: NDArray[np.float64], squares: NDArray[np.float64], directions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the coordinates along the directions, and the norm of the rest (clips, size + 1)."""
    found = np.empty((len(offsets), len(directions) + 1))
    np.matmul(offsets, directions.T, out=found[:, :-1])
    along = np.einsum("ij,ij->i", found[:, :-1], found[:, :-1])
    found[:, -1] = np.sqrt(np.maximum(squares - along, 0.0))
    return found


def _margin(size: int, values: int) -> float:
    """Return the share of both squared norms by which rounding may raise a bound.

    The first term is that of `screening` for a product of size + 1 terms. The second is for the
    coordinates: computed in float64, their squares are off by less than 4 sqrt(size) values 2^-53
    of the squared norm, the norm of the rest by the root of that, and the bound by twice this.
    """
    terms = (size + 33) * float(np.finfo(np.float32).eps) / 2
    rest = np.sqrt(4 * np.sqrt(size) * values * float(np.finfo(np.float64).eps) / 2)
    return float(2 * terms / (1 - terms) + 2.1 * rest)


def _principal(sample: NDArray[np.float64], most: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the largest variances (times the sample's size) and their directions, as rows."""
    values, vectors = np.linalg.eigh(sample @ sample.T)
    order = np.argsort(-values)[:most]
    # The root of the Gram matrix loses digits; QR gives orthonormal rows for whatever it left.
    directions, _ = np.linalg.qr((vectors[:, order].T @ sample).T)
    return values[order], np.ascontiguousarray(directions.T)


def _median_candidates(
    projection: Projection, squares: NDArray[np.float64], offsets: Offsets
) -> float:
    """Return how many members are left for a member as the query, the median of a few."""
    count = len(projection)
    chosen = np.linspace(0, count - 1, TRIAL).astype(np.int64)
    queries = offsets(chosen)
    operand = projection.operand(queries, squares[chosen])
    bounds = np.empty((TRIAL, count), dtype=np.float32)
    for start in range(0, count, BLOCK):
        bounds[:, start : start + BLOCK] = operand @ projection.rows[start : start + BLOCK].T
    bounds[np.arange(TRIAL), chosen] = np.inf
    likely = np.argpartition(bounds, TRIAL_NEAREST, axis=1)[:, :TRIAL_NEAREST]
    gaps = offsets(likely.ravel()).reshape(*likely.shape, -1) - queries[:, None]
    nearest = np.square(gaps).sum(axis=2).min(axis=1)
    survivors = np.count_nonzero(bounds <= nearest[:, None], axis=1)
    return float(np.median(survivors))
