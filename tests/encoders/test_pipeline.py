"""Work in several threads keeps the order, the memory and the calm."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from firstshot.encoders.pipeline import in_order
from firstshot.errors import ParameterError


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
