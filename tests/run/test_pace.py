"""Requests that would begin together are spread, and no time is lost by it."""

import heapq
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgctl.run.pace import LEAST_SECONDS, MOST_SECONDS, SHARE, Pace


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def begun(pace: Pace, clock: Clock, *, count: int, limit: int, latency: float) -> list[float]:
    """When each of `count` requests begins, `limit` in flight, each as long as the other."""
    ready = [(0.0, False) for _ in range(limit)]
    begins: list[float] = []
    for _ in range(count):
        clock.now, has_flown = heapq.heappop(ready)
        if has_flown:
            pace.took(latency)
        begins.append(clock.now + pace.reserve(limit))
        heapq.heappush(ready, (begins[-1] + latency, True))
    return begins


@given(st.integers(1, 64), st.integers(1, 40), st.floats(0.0001, 2.0))
def test_a_whole_run_is_no_longer_for_it_than_a_part_of_one_request(limit: int, rounds: int, latency: float) -> None:
    clock = Clock()

    begins = begun(Pace(clock=clock), clock, count=limit * rounds, limit=limit, latency=latency)

    assert max(begins) <= (rounds - 1) * latency + min(SHARE * latency, MOST_SECONDS * limit) + 1e-6


@given(st.integers(2, 32), st.floats(0.1, 5.0))
def test_what_began_at_once_is_spread_from_the_second_round_on(limit: int, latency: float) -> None:
    clock = Clock()

    begins = begun(Pace(clock=clock), clock, count=4 * limit, limit=limit, latency=latency)

    apart = min(SHARE * latency / limit, MOST_SECONDS)
    assert all(apart * 0.99 <= later - sooner for sooner, later in pairwise(begins[limit + 1 :]))


def test_before_anything_is_known_everyone_begins_at_once() -> None:
    pace = Pace(clock=Clock())

    assert [pace.reserve(16) for _ in range(16)] == [0.0] * 16


def test_near_a_server_everyone_begins_at_once() -> None:
    pace = Pace(clock=Clock())
    pace.took(LEAST_SECONDS)

    assert [pace.reserve(16) for _ in range(16)] == [0.0] * 16


def test_before_a_busy_server_everyone_begins_at_once() -> None:
    pace = Pace(clock=Clock())
    pace.took(0.1)
    for _ in range(100):
        pace.took(0.3)

    assert [pace.reserve(4) for _ in range(4)] == [0.0] * 4


def test_one_lucky_answer_does_not_end_it_for_ever() -> None:
    pace = Pace(clock=Clock())
    pace.took(0.0001)
    for _ in range(10_000):
        pace.took(0.08)

    assert [pace.reserve(10) for _ in range(3)] == pytest.approx([0.0, SHARE * 0.008, 2 * SHARE * 0.008])
