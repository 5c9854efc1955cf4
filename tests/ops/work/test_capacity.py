"""What a worker leaves to others because this machine lacks room or a decoder, and when it tries again."""

import errno
import os
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import update

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import DecoderMissing, NoRoom, StoreError, WorkerError
from imgctl.imaging.decoders.decode import Limits
from imgctl.model import Recipe
from imgctl.ops.work import capacity, render_task
from imgctl.ops.work.capacity import Capacity
from imgctl.ops.work.options import Batch, Ending, Job, Outcome, WorkOrder
from imgctl.ops.work.render_task import SPOOL_FROM_BYTES, fetch, render_batch
from imgctl.store.blobs.open import open_store
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.claims import Renderable, claim
from imgctl.store.catalog.schema import images
from tests.store.catalog.rows import queued

KEY = "2026/01/01/0190b2b4-0000-7000-8000-000000000001-original.tif"
GIB = 2**30


def _job(number: int, *, size: int = GIB, key: str = KEY) -> Job:
    return Job(id=UUID(int=number), attempts=1, forgiven=0, original_key=key, size=size)


def _no_room(job: Job) -> Outcome:
    return Outcome(job=job, ending=Ending.DEFERRED, error="no room", cause=NoRoom.__name__)


def _take_one(able: Capacity, job: Job) -> None:
    able.committed([job], ended=())


def test_smaller_originals_go_on_and_the_smallest_without_room_counts() -> None:
    able = Capacity()

    able.record([_no_room(_job(1, size=3 * GIB)), _no_room(_job(2, size=2 * GIB))])

    assert able.renderable.below_bytes == 2 * GIB
    assert able.fits(2 * GIB - 1, KEY)
    assert not able.fits(2 * GIB, KEY)


def test_an_original_of_unknown_size_is_as_large_as_any() -> None:
    able = Capacity()

    able.record([_no_room(_job(1, size=0))])

    assert able.renderable.below_bytes == SPOOL_FROM_BYTES
    assert not able.fits(0, KEY)


def test_only_a_try_alone_tells_that_there_is_no_room() -> None:
    able = Capacity()
    able.record([_no_room(_job(1))])
    assert not able.is_final(_no_room(_job(1)))
    assert not able.again(idle=False)

    assert able.again(idle=True)
    assert able.most(16) == 1
    _take_one(able, _job(2))
    # Meanwhile no other original may take its room.
    assert able.renderable.below_bytes == SPOOL_FROM_BYTES
    able.record([_no_room(_job(2))])
    able.committed([], ended=[UUID(int=2)])

    assert able.is_sure
    assert able.renderable.below_bytes == GIB
    assert not able.again(idle=True)


def test_all_sizes_are_tried_again_after_one_alone_had_room() -> None:
    able = Capacity()
    able.record([_no_room(_job(1))])
    able.again(idle=True)
    _take_one(able, _job(1))

    able.record([Outcome(job=_job(1), ending=Ending.RENDERED)])
    able.committed([], ended=[UUID(int=1)])

    assert able.renderable == Renderable()


def test_a_lasting_lack_of_room_is_checked_from_time_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "RETRY_SECONDS", 0.0)
    able = Capacity()
    able.record([_no_room(_job(1))])
    able.again(idle=True)
    _take_one(able, _job(1))
    able.record([_no_room(_job(1))])
    able.committed([], ended=[UUID(int=1)])

    assert (able.is_sure, able.seconds_to_retry()) == (True, 0.0)
    assert able.again(idle=False)


def test_a_transaction_that_is_repeated_learns_the_same() -> None:
    able = Capacity()
    able.record([_no_room(_job(1))])
    able.again(idle=True)
    _take_one(able, _job(2))

    for _ in range(2):
        able.record([_no_room(_job(2))])

    assert able.is_sure


def test_formats_without_a_decoder_are_left_out() -> None:
    able = Capacity()
    film = _job(1, key=KEY.replace(".tif", ".mov"))

    able.record([Outcome(job=film, ending=Ending.DEFERRED, error="none", cause=DecoderMissing.__name__)])

    assert able.renderable == Renderable(without=(".mov",))
    assert not able.fits(1, film.original_key)
    assert able.is_left(film.original_key)
    assert able.fits(1, KEY)


@pytest.mark.parametrize(
    ("able", "wanted"),
    [
        (Renderable(), {"small.jpg", "large.jpg", "unknown.jpg", "film.mov"}),
        (Renderable(below_bytes=GIB), {"small.jpg", "film.mov"}),
        (Renderable(without=(".mov", ".m_v")), {"small.jpg", "large.jpg", "unknown.jpg"}),
        (Renderable(below_bytes=GIB, without=(".mov",)), {"small.jpg"}),
    ],
)
def test_a_claim_takes_what_can_be_rendered(catalog: Catalog, able: Renderable, wanted: set[str]) -> None:
    sizes = {"small.jpg": 1, "large.jpg": GIB, "unknown.jpg": None, "film.mov": 1}
    ids = queued(catalog, len(sizes))
    with catalog.write() as connection:
        for image_id, (name, size) in zip(ids, sizes.items(), strict=True):
            connection.execute(update(images).where(images.c.id == image_id).values(original_key=name, bytes=size))

        claims = claim(connection, limit=9, lease_seconds=60, max_attempts=3, renderable=able)

    assert {one.original_key for one in claims} == wanted


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES])
def test_an_original_without_room_is_not_fetched(tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(StoreSettings(url=f"file://{tmp_path / 'blobs'}"))
    store.create(KEY, bytes(10), content_type="image/tiff")

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", fail)
    monkeypatch.setattr(render_task, "chunks", lambda *_: pytest.fail("bytes were read"))

    with pytest.raises(NoRoom, match=os.strerror(number).lower()):
        fetch(store, KEY, size=10, directory=tmp_path, spool_from=5)


def test_a_file_system_that_cannot_reserve_space_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(StoreSettings(url=f"file://{tmp_path / 'blobs'}"))
    store.create(KEY, b"0123456789", content_type="image/tiff")

    def fail(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "posix_fallocate", fail)

    # The directory is gone, as after a cleaner of temporary files.
    read = fetch(store, KEY, size=10, directory=tmp_path / "gone", spool_from=5)

    assert bytes(read.data) == b"0123456789"  # type: ignore[arg-type]


@pytest.mark.parametrize("through_the_store", [True, False])
def test_a_process_without_file_descriptors_blames_no_image(
    tmp_path: Path, through_the_store: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = StoreSettings(url=f"file://{tmp_path / 'blobs'}")
    open_store(settings).create(KEY, bytes(10), content_type="image/tiff")

    def fail(*_: object, **_more: object) -> None:
        error = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        if not through_the_store:
            raise error
        raise StoreError("cannot be read") from error

    monkeypatch.setattr(render_task, "fetch", fail)
    order = WorkOrder(
        store=settings, recipe=Recipe(), lease_seconds=60, max_attempts=1, limits=Limits(), timeout_seconds=100
    )

    with pytest.raises(WorkerError, match="no file descriptors"):
        render_batch(Batch(jobs=(_job(1, size=10),), order=order))
