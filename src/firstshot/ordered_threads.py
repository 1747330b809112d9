"""Several threads process clips in order, with bounded memory; a bad clip does not stop the others.

Input: a function and the clips it takes. Output: an `Outcome` per clip, in the order of the clips:
what the function returned, or the error it raised. While one clip is in the network, other threads
decode the next ones and compute their spectrograms: numpy, soxr and the runtimes release Python's
lock.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from typing import Generic, TypeVar

from threadpoolctl import threadpool_limits

from firstshot.errors import ParameterError
from firstshot.numbers import MOST_AT_ONCE, check_at_once, read_whole

Item = TypeVar("Item")
Made = TypeVar("Made")

MOST_WORKERS = 8
"""The default: each worker holds a clip and the network's intermediate results."""


@dataclass(frozen=True)
class Outcome(Generic[Item, Made]):
    """The result of one item: `value` if the function returned, otherwise `error`."""

    item: Item
    value: Made | None = None
    error: Exception | None = None

    def get(self) -> Made:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


class WeightedSemaphore:
    """Bounds the sum of the amounts held at once; an amount above the bound is held alone.

    >>> semaphore = WeightedSemaphore(10.0)
    >>> with semaphore.acquire(4.0), semaphore.acquire(6.0):
    ...     print("both fit")
    both fit
    """

    def __init__(self, size: float) -> None:
        self.size = self._free = size
        self._changed = threading.Condition()

    @contextmanager
    def acquire(self, amount: float) -> Iterator[None]:
        """Wait until that much is free, and hold it."""
        held = min(amount, self.size)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= held)
            self._free -= held
        try:
            yield
        finally:
            with self._changed:
                self._free += held
                self._changed.notify_all()


def count_workers(workers: int | None = None) -> int:
    """Return how many clips to process at the same time: by default one per core, at most 8.

    Raises
    ------
    ParameterError
        `workers` is not a number from 1 to 4096.

    Examples
    --------
    >>> count_workers(3), 1 <= count_workers() <= MOST_WORKERS
    (3, True)
    """
    if workers is None:
        return min(count_threads(), MOST_WORKERS)
    return check_at_once("workers", workers, "leave it out for one a core")


def in_order(
    function: Callable[[Item], Made],
    items: Iterable[Item],
    workers: int = 1,
    ahead: int | None = None,
    *,
    thread_initializer: Callable[[], object] | None = None,
    cancelled: threading.Event | None = None,
) -> Generator[Outcome[Item, Made], None, None]:
    """Yield the outcome of `function` for every item, in order; `workers` run at the same time.

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
    thread_initializer : callable, optional
        Called in every thread before its first item, but not in the caller's own.
    cancelled : threading.Event, optional
        Set once the caller stops early or is interrupted. The caller then waits for what is
        running; a function that takes long may check it and end early.

    Raises
    ------
    ParameterError
        There is less than one worker, or `ahead` is less than `workers`.

    Examples
    --------
    >>> [outcome.get() for outcome in in_order(abs, [-1, 2, -3], workers=2)]
    [1, 2, 3]
    """
    check_at_once("workers", workers)
    most = 2 * workers if ahead is None else ahead
    if most < workers:
        raise ParameterError(f"ahead {most}: expected at least the {workers} workers")
    if workers == 1:
        return _alone(function, items)
    pool = ThreadPoolExecutor(workers, "firstshot", thread_initializer)
    return _threaded(function, items, pool, most, cancelled or threading.Event())


def _attempt(function: Callable[[Item], Made], item: Item) -> Outcome[Item, Made]:
    try:
        return Outcome(item, value=function(item))
    except Exception as error:
        return Outcome(item, error=error)


def _alone(
    function: Callable[[Item], Made], items: Iterable[Item]
) -> Generator[Outcome[Item, Made], None, None]:
    for item in items:
        yield _attempt(function, item)


def _threaded(
    function: Callable[[Item], Made],
    items: Iterable[Item],
    pool: ThreadPoolExecutor,
    most: int,
    cancelled: threading.Event,
) -> Generator[Outcome[Item, Made], None, None]:
    waiting: deque[Future[Outcome[Item, Made]]] = deque()
    with _SINGLE_THREADED_PRODUCTS:
        try:
            for item in items:
                # A copy, so that a warning reaches the `keep_warnings` of the caller.
                waiting.append(pool.submit(copy_context().run, _attempt, function, item))
                if len(waiting) >= most:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            # A caller that stops early, or is interrupted, waits for what is running and no more.
            cancelled.set()
            pool.shutdown(wait=True, cancel_futures=True)


class _SingleThreadedProducts:
    """Lets numpy's matrix products take one thread each, while it is entered at least once.

    Products of several threads, each with threads of its own, wait for each other: on a busy
    machine refits took five times as long.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entered = 0
        self._limits: threadpool_limits | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._entered += 1
            if self._entered == 1:
                self._limits = threadpool_limits(1, user_api="blas")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._entered -= 1
            if self._entered == 0 and self._limits is not None:
                self._limits.restore_original_limits()


_SINGLE_THREADED_PRODUCTS = _SingleThreadedProducts()


def count_threads(threads: int | None = None) -> int:
    """Return how many threads compute: by default OMP_NUM_THREADS, otherwise one per core.

    Raises
    ------
    ParameterError
        `threads` is not a number from 1 to 4096.

    Examples
    --------
    >>> count_threads(3)
    3
    """
    if threads is not None:
        return check_at_once("threads", threads, "leave it out for all cores")
    # What is no number is refused by the threading library.
    number = read_whole(os.environ.get("OMP_NUM_THREADS", ""))
    if number is not None and 1 <= number <= MOST_AT_ONCE:
        return number
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
