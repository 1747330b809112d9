"""Clips as points: checked rows (clips, values) and the exact distance of chosen pairs.

Input: embeddings float16, float32 or float64 (clips, values). Output: `Points`, and distances in
float64 that are evaluated directly, as sum((x - y)^2): no cancellation, and one pair's value never
depends on other pairs. Metrics: `sqeuclidean` (the GenRep report's eq. 1),
`euclidean`, and `cosine` = 1 - cos, evaluated as half the squared distance of the unit vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firstshot.errors import DatasetError, ParameterError
from firstshot.messages import choose_one_of
from firstshot.scoring.search.float16 import all_finite, to_float32

Rows: TypeAlias = NDArray[np.floating[Any]]
"""Embeddings (clips, values), float16, float32 or float64."""

METRICS = ("sqeuclidean", "euclidean", "cosine")

LARGEST_VALUE = 1e140
"""Larger values are refused: their squares, summed, leave the range of float64."""

BLOCK_VALUES = 1 << 20
"""Values per block of rows in every pass over the rows: 8 MB of float64."""

PARALLEL = 1e-28
"""Cosine distances below this are 0: what rounding leaves between a vector and its multiple."""


@dataclass(frozen=True)
class Points:
    """Checked clips under one metric; `lengths` holds the clips' norms for `cosine`, else None."""

    rows: Rows
    metric: str
    lengths: NDArray[np.float64] | None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def dim(self) -> int:
        """Values per clip."""
        return int(self.rows.shape[1])

    def positions(self, chosen: slice | NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the chosen rows as new float64 points; unit vectors where the metric is cosine."""
        rows = self.rows[chosen]
        points = (to_float32(rows) if rows.dtype == np.float16 else rows).astype(np.float64)
        if self.lengths is not None:
            points /= self.lengths[chosen, None]
        return points

    def take(self, rows: NDArray[np.int64]) -> Points:
        """Return the given rows as Points; a view of the bank, where they lie side by side.

        So a bank that is mapped from a file stays there.

        >>> whole = make_points([[0.0], [1.0], [2.0]], "euclidean")
        >>> whole.take(np.array([1, 2])).rows.base is whole.rows
        True
        """
        chosen: slice | NDArray[np.int64] = rows
        if len(rows) and (np.diff(rows) == 1).all():
            chosen = slice(int(rows[0]), int(rows[-1]) + 1)
        lengths = None if self.lengths is None else self.lengths[chosen]
        return Points(self.rows[chosen], self.metric, lengths)

    def blocks(self) -> Iterator[slice]:
        """Yield slices over all rows, each of at most `BLOCK_VALUES` values (or one row)."""
        step = max(1, BLOCK_VALUES // max(1, self.dim))
        for start in range(0, len(self), step):
            yield slice(start, min(start + step, len(self)))


def check_metric(metric: str) -> str:
    """Return the metric's name, or say which ones there are."""
    if metric not in METRICS:
        raise ParameterError(f"metric {metric!r} is not known; {choose_one_of(metric, METRICS)}")
    return metric


def make_points(
    X: ArrayLike,
    metric: str,
    what: str = "bank",
    names: Sequence[str] | None = None,
    copy: bool = False,
) -> Points:
    """Check embeddings (clips, values) and hold them as Points.

    Parameters
    ----------
    X : array (clips, values)
        float16, float32 and float64 are kept as they are; anything else becomes float64.
    metric : str
        `sqeuclidean`, `euclidean` or `cosine`.
    what : str
        What the rows are, for messages: "source", "target", "query".
    names : sequence of str, optional
        The clips' names, for messages; without them the row's number is named.
    copy : bool
        Take a copy, so that a later change of X changes nothing here; a read-only X is not copied.

    Raises
    ------
    ParameterError
        The metric is unknown, X is not two-dimensional, or names and rows differ in number.
    DatasetError
        A value is NaN or infinite or beyond 1e140, or a row is all zero under `cosine`.

    Examples
    --------
    >>> make_points([[3.0, 4.0]], "cosine").positions(slice(None)).tolist()
    [[0.6, 0.8]]
    """
    check_metric(metric)
    rows = np.asarray(X)
    if rows.dtype not in (np.float16, np.float32, np.float64):
        rows = rows.astype(np.float64)
    if rows.ndim != 2 or (len(rows) and not rows.shape[1]):
        raise ParameterError(
            f"{what}: expected an array (clips, values), got shape {rows.shape}; "
            "give one row per clip"
        )
    if names is not None and len(names) != len(rows):
        raise ParameterError(f"{what}: {len(names)} names for {len(rows)} clips; give one each")
    if copy and rows.flags.writeable:
        rows = rows.copy()
    points = Points(np.ascontiguousarray(rows), metric, None)
    for block in points.blocks():
        _refuse_bad_values(points.rows[block], block.start, what, names)
    if metric != "cosine":
        return points
    return Points(points.rows, metric, _lengths(points, what, names))


def concatenate(parts: Sequence[Points]) -> Points:
    """Return the points of one or more banks of one metric as one bank."""
    if len(parts) == 1:
        return parts[0]
    lengths = [points.lengths for points in parts if points.lengths is not None]
    return Points(
        np.concatenate([points.rows for points in parts]),
        parts[0].metric,
        np.concatenate(lengths) if lengths else None,
    )


def take_of_parts(parts: Sequence[Points], rows: NDArray[np.int64]) -> Points:
    """Return what `concatenate(parts).take(rows)` gives, rows ascending, without joining them."""
    found, start = [], 0
    for points in parts:
        inside = rows[(rows >= start) & (rows < start + len(points))] - start
        if len(inside):
            found.append(points.take(inside))
        start += len(points)
    return concatenate(found)


def distances_of_pairs(
    A: Points, a: NDArray[np.int64], B: Points, b: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the exact distances of the pairs (A[a[i]], B[b[i]]), float64 (pairs,)."""
    squares = np.empty(len(a))
    step = max(1, BLOCK_VALUES // 4 // max(1, A.dim))
    for start in range(0, len(a), step):
        block = slice(start, start + step)
        difference = A.positions(a[block])
        difference -= B.positions(b[block])
        squares[block] = _sums_of_squares(difference)
    return from_squares(squares, A.metric)


def distances_from_one(point: NDArray[np.float64], B: Points) -> NDArray[np.float64]:
    """Return the exact distances of one position (values,) to every point of B, float64 (n,)."""
    squares = np.empty(len(B))
    for block in B.blocks():
        difference = B.positions(block)
        np.subtract(point, difference, out=difference)
        squares[block] = _sums_of_squares(difference)
    return from_squares(squares, B.metric)


def from_squares(squares: NDArray[np.float64], metric: str) -> NDArray[np.float64]:
    """Turn squared Euclidean distances of positions into the metric's distances."""
    if metric == "euclidean":
        return np.sqrt(squares)
    if metric == "cosine":
        halves = 0.5 * squares
        return np.where(halves < PARALLEL, 0.0, halves)
    return squares


def first_copies(points: Points) -> NDArray[np.int64]:
    """Return for each row the lowest row number at distance exactly 0 from it (often its own).

    Copies have (nearly) one projection on any direction, so only neighbours in the order of one
    fixed projection are compared.

    >>> first_copies(make_points([[1.0, 2.0], [5.0, 1.0], [1.0, 2.0]], "euclidean")).tolist()
    [0, 1, 0]
    """
    direction = np.random.default_rng(0).standard_normal(points.dim)
    shadow, reach = np.empty(len(points)), np.empty(len(points))
    for block in points.blocks():
        positions = points.positions(block)
        shadow[block] = positions @ direction
        reach[block] = np.abs(positions) @ np.abs(direction)
    # Far beyond the rounding of the projection; two rows this close are then compared exactly.
    tolerance = 1e-12 * reach
    order = np.argsort(shadow, kind="stable")
    apart = np.diff(shadow[order]) > tolerance[order[1:]] + tolerance[order[:-1]]
    first = np.arange(len(points))
    starts = np.flatnonzero(np.concatenate([[True], apart]))
    lengths = np.diff(np.append(starts, len(order)))
    for start, length in zip(starts[lengths > 1], lengths[lengths > 1], strict=True):
        _mark_copies(points, np.sort(order[start : start + length]), first)
    return first


def _mark_copies(points: Points, run: NDArray[np.int64], first: NDArray[np.int64]) -> None:
    """Set `first` for the rows of one run, lowest row first."""
    while len(run) > 1:
        rest = run[1:]
        same = distances_of_pairs(points, np.full(len(rest), run[0]), points, rest) == 0
        first[rest[same]] = run[0]
        run = rest[~same]


def _sums_of_squares(difference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum the squares along each row in an order that depends on the row's length alone."""
    np.multiply(difference, difference, out=difference)
    sums: NDArray[np.float64] = np.add.reduce(difference, axis=1)
    return sums


def _lengths(points: Points, what: str, names: Sequence[str] | None) -> NDArray[np.float64]:
    """Return the norm of every row; scaled by the row's peak, so that tiny values do not vanish."""
    lengths = np.empty(len(points))
    for block in points.blocks():
        values = points.rows[block].astype(np.float64)
        peaks = np.abs(values).max(axis=1, initial=0.0)
        if not peaks.all():
            row = block.start + int(np.argmin(peaks))
            raise DatasetError(
                f"{what} {_row_name(row, names)} is all zero, and a zero vector has no cosine "
                "distance; leave the clip out or use another metric"
            )
        values /= peaks[:, None]
        lengths[block] = peaks * np.sqrt(_sums_of_squares(values))
    return lengths


def _refuse_bad_values(rows: Rows, start: int, what: str, names: Sequence[str] | None) -> None:
    """Raise for the first row with a value that is not finite or too large."""
    good = all_finite(rows)
    if rows.dtype == np.float64:
        good &= (np.abs(rows) <= LARGEST_VALUE).all(axis=1)
    if not good.all():
        row = int(np.argmin(good))
        kind = "a value beyond 1e140" if np.isfinite(rows[row]).all() else "NaN or infinite values"
        raise DatasetError(
            f"{what} {_row_name(start + row, names)} holds {kind}; "
            "check the clip and its embedding, or leave it out"
        )


def _row_name(row: int, names: Sequence[str] | None) -> str:
    return f"row {row}" if names is None else f"clip {names[row]!r} (row {row})"
