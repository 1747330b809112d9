"""How far the work is, for whoever shows it.

Input: a callback. Output: the steps of long work call it as they go. A search lies deep below
`fit`; `report_progress` spares every step between them a parameter that it only hands on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

Progress: TypeAlias = Callable[[int, int], None]
"""Called with (done, in all); in all is 0 where it is not known."""
Bars: TypeAlias = Callable[[str], Progress]
"""Called with the title of a piece of work, returns that work's `Progress`."""

LONG = 10**9
"""Pairs of query and member from which on a search reports its progress."""

_progress: ContextVar[tuple[Progress, int] | None] = ContextVar("progress", default=None)


@contextmanager
def report_progress(progress: Progress, least_pairs: int = LONG) -> Iterator[None]:
    """Let long searches in this block and thread call `progress`.

    A search is long from `least_pairs` pairs of query and member on; the default takes a second.

    >>> with report_progress(lambda answered, queries: print(f"{answered} of {queries}")):
    ...     progress_of_search(1, 1), progress_of_search(10**5, 10**5) is None
    (None, False)
    """
    token = _progress.set((progress, least_pairs))
    try:
        yield
    finally:
        _progress.reset(token)


def progress_of_search(queries: int, members: int) -> Progress | None:
    """Return what a search of that size calls with (queries answered, queries in all)."""
    progress, least_pairs = _progress.get() or (None, LONG)
    return progress if queries * members >= least_pairs else None


def silent(title: str) -> Progress:
    """Return a `Progress` that shows nothing; a `Bars`."""
    return lambda done, in_all: None
