"""The rate limit keeps its rate."""

from hypothesis import given
from hypothesis import strategies as st

from imgctl.run.window import RateLimit


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=50), st.integers(1000, 10**7))
def test_no_more_bytes_pass_than_the_rate_allows(sizes: list[int], rate: int) -> None:
    limit = RateLimit(rate, clock=lambda: 0.0)

    turns = [limit.reserve(size) for size in sizes]

    for number, turn in enumerate(turns):
        assert sum(sizes[:number]) <= rate * turn + 1
