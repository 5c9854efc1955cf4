"""The rate limit keeps its rate."""

from hypothesis import given
from hypothesis import strategies as st

from imgctl.run.budgets import RateLimit


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=50), st.integers(1000, 10**7))
def test_bytes_are_limited_to_the_rate(sizes: list[int], rate: int) -> None:
    limit = RateLimit(rate, clock=lambda: 0.0)

    turns = [limit.reserve(size) for size in sizes]

    for number, turn in enumerate(turns):
        assert sum(sizes[:number]) <= rate * turn + 1
