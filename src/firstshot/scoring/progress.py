"""Progress of long searches, told to whoever listens.

Input: a callback. Output: it is called with (queries answered, queries in all) by every search of a
second or more inside the `with` block, in the same thread. A search lies deep below `fit`; this
spares every step between them a parameter that it only hands on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

Progress: TypeAlias = Callable[[int, int], None]
"""Called with (queries answered, queries in all)."""

LONG = 10**9
"""Pairs of query and member from which on a search tells how far it is."""

_listener: ContextVar[Progress | None] = ContextVar("listener", default=None)


@contextmanager
def telling(progress: Progress) -> Iterator[None]:
    """Let long searches inside this block call `progress`.

    >>> with telling(lambda answered, queries: print(f"{answered} of {queries}")):
    ...     listener_of(1, 1), listener_of(10**5, 10**5) is None
    (None, False)
    """
    token = _listener.set(progress)
    try:
        yield
    finally:
        _listener.reset(token)


def listener_of(queries: int, members: int) -> Progress | None:
    """Return whom to tell of a search of that size, if anybody."""
    return _listener.get() if queries * members >= LONG else None
