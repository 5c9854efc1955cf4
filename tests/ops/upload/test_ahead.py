"""What an upload does before its catalog is open, and what it waits for."""

from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from threading import Event
from uuid import UUID

import pytest

from imgctl.config import WorkSettings
from imgctl.errors import BucketMissing, StoreDenied
from imgctl.ops.ingest.recognise import Recogniser
from imgctl.ops.ingest.sidecar import SidecarFiles
from imgctl.ops.upload.ahead import Ahead, Bucket
from imgctl.ops.upload.journal import Entry, Journal
from imgctl.ops.upload.known import Known
from imgctl.ops.upload.order import UploadOrder
from imgctl.ops.upload.prepare import Prepared
from imgctl.ops.upload.readers import Read, ReaderEnded
from imgctl.ops.upload.walk import Found
from imgctl.store.blobs.base import Blob
from imgctl.store.blobs.local import LocalStore
from tests.imaging.pictures import encoded, quadrants

ORDER = UploadOrder(concurrency=2, memory_bytes=2**20)
SECONDS = 30.0
RECOGNISER = Recogniser(WorkSettings())


class Asked(LocalStore):
    """A directory that counts how often it is listed, and may refuse that."""

    def __init__(self, root: Path, refusal: Exception | None = None) -> None:
        super().__init__(root)
        self.times = 0
        self._refusal = refusal

    def scan(self, *, prefix: str = "", after: str = "", until: str = "") -> Iterator[Blob]:
        self.times += 1
        if self._refusal is not None:
            raise self._refusal
        return super().scan(prefix=prefix, after=after, until=until)


@pytest.fixture
def photos(tmp_path: Path) -> list[Found]:
    found = []
    for number in range(3):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(encoded(quadrants(64 + number, 48), "JPEG"))
        known = path.stat()
        found.append(Found(path=str(path), size=known.st_size, mtime_ns=known.st_mtime_ns, inode=known.st_ino))
    return found


def test_photos_are_read_before_there_is_a_catalog(tmp_path: Path, photos: list[Found]) -> None:
    store = Asked(tmp_path / "store")
    known = Known(Journal(tmp_path / "journal.db"), "file://", Event())

    ahead = Ahead(iter(photos), ORDER, store=store, known=known, sidecars=SidecarFiles(), recogniser=RECOGNISER)

    read = _until_the_end(ahead)
    assert [one.found for one in read if isinstance(one, Prepared)] == photos
    assert read[-1] == ReaderEnded(None)
    ahead.bucket.expect()
    assert store.times == 1


@pytest.mark.parametrize("dry_run", [False, True])
def test_the_bucket_is_asked_for_an_image_only(tmp_path: Path, photos: list[Found], *, dry_run: bool) -> None:
    note = tmp_path / "note.txt"
    note.write_text("no picture")
    other = Found(path=str(note), size=10, mtime_ns=note.stat().st_mtime_ns, inode=1)
    store = Asked(tmp_path / "store")
    order = UploadOrder(concurrency=2, memory_bytes=2**20, dry_run=dry_run)

    ahead = Ahead(
        iter([*photos, other] if dry_run else [other]),
        order,
        store=store,
        known=_forgetful(),
        sidecars=SidecarFiles(),
        recogniser=RECOGNISER,
    )

    assert _until_the_end(ahead)
    assert store.times == 0


def test_what_is_remembered_waits_for_the_catalog(tmp_path: Path, photos: list[Found]) -> None:
    journal = Journal(tmp_path / "journal.db")
    old = Found(path="/elsewhere.jpg", size=1, mtime_ns=1, inode=1)
    journal.record(b"anything", [Entry(found=old, sha256=b"s" * 32, image=UUID(int=1))])
    known = Known(journal, "file://", Event())

    ahead = Ahead(
        iter(photos),
        ORDER,
        store=LocalStore(tmp_path / "store"),
        known=known,
        sidecars=SidecarFiles(),
        recogniser=RECOGNISER,
    )
    known.abandon()

    (ended,) = _until_the_end(ahead)
    assert isinstance(ended, ReaderEnded)
    assert isinstance(ended.error, CancelledError)


def test_no_more_is_read_ahead_than_the_first_puts_need(tmp_path: Path, photos: list[Found]) -> None:
    ahead = Ahead(
        iter(photos * 4),
        ORDER,
        store=LocalStore(tmp_path / "store"),
        known=_forgetful(),
        sidecars=SidecarFiles(),
        recogniser=RECOGNISER,
    )

    read = ahead.events.take(enough=ORDER.first_window, seconds=SECONDS)
    more = ahead.events.take(enough=1, seconds=0.05)
    ahead.readers.widen(ORDER.window)

    assert (len(read), more) == (ORDER.first_window, [])
    assert len(_until_the_end(ahead)) == len(photos) * 4 - ORDER.first_window + 1


def test_a_bucket_that_is_missing_is_told_each_time(tmp_path: Path) -> None:
    store = Asked(tmp_path, BucketMissing("there is no bucket"))
    bucket = Bucket(store)

    for _ in range(2):
        with pytest.raises(BucketMissing):
            bucket.expect()

    assert store.times == 1


def test_who_may_not_list_may_still_put(tmp_path: Path) -> None:
    Bucket(Asked(tmp_path, StoreDenied("not allowed to list"))).expect()


def _forgetful() -> Known:
    return Known(None, "file://", Event())


def _until_the_end(ahead: Ahead) -> list[Read]:
    read: list[Read] = []
    while not any(isinstance(one, ReaderEnded) for one in read):
        some = ahead.events.take(enough=1, seconds=SECONDS)
        assert some, "the reader says nothing"
        read += some  # type: ignore[arg-type]  # nothing is put here
    return read
