"""Work in several threads keeps the order, the memory and the calm."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from firstshot.errors import ParameterError, keep_warnings, warn
from firstshot.ordered_threads import (
    MOST_WORKERS,
    WeightedSemaphore,
    count_threads,
    count_workers,
    in_order,
)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_order_is_kept_though_the_first_is_done_last(workers: int) -> None:
    last_begun = threading.Event()

    def work(item: int) -> int:
        if item == 0 and workers > 1:
            assert last_begun.wait(10)
        if item == workers - 1:
            last_begun.set()
        return item * item

    outcomes = list(in_order(work, range(20), workers))
    assert [outcome.item for outcome in outcomes] == list(range(20))
    assert [outcome.get() for outcome in outcomes] == [item * item for item in range(20)]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_broken_clip_stalls_no_other(workers: int) -> None:
    def work(item: int) -> float:
        return 1 / item

    outcomes = list(in_order(work, [1, 0, 2], workers))
    assert [outcome.value for outcome in outcomes] == [1.0, None, 0.5]
    with pytest.raises(ZeroDivisionError):
        outcomes[1].get()


def test_items_are_taken_no_further_than_ahead() -> None:
    taken, given = 0, 0

    def items() -> Iterator[int]:
        nonlocal taken
        for item in range(50):
            taken += 1
            assert taken - given <= 6
            yield item

    for _ in in_order(abs, items(), workers=3, ahead=6):
        given += 1
    assert taken == given == 50


def test_as_many_run_at_once_as_there_are_workers() -> None:
    together = threading.Barrier(3, timeout=10)
    for outcome in in_order(lambda _: together.wait(), range(9), workers=3):
        outcome.get()


def test_a_caller_who_leaves_early_leaves_no_threads() -> None:
    begun: list[int] = []
    outcomes = in_order(begun.append, range(1000), workers=2)
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert len(begun) <= 5
    assert not [t for t in threading.enumerate() if t.name.startswith("firstshot")]


def test_one_worker_is_the_callers_own_thread() -> None:
    (outcome,) = in_order(lambda _: threading.current_thread(), [0])
    assert outcome.get() is threading.current_thread()


def test_numbers_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ParameterError, match="workers 0"):
        in_order(abs, [1], workers=0)
    with pytest.raises(ParameterError, match="ahead 1"):
        in_order(abs, [1], workers=2, ahead=1)


def test_every_thread_begins_once_and_the_callers_own_never() -> None:
    begun: list[threading.Thread] = []
    together = threading.Barrier(3, timeout=10)

    def begin() -> None:
        begun.append(threading.current_thread())

    list(in_order(lambda _: together.wait(), range(9), workers=3, thread_initializer=begin))
    assert len(begun) == len(set(begun)) == 3
    list(in_order(abs, range(9), workers=1, thread_initializer=begin))
    assert len(begun) == 3


def test_who_is_interrupted_tells_those_who_work() -> None:
    left = threading.Event()

    def work(item: int) -> bool:
        return item == 0 or left.wait(10)

    outcomes = in_order(work, range(6), workers=2, cancelled=left)
    assert next(outcomes).get()
    with pytest.raises(KeyboardInterrupt):
        outcomes.throw(KeyboardInterrupt)
    assert left.is_set()
    assert not [t for t in threading.enumerate() if t.name.startswith("firstshot")]


def test_what_needs_all_the_room_is_let_in_alone() -> None:
    semaphore, inside, seen = WeightedSemaphore(3.0), [], []

    def work(amount: float) -> None:
        with semaphore.acquire(amount):
            inside.append(amount)
            time.sleep(0.001)
            seen.append(tuple(inside))
            inside.remove(amount)

    amounts = [1.0, 1.0, 1.0, 100.0] * 10
    for outcome in in_order(work, amounts, workers=4):
        outcome.get()
    assert len(seen) == 40
    assert all(sum(min(amount, 3.0) for amount in held) <= 3.0 for held in seen)


def test_room_is_given_back_by_what_fails() -> None:
    semaphore = WeightedSemaphore(1.0)
    with pytest.raises(ZeroDivisionError), semaphore.acquire(1.0):
        raise ZeroDivisionError
    with semaphore.acquire(1.0):
        pass


def test_unasked_there_is_a_worker_a_core_up_to_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, workers in (("1", 1), ("2", 2), ("64", MOST_WORKERS)):
        monkeypatch.setenv("OMP_NUM_THREADS", cores)
        assert count_workers() == workers
    assert count_workers(20) == 20
    with pytest.raises(ParameterError, match="workers -1"):
        count_workers(-1)


def test_a_warning_of_any_thread_reaches_the_caller_who_keeps_warnings():
    with keep_warnings() as kept:
        list(in_order(lambda item: warn(f"clip {item}"), range(8), workers=4))
    assert sorted(kept) == [f"clip {item}" for item in range(8)]


def test_a_number_that_is_refused_is_advised_in_words_of_every_interface() -> None:
    """The command line has no value None."""
    with pytest.raises(ParameterError, match=r"threads 0: .* 4096; leave it out for all cores$"):
        count_threads(0)
    with pytest.raises(ParameterError, match=r"workers 0: .* 4096; leave it out for one a core$"):
        count_workers(0)


def product_threads() -> set[int]:
    np.ones((2, 2)) @ np.ones((2, 2))
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}


def test_products_take_one_thread_each_until_the_last_of_several_callers_ends() -> None:
    with threadpool_limits(3, user_api="blas"):
        before = product_threads()
        first = in_order(lambda item: product_threads(), range(8), workers=2)
        second = in_order(abs, range(8), workers=2)
        assert next(first).get() == {1}
        next(second)
        first.close()
        assert product_threads() == {1}
        second.close()
        assert product_threads() == before
