"""The bucket is checked once, before the first put; what was not put is reported."""

from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Semaphore, Thread
from threading import enumerate as enumerate_threads
from uuid import UUID

import pytest

from imgctl.errors import BucketMissing, StoreDenied, StoreUnavailable
from imgctl.imaging.probe import Probe
from imgctl.keys import new_id
from imgctl.ops.ingest.concurrency import FIRST_CONCURRENCY
from imgctl.ops.ingest.describe import Description
from imgctl.ops.ingest.original import Content, Prepared, new_row
from imgctl.ops.ingest.outcome import Reason
from imgctl.ops.ingest.puts import BucketCheck, Putters
from imgctl.ops.ingest.queues import BATCH
from imgctl.store.blobs.local import LocalStore
from imgctl.store.blobs.traits import Kept

PNG = Probe(format="png", content_type="image/png", extension="png", width=1, height=1)


class Reached(LocalStore):
    """A directory store that counts the checks for its bucket and of put-if-absent, and may fail them."""

    def __init__(self, root: Path, refusal: Exception | None = None, untested: Exception | None = None) -> None:
        super().__init__(root)
        self.times = self.tests = 0
        self._refusal, self._untested = refusal, untested

    def test_put_if_absent(self, key: str = "") -> Kept:
        self.tests += 1
        if self._untested is not None:
            raise self._untested
        return super().test_put_if_absent(key)

    def reach(self) -> None:
        self.times += 1
        if self._refusal is not None:
            raise self._refusal


def test_a_missing_bucket_is_reported_each_time(tmp_path: Path) -> None:
    store = Reached(tmp_path, BucketMissing("there is no bucket"))
    bucket = BucketCheck(store)

    for _ in range(2):
        with pytest.raises(BucketMissing):
            bucket.result()
    bucket.join()

    assert (store.times, store.tests) == (1, 0)


def test_credentials_without_listing_may_still_put(tmp_path: Path) -> None:
    store = Reached(tmp_path, StoreDenied("not allowed to list"))

    BucketCheck(store).result()

    assert store.times == 1


@pytest.mark.parametrize("untested", [None, StoreDenied("not allowed to put"), StoreUnavailable("timed out")])
def test_put_if_absent_is_tested_before_the_first_put(tmp_path: Path, untested: Exception | None) -> None:
    store = Reached(tmp_path, untested=untested)
    bucket = BucketCheck(store)

    # An error of the test is left to the puts, which test again.
    bucket.begin(puts=True)
    bucket.result()
    bucket.join()

    assert (store.times, store.tests) == (1, 1)


def test_a_check_may_begin_while_the_run_ends(tmp_path: Path) -> None:
    store = Reached(tmp_path)

    for _ in range(200):
        bucket = BucketCheck(store)
        reader = Thread(target=bucket.begin)
        reader.start()
        bucket.join()
        reader.join()
        bucket.result()

    assert store.times == 200


def test_without_puts_the_check_is_one_listing(tmp_path: Path) -> None:
    store = Reached(tmp_path)
    bucket = BucketCheck(store)

    bucket.result()
    bucket.join()

    assert (store.times, store.tests) == (1, 0)


def test_a_check_that_never_began_is_not_waited_for(tmp_path: Path) -> None:
    store = Reached(tmp_path)

    BucketCheck(store).join()

    assert (store.times, store.tests) == (0, 0)


def test_what_a_stopped_run_did_not_put_is_said_to_be_not_tried(tmp_path: Path) -> None:
    stop, ended = Event(), SimpleQueue[tuple[Prepared[str], Exception | None]]()
    stop.set()
    content = Content(sha256=b"s" * 32, size=1, probe=PNG, description=Description(caption=None, taken_at=None))
    row = new_row(new_id(datetime.now(UTC)), UUID(int=1), content, prefix="")
    prepared = Prepared(source="a.png", path="a.png", row=row, body=b"x", started=0.0)
    putters = Putters[str](
        LocalStore(tmp_path), concurrency=1, rate_bytes=0, stop=stop, ended=lambda *one: ended.put(one)
    )

    putters.submit([prepared])
    _, error = ended.get(timeout=60)
    putters.close()

    assert error is not None
    outcome = prepared.failed(error, image=row.id)
    assert (outcome.reason, outcome.detail) == (Reason.NOT_TRIED, "the run ended before; run the same command again")


class Slow(LocalStore):
    """A directory store whose puts write nothing, and wait until `go` is released."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.go = Semaphore(0)

    def create(self, key: str, body: bytes, *, content_type: str) -> None:
        self.go.acquire()


def _prepared() -> Prepared[str]:
    content = Content(sha256=b"s" * 32, size=1, probe=PNG, description=Description(caption=None, taken_at=None))
    row = new_row(new_id(datetime.now(UTC)), UUID(int=1), content, prefix="")
    return Prepared(source="a.png", path="a.png", row=row, body=b"x", started=0.0)


def _putting() -> int:
    return sum(one.name == "imgctl put" for one in enumerate_threads())


def test_no_put_begins_beyond_a_limit_that_a_throttling_store_lowered(tmp_path: Path) -> None:
    store, ended = Slow(tmp_path), SimpleQueue[object]()
    putters = Putters[str](store, concurrency=0, rate_bytes=0, stop=Event(), ended=lambda one, _: ended.put(one))
    putters.submit([_prepared() for _ in range(FIRST_CONCURRENCY)])
    before = _putting()
    # As after pushbacks; the puts beyond it are still in flight.
    putters.limit = FIRST_CONCURRENCY // 2

    putters.submit([_prepared() for _ in range(BATCH)])

    assert _putting() == before
    store.go.release(FIRST_CONCURRENCY + BATCH)
    for _ in range(FIRST_CONCURRENCY + BATCH):
        ended.get(timeout=60)
    putters.close()
