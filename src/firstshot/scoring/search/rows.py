"""Rows of banks: the different ones, some of one bank, some of both; copied only where need be.

Input: checked points of one or two domains, and row numbers, ascending. Output: points. Rows that
lie side by side are a view of the bank, so a bank that is mapped from a file stays there.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from firstshot.errors import DatasetError
from firstshot.scoring.search.vectors import Points


def different_rows(first: NDArray[np.int64], name: str, what: str) -> NDArray[np.int64]:
    """Return the rows of the different clips, ascending; there must be two to have a density.

    `name` (the normaliser) and `what` (which bank) are for the message.
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


def taken(points: Points, rows: NDArray[np.int64]) -> Points:
    """Return the given rows as Points; a view, where they lie side by side.

    >>> from firstshot.scoring.search.vectors import make_points
    >>> whole = make_points([[0.0], [1.0], [2.0]], "euclidean")
    >>> taken(whole, np.array([1, 2])).rows.base is whole.rows
    True
    """
    if not len(rows) or rows[-1] - rows[0] + 1 != len(rows) or (np.diff(rows) != 1).any():
        return points.take(rows)
    run = slice(int(rows[0]), int(rows[-1]) + 1)
    return Points(
        points.rows[run], points.metric, None if points.lengths is None else points.lengths[run]
    )


def joined(parts: Mapping[str, Points]) -> Points:
    """Return both domains' points as one, source first."""
    held = list(parts.values())
    if len(held) == 1:
        return held[0]
    lengths = [points.lengths for points in held if points.lengths is not None]
    return Points(
        np.concatenate([points.rows for points in held]),
        held[0].metric,
        np.concatenate(lengths) if lengths else None,
    )


def gathered(parts: Mapping[str, Points], rows: NDArray[np.int64]) -> Points:
    """Return rows of the joint bank, ascending, without joining it first."""
    found, start = {}, 0
    for domain, points in parts.items():
        inside = rows[(rows >= start) & (rows < start + len(points))] - start
        if len(inside):
            found[domain] = taken(points, inside)
        start += len(points)
    return joined(found)
