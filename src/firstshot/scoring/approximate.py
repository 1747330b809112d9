"""Queries are answered by an approximate index (faiss), with its recall measured.

Input: queries and an `Index` with `Lists`. Output: what `search` gives, except that a member which
the lists do not propose is not seen. faiss proposes the members nearest by their coordinates (of
the sketch where there is one, else all of them), and these are evaluated in float64 as in an exact
search. So every value is the true one of a true member, never too low, and right wherever the best
members were proposed; the share of a sample of the members for which it is right is the recall.

Only queries are answered so. Densities, statistics and held-out scores are exact.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from firstshot.errors import FirstshotWarning, ParameterError
from firstshot.scoring.index import Index, Pairs, Remake
from firstshot.scoring.lists import SLACK, Lists, find_faiss, inverted_lists, lifts_of
from firstshot.scoring.neighbors import check_dims, search
from firstshot.scoring.points import Points, from_squares
from firstshot.scoring.settling import Best

INDEXES = ("exact", "faiss")

LEAST_MEMBERS = 50_000
"""Smaller banks are searched exactly: that is fast, and lists cost seconds to make."""
PROBES = (16, 32, 64, 128, 256)
"""Numbers of lists looked at; the first with a recall of `ENOUGH` is taken, else the last."""
ENOUGH, LEAST_RECALL, SAMPLE = 0.99, 0.95, 256
CANDIDATES, CANDIDATES_PER_NEIGHBOR, SEEDS = 256, 4, 16
QUERY_BLOCK = 256
LARGEST_SQUARE = 1e28
"""Queries farther out, in units of the bank's extent, leave float32; they are searched exactly."""

_exactly: ContextVar[bool] = ContextVar("exactly", default=False)


@runtime_checkable
class Approximable(Protocol):
    """A normaliser whose queries can be answered approximately; all built-in ones are."""

    def replace_indexes(self, remake: Remake) -> None:
        """Put `remake(domain, index, k, scale)` in the place of every index that queries meet."""
        ...


def check_index(name: str) -> None:
    """Refuse a name that is not in `INDEXES`, or an index whose library is missing.

    Raises
    ------
    ParameterError
        The name is not known.
    LibraryError
        faiss is asked for and cannot be imported.
    """
    if name not in INDEXES:
        raise ParameterError(f"index {name!r} is not known; choose one of {', '.join(INDEXES)}")
    if name == "faiss":
        find_faiss()


def approximate(normalizer: object) -> float | None:
    """Let a fitted normaliser answer queries approximately; return the lowest recall of its banks.

    None where every bank is so small that it is searched exactly. A recall below `LEAST_RECALL` is
    warned of.
    """
    if not isinstance(normalizer, Approximable):
        raise ParameterError(
            f"the index faiss cannot be used with the normaliser {type(normalizer).__name__}, "
            "which has no replace_indexes(); use the index exact"
        )
    recalls = []

    def remake(
        domain: str, index: Index, k: int, scale: NDArray[np.float64] | None = None
    ) -> Index:
        if len(index) < LEAST_MEMBERS:
            return index
        listed, recall = with_lists(index, min(k, len(index) - 1), scale)
        recalls.append(recall)
        if recall < LEAST_RECALL:
            warnings.warn(
                f"index faiss: the {domain} bank has a recall of {recall:.3f}, so "
                f"{1 - recall:.0%} of normal clips would score too high; use the index exact",
                FirstshotWarning,
                stacklevel=2,
            )
        return listed

    normalizer.replace_indexes(remake)
    return min(recalls, default=None)


def with_lists(
    index: Index, k: int, scale: NDArray[np.float64] | None = None
) -> tuple[Index, float]:
    """Return the index with lists of its members, and their recall for the k best.

    Recall: the share of up to 256 members, evenly spaced and each with itself left out, whose k
    best values distance / scale are all those of the exact search.
    """
    chosen = np.linspace(0, len(index) - 1, min(SAMPLE, len(index))).astype(np.int64)
    queries = index.points.take(chosen)
    itself = Pairs.listed(len(chosen), np.arange(len(chosen)), chosen)
    exact, _ = search(queries, index, k, scale, itself)
    lifts = lifts_of(index, scale, float(np.median(exact[:, -1])))
    lists = Lists(inverted_lists(index, lifts), lifts, 0, 0.0)
    for probes in PROBES:
        lists = replace(lists, probes=probes)
        found = _answers(queries, index, lists, k, scale, chosen).values
        lists = replace(lists, recall=float((found == exact).all(axis=1).mean()))
        if lists.recall >= ENOUGH or probes >= lists.inverted.nlist:
            break
    return replace(index, lists=lists), lists.recall


@contextmanager
def exactly() -> Iterator[None]:
    """Let every query inside this block be answered exactly, whatever lists there are.

    k-means may round differently elsewhere, so what two machines compare must not rest on it.
    """
    token = _exactly.set(True)
    try:
        yield
    finally:
        _exactly.reset(token)


def query(
    queries: Points, index: Index, k: int, scale: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the k smallest distance / scale and the members, as `search` does; by lists if any."""
    lists = index.lists
    if not isinstance(lists, Lists) or _exactly.get():
        return search(queries, index, k, scale)
    check_dims(queries, index.points)
    best = _answers(queries, index, lists, k, scale)
    # Too few proposed (short lists), or too far out for faiss.
    rest = np.flatnonzero(best.members[:, -1] < 0)
    if len(rest):
        best.values[rest], best.members[rest] = search(queries.take(rest), index, k, scale)
    return best.values, best.members


def _answers(
    queries: Points,
    index: Index,
    lists: Lists,
    k: int,
    scale: NDArray[np.float64] | None,
    itself: NDArray[np.int64] | None = None,
) -> Best:
    """Return the k best of what the lists propose; `itself` (q,) are members left out."""
    best = Best.of(len(queries), k)
    count = min(CANDIDATES + CANDIDATES_PER_NEIGHBOR * k, len(index))
    for start in range(0, len(queries), QUERY_BLOCK):
        rows = np.arange(start, min(start + QUERY_BLOCK, len(queries)))
        offsets = (queries.positions(rows) - index.centre) * index.unit
        squares = np.einsum("ij,ij->i", offsets, offsets)
        inside = squares < LARGEST_SQUARE
        rows, squares = rows[inside], squares[inside]
        bounds, members = lists.nearest(index, offsets[inside], squares, count)
        if itself is not None:
            members = np.where(members == itself[rows, None], -1, members)
        lowest = _lowest_values(index, bounds, squares, members, scale)
        _settle(best, queries, rows, index, members, lowest, scale)
    return best


def _settle(
    best: Best,
    queries: Points,
    rows: NDArray[np.int64],
    index: Index,
    members: NDArray[np.int64],
    lowest: NDArray[np.float64],
    scale: NDArray[np.float64] | None,
) -> None:
    """Evaluate the likeliest members, then those of the others that may still be better."""
    count = min(best.values.shape[1] + SEEDS, members.shape[1])
    order = np.argpartition(lowest, count - 1, axis=1)
    for columns in (order[:, :count], order[:, count:]):
        bounds = np.take_along_axis(lowest, columns, axis=1)
        worst = best.values[rows, -1]
        position, column = np.nonzero((bounds <= worst[:, None]) & (bounds < np.inf))
        chosen = members[position, columns[position, column]]
        best.settle(queries, rows[position], index.points, chosen, scale)


def _lowest_values(
    index: Index,
    bounds: NDArray[np.float64],
    squares: NDArray[np.float64],
    members: NDArray[np.int64],
    scale: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """Return the least value each proposed member can have; inf where there is none."""
    reach = SLACK * (1 + np.sqrt(squares))[:, None]
    there = members >= 0
    bounds = np.maximum(np.where(there, bounds, 0.0), 0.0)
    gaps = np.maximum(np.sqrt(bounds) - reach, 0.0)
    values = from_squares(np.square(gaps / index.unit), index.points.metric)
    if scale is not None:
        values = values / scale[members]
    return np.where(there, values, np.inf)
