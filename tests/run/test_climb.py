"""Adaptive concurrency finds what a store takes, and the rate limit keeps its rate."""

from hypothesis import given
from hypothesis import strategies as st

from imgctl.run.climb import Climb
from imgctl.run.rate import RateLimit


@given(st.integers(2, 256))
def test_it_finds_the_knee_of_a_store_that_scales_to_a_point(knee: int) -> None:
    climb = Climb(limit=8)

    limits = [climb.observe(min(climb.limit, knee), pushed_back=False) for _ in range(200)]

    late = limits[100:]
    assert min(late) >= min(knee, 256) / 2
    assert sorted(late)[len(late) // 2] <= max(8, 2 * knee)


def test_it_halves_when_the_store_asks_for_patience_and_climbs_again() -> None:
    climb = Climb(limit=64)

    halved = [climb.observe(100.0, pushed_back=True) for _ in range(3)]
    again = [climb.observe(float(climb.limit), pushed_back=False) for _ in range(4)]

    assert halved == [32, 16, 8]
    assert again == sorted(again)
    assert again[-1] > 16


@given(st.lists(st.tuples(st.floats(0, 1e9), st.booleans()), max_size=100))
def test_it_stays_within_its_bounds(intervals: list[tuple[float, bool]]) -> None:
    climb = Climb(limit=16, least=2, most=64)

    assert all(2 <= climb.observe(rate, pushed_back=back) <= 64 for rate, back in intervals)


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=50), st.integers(1000, 10**7))
def test_no_more_bytes_pass_than_the_rate_allows(sizes: list[int], rate: int) -> None:
    limit = RateLimit(rate, clock=lambda: 0.0)

    turns = [limit.reserve(size) for size in sizes]

    for number, turn in enumerate(turns):
        assert sum(sizes[:number]) <= rate * turn + 1
