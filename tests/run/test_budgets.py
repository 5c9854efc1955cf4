"""A window bounds the tasks in flight; a budget bounds the bytes held."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgctl.run.budgets import ByteBudget, bounded


@given(st.lists(st.integers()), st.integers(1, 5))
def test_every_item_is_yielded_once(items: list[int], limit: int) -> None:
    with ThreadPoolExecutor(2) as threads:
        seen = [
            (item, future.result()) for item, future in bounded(lambda n: threads.submit(str, n), items, limit=limit)
        ]

    assert sorted(seen) == sorted((item, str(item)) for item in items)


@pytest.mark.parametrize("limit", [1, 3, 8])
def test_never_more_than_the_limit_are_in_flight(limit: int) -> None:
    in_flight, most = [0], [0]

    def submit(item: int) -> "Future[int]":
        in_flight[0] += 1
        most[0] = max(most[0], in_flight[0])
        return threads.submit(abs, item)

    with ThreadPoolExecutor(4) as threads:
        for _ in bounded(submit, range(100), limit=limit):
            in_flight[0] -= 1

    assert most[0] <= limit


def test_a_done_item_is_yielded_before_the_next_is_taken() -> None:
    taken: list[int] = []

    def submit(item: int) -> "Future[int]":
        taken.append(item)
        future: Future[int] = Future()
        future.set_result(item)
        return future

    next(bounded(submit, range(5), limit=4))

    assert taken == [0]


def test_after_a_stop_no_item_is_taken_and_the_rest_is_yielded() -> None:
    stop = threading.Event()
    in_flight: list[Future[int]] = []

    def submit(item: int) -> "Future[int]":
        in_flight.append(Future())
        if len(in_flight) == 3:
            stop.set()
            for number, future in enumerate(in_flight):
                future.set_result(number)
        return in_flight[-1]

    seen = [future.result() for _, future in bounded(submit, range(100), limit=3, stop=stop)]

    assert seen == [0, 1, 2]


def test_leaving_early_cancels_tasks_that_have_not_begun() -> None:
    in_flight: list[Future[int]] = []

    def submit(item: int) -> "Future[int]":
        in_flight.append(Future())
        if len(in_flight) == 3:
            in_flight[0].set_result(1)
        return in_flight[-1]

    stream = bounded(submit, range(100), limit=3)
    next(stream)
    stream.close()  # type: ignore[attr-defined]

    assert [future.cancelled() for future in in_flight] == [False, True, True]


def test_a_budget_is_never_exceeded() -> None:
    budget, lock = ByteBudget(100), threading.Lock()
    held, most = [0], [0]

    def use(size: int) -> None:
        with budget.hold(size):
            with lock:
                held[0] += size
                most[0] = max(most[0], held[0])
            with lock:
                held[0] -= size

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(use, [1 + n * 7 % 60 for n in range(500)]))

    assert 0 < most[0] <= 100


def test_a_request_above_the_budget_is_granted_alone() -> None:
    budget = ByteBudget(10)
    order: list[str] = []

    def take_much() -> None:
        budget.acquire(1000)
        order.append("large")

    with ThreadPoolExecutor(1) as threads:
        budget.acquire(4)
        large = threads.submit(take_much)
        order.append("small released")
        budget.release(4)
        large.result()

    assert order == ["small released", "large"]
