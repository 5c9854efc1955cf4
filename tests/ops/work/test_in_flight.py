"""How claimed images are cut into batches, and whose attempts count when the store fails."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import StoreDenied
from imgctl.ops.work.in_flight import BATCH_BYTES, StoreWatch, cut
from imgctl.ops.work.options import Ending, Job, Outcome
from imgctl.run.pools.open import InlinePool
from tests.store.catalog.rows import new_image


def _jobs(count: int, *, size: int = 1000, attempts: int = 1, forgiven: int = 0) -> list[Job]:
    images = (new_image(number) for number in range(count))
    return [
        Job(id=one.id, attempts=attempts, forgiven=forgiven, original_key=one.original_key, size=size) for one in images
    ]


def _sizes(jobs: list[Job], *, most: int = 8) -> list[int]:
    return [len(batch) for batch in cut(jobs, most=most)]


def test_every_image_is_in_one_batch() -> None:
    jobs = _jobs(21)

    assert [job for batch in cut(jobs, most=8) for job in batch] == jobs
    assert _sizes(jobs) == [8, 8, 5]


def test_large_images_make_small_batches() -> None:
    assert _sizes(_jobs(6, size=BATCH_BYTES // 2)) == [2, 2, 2]
    assert _sizes(_jobs(2, size=2 * BATCH_BYTES)) == [1, 1]


def test_a_retried_image_is_in_a_batch_of_its_own() -> None:
    assert _sizes(_jobs(3, attempts=2)) == [1, 1, 1]
    assert sorted(_sizes(_jobs(5) + _jobs(2, attempts=3))) == [1, 1, 5]


def test_a_forgiven_image_is_batched_like_a_new_one() -> None:
    assert _sizes(_jobs(3, attempts=4, forgiven=3)) == [3]


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[StoreWatch]:
    """The watch of a run whose store allows the check."""
    pool = InlinePool()
    yield StoreWatch(pool, StoreSettings(url=f"file://{tmp_path}"), outage_seconds=300)
    pool.close()


def _denied(jobs: list[Job], *, refused: bool) -> list[Outcome]:
    error = StoreDenied("denies access")
    failed = Outcome(job=jobs[0], ending=Ending.STORE_FAILED, error=error.line, cause="StoreDenied")
    return [replace(failed, job=one, refused=error if refused else None) for one in jobs]


def _endings(outcomes: list[Outcome]) -> dict[Ending, int]:
    return Counter(one.ending for one in outcomes)


@pytest.mark.parametrize("refused", [False, True])
def test_images_that_are_denied_one_after_another_are_forgiven_from_the_first(watch: StoreWatch, refused: bool) -> None:
    jobs = _jobs(13)
    watch.decided([Outcome(job=jobs[12], ending=Ending.RENDERED)], stopping=False, idle=False)
    decided: list[Outcome] = []
    for at in range(0, 12, 4):
        decided += watch.decided(_denied(jobs[at : at + 4], refused=refused), stopping=False, idle=False)

    assert _endings(decided) == {Ending.NOT_BEGUN: 12}
    assert isinstance(watch.fatal, StoreDenied)


@pytest.mark.parametrize("refused", [False, True])
def test_denied_images_are_blamed_once_another_is_rendered(watch: StoreWatch, refused: bool) -> None:
    jobs = _jobs(5)
    watch.decided([Outcome(job=jobs[4], ending=Ending.RENDERED)], stopping=False, idle=False)
    before = watch.decided(_denied(jobs[:3], refused=refused), stopping=False, idle=False)
    after = watch.decided([Outcome(job=jobs[3], ending=Ending.RENDERED)], stopping=False, idle=False)

    assert before == []
    assert _endings(after) == {Ending.RENDERED: 1, Ending.STORE_FAILED: 3}
    assert not watch.undecided


def test_denied_images_are_blamed_once_no_other_is_left(watch: StoreWatch) -> None:
    watch.decided(_denied(_jobs(2), refused=False), stopping=False, idle=False)

    assert _endings(watch.decided([], stopping=False, idle=True)) == {Ending.STORE_FAILED: 2}
    assert not watch.undecided


def test_denied_images_are_forgiven_when_the_run_is_stopped(watch: StoreWatch) -> None:
    watch.decided(_denied(_jobs(2), refused=False), stopping=False, idle=False)

    assert _endings(watch.decided([], stopping=True, idle=False)) == {Ending.NOT_BEGUN: 2}
