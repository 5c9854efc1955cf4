"""Adaptive concurrency finds what a store takes; the bucket is looked for once."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgctl.errors import BucketMissing, StoreDenied
from imgctl.ops.ingest.puts import AdaptiveConcurrency, BucketCheck
from imgctl.store.blobs.local import LocalStore


@given(st.integers(2, 256))
def test_it_finds_the_knee_of_a_store_that_scales_to_a_point(knee: int) -> None:
    adaptive = AdaptiveConcurrency(limit=8)

    limits = [adaptive.observe(min(adaptive.limit, knee), throttled=False) for _ in range(200)]

    late = limits[100:]
    assert min(late) >= min(knee, 256) / 2
    assert sorted(late)[len(late) // 2] <= max(8, 2 * knee)


def test_it_halves_when_the_store_throttles_and_rises_again() -> None:
    adaptive = AdaptiveConcurrency(limit=64)

    halved = [adaptive.observe(100.0, throttled=True) for _ in range(3)]
    again = [adaptive.observe(float(adaptive.limit), throttled=False) for _ in range(4)]

    assert halved == [32, 16, 8]
    assert again == sorted(again)
    assert again[-1] > 16


@given(st.lists(st.tuples(st.floats(0, 1e9), st.booleans()), max_size=100))
def test_it_stays_within_its_bounds(intervals: list[tuple[float, bool]]) -> None:
    adaptive = AdaptiveConcurrency(limit=16, least=2, most=64)

    assert all(2 <= adaptive.observe(rate, throttled=throttled) <= 64 for rate, throttled in intervals)


class Reached(LocalStore):
    """A directory that counts how often it is asked whether it is there, and may refuse an answer."""

    def __init__(self, root: Path, refusal: Exception | None = None) -> None:
        super().__init__(root)
        self.times = 0
        self._refusal = refusal

    def reach(self) -> None:
        self.times += 1
        if self._refusal is not None:
            raise self._refusal


def test_a_bucket_that_is_missing_is_told_each_time(tmp_path: Path) -> None:
    store = Reached(tmp_path, BucketMissing("there is no bucket"))
    bucket = BucketCheck(store)

    for _ in range(2):
        with pytest.raises(BucketMissing):
            bucket.result()

    assert store.times == 1


def test_who_may_not_list_may_still_put(tmp_path: Path) -> None:
    store = Reached(tmp_path, StoreDenied("not allowed to list"))

    BucketCheck(store).result()

    assert store.times == 1
