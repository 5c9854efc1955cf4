"""Adaptive concurrency against simulated stores: any latency, capacity and loss, queueing or throttling, steady or not."""

import random
from heapq import heappop, heappush
from itertools import pairwise, product
from statistics import mean, median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgctl.ops.ingest.concurrency import FIRST_CONCURRENCY, MOST_CONCURRENCY, AdaptiveConcurrency
from tests.soak import rounds

LATENCIES = [0.002, 0.01, 0.04, 0.1, 0.3]
CAPACITIES = [50, 500, 3500]
# Fixed seeds: the bounds hold for most runs, not for every run, so new seeds would fail by chance.
SEEDS = range(rounds(2, 100))
# A step takes at least the latency, or, if that is lower, the shortest measurement.
SHORTEST_ROUND = 0.05
FEW_ROUNDS = 6


class Store:
    """A simulated server with a latency and a `capacity` in puts a second; excess puts queue, or are pushed back at once.

    If it is not `steady`, the capacity is that of the client's CPU on a busy machine: it varies between a third and all
    of it, for a fraction of a second each. `jitter` adds up to that share of the latency: without any, requests that
    began together stay together, and a store that throttles rejects most of each burst.
    """

    def __init__(
        self,
        *,
        latency: float,
        capacity: int,
        loss: float = 0.0,
        throttles: bool = False,
        steady: bool = True,
        jitter: float = 0.0,
        seed: int,
    ) -> None:
        self.pushbacks = 0
        self._jitter = jitter
        self._latency, self._capacity, self._loss, self._throttles = latency, capacity, loss, throttles
        self._share, self._share_until = 1.0, float("inf") if steady else 0.0
        self._random = random.Random(seed)
        self._events: list[tuple[float, int, str, float, int]] = []
        self._number = 0
        self._free_at = 0.0
        self._burst = self._tokens = capacity / 10 + 1
        self._filled_at = 0.0

    def run(self, adaptive: AdaptiveConcurrency, *, seconds: float) -> list[tuple[float, int]]:
        """Return when each put ended, and the limit from then on; there are always as many in flight as the limit."""
        ended: list[tuple[float, int]] = []
        in_flight = 0
        now = 0.0
        while now <= seconds:
            while in_flight < adaptive.limit:
                self._add(now + self._latency / 2, "arrives", now)
                in_flight += 1
            now, _, what, began, tries = heappop(self._events)
            if what == "ended":
                in_flight -= 1
                ended.append((now, adaptive.ended(50_000, began=began, now=now, pushbacks=self.pushbacks)))
            elif what == "refused":
                self.pushbacks += 1
                self._add(now + self._random.uniform(0, min(5.0, 0.1 * 2**tries)), "arrives", began, tries + 1)
            elif self._refuses(now):
                self._add(now + self._latency / 2, "refused", began, tries)
            else:
                self._free_at = max(self._free_at, now) + 1 / (self._capacity * self._share_at(now))
                self._add((now if self._throttles else self._free_at) + self._latency / 2, "ended", began)
        return ended

    def _add(self, at: float, what: str, began: float, tries: int = 0) -> None:
        self._number += 1
        if self._jitter and what != "arrives":
            at += self._random.uniform(0, self._jitter * self._latency)
        heappush(self._events, (at, self._number, what, began, tries))

    def _share_at(self, now: float) -> float:
        while now >= self._share_until:
            self._share, self._share_until = (
                self._random.uniform(0.3, 1.0),
                self._share_until + self._random.uniform(0.0, 0.3),
            )
        return self._share

    def _refuses(self, now: float) -> bool:
        if self._random.random() < self._loss:
            return True
        if not self._throttles:
            return False
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._capacity)
        self._filled_at = now
        if self._tokens < 1:
            return True
        self._tokens -= 1
        return False


def most(latency: float, capacity: int) -> float:
    """Return the puts a second that such a store allows, with at most MOST_CONCURRENCY at once."""
    return min(capacity, MOST_CONCURRENCY / (latency + 1 / capacity))


def rate(ended: list[tuple[float, int]], start: float, seconds: float) -> float:
    return sum(start < at <= start + seconds for at, _ in ended) / seconds


def mean_limit(ended: list[tuple[float, int]], start: float) -> float:
    held = [(limit, until - at) for (at, limit), (until, _) in pairwise(ended) if at >= start]
    return sum(limit * seconds for limit, seconds in held) / sum(seconds for _, seconds in held)


@pytest.mark.parametrize("capacity", CAPACITIES)
@pytest.mark.parametrize("latency", LATENCIES)
def test_a_few_round_trips_find_the_capacity_of_a_store_and_keep_it(latency: float, capacity: int) -> None:
    # With a full server, its queue determines the round trip.
    start = FEW_ROUNDS * max(latency, 16 / capacity)
    seconds = max(20.0, 100 * latency)

    # Without loss, and steady: deterministic.
    ended = Store(latency=latency, capacity=capacity, seed=0).run(AdaptiveConcurrency(), seconds=start + seconds)

    assert rate(ended, start, max(1.0, 10 * latency)) >= 0.9 * most(latency, capacity)
    assert rate(ended, start, seconds) >= 0.95 * most(latency, capacity)


@pytest.mark.parametrize("throttles", [False, True], ids=["queues", "throttles"])
@pytest.mark.parametrize("loss", [0.0, 0.01, 0.03])
@pytest.mark.parametrize("latency", LATENCIES)
def test_neither_loss_nor_throttling_makes_it_collapse(latency: float, loss: float, throttles: bool) -> None:
    start, seconds = 20 * max(latency, SHORTEST_ROUND), max(5.0, 60 * latency)
    shares = []
    for capacity, seed in product(CAPACITIES, SEEDS):
        store = Store(latency=latency, capacity=capacity, loss=loss, throttles=throttles, jitter=0.3, seed=seed)
        ended = store.run(AdaptiveConcurrency(), seconds=start + seconds)
        shares.append(rate(ended, start, seconds) / most(latency, capacity))

    assert median(shares) >= 0.8
    assert min(shares) >= 0.3


@pytest.mark.parametrize("latency", [0.01, 0.04, 0.1])
def test_a_throttling_store_gets_few_pushed_back_requests(latency: float) -> None:
    for seed in SEEDS:
        store = Store(latency=latency, capacity=500, throttles=True, seed=seed)

        ended = store.run(AdaptiveConcurrency(), seconds=20.0)

        assert store.pushbacks <= len(ended) / 4


@pytest.mark.parametrize("latency", [0.002, 0.01, 0.04])
def test_the_limit_stays_low_where_the_clients_cpu_is_the_bottleneck(latency: float) -> None:
    # Chance may raise the limit of one run for a while, but must not add up.
    limits, rates = [], []
    for seed in range(rounds(20, 200)):
        store = Store(latency=latency, capacity=1000, steady=False, seed=seed)
        ended = store.run(AdaptiveConcurrency(), seconds=40.0)
        limits.append(mean_limit(ended, 15.0) / max(FIRST_CONCURRENCY, 1000 * latency))
        rates.append(rate(ended, 15.0, 25.0))

    assert median(limits) <= 2
    assert mean(limits) <= 2.5
    assert median(rates) >= 0.85 * 650
    assert min(rates) >= 0.75 * 650


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 10**9), st.integers(0, 9), st.booleans()), max_size=200))
def test_it_stays_within_its_bounds(puts: list[tuple[float, int, int, bool]]) -> None:
    adaptive = AdaptiveConcurrency(limit=16, least=2, most=64)
    now, pushbacks = 0.0, 0

    for seconds, size, pushed, starved in puts:
        now, pushbacks = now + seconds, pushbacks + pushed
        assert 2 <= adaptive.ended(size, began=now, now=now, pushbacks=pushbacks, starved=starved) <= 64


def test_a_lack_of_work_is_not_taken_for_the_stores_limit() -> None:
    adaptive = AdaptiveConcurrency()

    limits = {adaptive.ended(50_000, began=0.0, now=number / 1000, pushbacks=0, starved=True) for number in range(5000)}

    assert limits == {adaptive.limit}


def test_pushbacks_of_earlier_requests_do_not_halve_the_limit_again() -> None:
    adaptive, number, pushed = AdaptiveConcurrency(limit=64, most=64), 0, 0
    while adaptive.limit == 64:
        number, pushed = number + 1, max(0, number - 64)
        adaptive.ended(50_000, began=0.0, now=number / 1000, pushbacks=pushed)

    limits = {
        adaptive.ended(50_000, began=0.0, now=0.1 + number / 1000, pushbacks=pushed + number) for number in range(64)
    }
    limits |= {
        adaptive.ended(50_000, began=0.0, now=0.2 + number / 1000, pushbacks=pushed + 63) for number in range(31)
    }

    assert limits == {32}


def test_pushbacks_of_one_moment_halve_the_limit_once() -> None:
    adaptive = AdaptiveConcurrency(limit=64, most=64)
    for number in range(128):
        adaptive.ended(50_000, began=0.0, now=number / 1000, pushbacks=0)

    halved = {adaptive.ended(50_000, began=0.0, now=0.1, pushbacks=64) for _ in range(30)}

    assert halved == {32}
