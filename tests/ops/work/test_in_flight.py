"""How claimed images are cut into batches."""

from imgctl.ops.work.in_flight import BATCH_BYTES, cut
from imgctl.ops.work.order import Job
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
