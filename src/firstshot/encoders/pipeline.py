"""Work on many clips at once, in order, with bounded memory, one bad clip stalling no other.

Input: a function and the clips it takes. Output: an `Outcome` per clip, in the order of the clips:
what the function returned, or the error it raised. While one clip is in the network, the next ones
are decoded and go through the front-end: numpy, soxr and the runtimes let other threads run
meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from firstshot.errors import ParameterError

Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Outcome(Generic[Item, Made]):
    """What became of one item: `value` where all went well, else `error`."""

    item: Item
    value: Made | None = None
    error: Exception | None = None

    def get(self) -> Made:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


def in_order(
    function: Callable[[Item], Made],
    items: Iterable[Item],
    workers: int = 1,
    ahead: int | None = None,
) -> Iterator[Outcome[Item, Made]]:
    """Yield the outcome of `function` for every item, in order, `workers` at a time.

    Parameters
    ----------
    function : callable
        Called once per item; with several workers, in several threads at once.
    items : iterable
        Taken one by one, no further than `ahead` beyond the outcome that is due, so that what they
        hold need not fit into memory together.
    workers : int
        Threads; 1 calls the function in the caller's own, one item after another.
    ahead : int, optional
        How many items may be begun beyond the one that is due, finished or not: a slow item holds
        up the others no sooner than that. None means twice the workers.

    Raises
    ------
    ParameterError
        There is less than one worker, or `ahead` is less than `workers`.

    Examples
    --------
    >>> [outcome.get() for outcome in in_order(abs, [-1, 2, -3], workers=2)]
    [1, 2, 3]
    """
    if workers < 1:
        raise ParameterError(f"workers {workers}: expected at least one")
    most = 2 * workers if ahead is None else ahead
    if most < workers:
        raise ParameterError(f"ahead {most}: expected at least the {workers} workers")
    return _alone(function, items) if workers == 1 else _threaded(function, items, workers, most)


def _attempt(function: Callable[[Item], Made], item: Item) -> Outcome[Item, Made]:
    try:
        return Outcome(item, value=function(item))
    except Exception as error:
        return Outcome(item, error=error)


def _alone(
    function: Callable[[Item], Made], items: Iterable[Item]
) -> Iterator[Outcome[Item, Made]]:
    for item in items:
        yield _attempt(function, item)


def _threaded(
    function: Callable[[Item], Made], items: Iterable[Item], workers: int, most: int
) -> Iterator[Outcome[Item, Made]]:
    waiting: deque[Future[Outcome[Item, Made]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="firstshot")
    try:
        for item in items:
            waiting.append(pool.submit(_attempt, function, item))
            if len(waiting) >= most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # A caller that stops early, or is interrupted, waits for what is running and no more.
        pool.shutdown(wait=True, cancel_futures=True)
