"""The ingest loop: its steps before the catalog is open, and its bounds."""

import time
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from threading import Event
from uuid import UUID

import pytest

from imgctl.errors import ImgctlError, StoreError
from imgctl.imaging.probe import Probe
from imgctl.keys import first_id, new_id, time_of
from imgctl.model import Status
from imgctl.ops.common.transactions import InProcess
from imgctl.ops.ingest.describe import Description
from imgctl.ops.ingest.loop import MOST_DUPLICATES, Ingest, IngestOrder
from imgctl.ops.ingest.original import Content, Prepared, new_row
from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.ops.ingest.queues import BATCH, MOST_PREPARED, MOST_PREPARED_BYTES
from imgctl.run.budgets import ByteBudget
from imgctl.store.catalog.engine import Catalog
from tests.ops.ingest.test_puts import Reached
from tests.store.catalog.rows import walk

USER = UUID(int=1)
NOW = time_of(first_id(time_of(UUID("0190b2b4-0000-7000-8000-000000000001"))))
SEEN = Probe(format="png", content_type="image/png", extension="png", width=1, height=1)
SECONDS = 30.0


class Reading:
    """Prepares originals from numbers, `size` bytes each, with equal content for equal numbers; a string is no image."""

    def __init__(self, size: int = 10) -> None:
        self.read = 0
        self.size = size

    def __call__(
        self, items: Sequence[int | str], budget: ByteBudget
    ) -> Iterator[Sequence[Prepared[int | str] | FileOutcome]]:
        for item in items:
            if isinstance(item, str):
                yield (FileOutcome(path=item, fate=Fate.SKIPPED, reason=Reason.NOT_AN_IMAGE),)
                continue
            budget.acquire(self.size)
            self.read += 1
            content = Content(
                sha256=sha256(str(item).encode()).digest(),
                size=self.size,
                probe=SEEN,
                description=Description(caption=None, taken_at=None),
            )
            row = new_row(new_id(NOW), USER, content, prefix="")
            yield (Prepared(source=item, path=str(item), row=row, body=bytes(self.size), held=self.size, started=0.0),)

    def reaches(self, count: int) -> int:
        """Wait until `count` are read; return how many are read a little later."""
        ends_at = time.monotonic() + SECONDS
        while self.read < count and time.monotonic() < ends_at:
            Event().wait(0.01)
        Event().wait(0.05)
        return self.read


def ingest(items: Sequence[int | str], reading: Reading, store: Reached, **more: int | bool) -> Ingest[int | str]:
    order = IngestOrder(**{"concurrency": 2, "memory_bytes": 64 * 2**20} | more)  # type: ignore[arg-type]
    return Ingest(iter(items), reading, order, store=store, stop=Event())


def test_originals_are_prepared_before_there_is_a_catalog(tmp_path: Path, catalog: Catalog) -> None:
    reading, store = Reading(), Reached(tmp_path)
    run = ingest(range(3), reading, store)

    run.start()

    assert reading.reaches(3) == 3
    run.bucket.result()
    assert store.times == 1
    assert [outcome.fate for outcome in run.outcomes(InProcess(catalog))] == [Fate.UPLOADED] * 3
    with catalog.read() as connection:
        assert [image.status for image in walk(connection)] == [Status.PROCESSING] * 3


@pytest.mark.parametrize("dry_run", [False, True])
def test_the_bucket_is_checked_only_if_there_is_an_image_to_put(
    tmp_path: Path, catalog: Catalog, *, dry_run: bool
) -> None:
    store = Reached(tmp_path)
    run = ingest([1, 2, "notes.txt"] if dry_run else ["notes.txt"], Reading(), store, dry_run=dry_run)

    run.start()
    outcomes = list(run.outcomes(InProcess(catalog)))

    assert [one.fate for one in outcomes if one.fate is not Fate.SKIPPED] == [Fate.PLANNED] * (2 * dry_run)
    assert store.times == 0


@pytest.mark.parametrize(("size", "most"), [(10, MOST_PREPARED), (MOST_PREPARED_BYTES // 4, 4)])
def test_reading_ahead_is_bounded_by_the_queue_of_prepared_images(tmp_path: Path, size: int, most: int) -> None:
    reading = Reading(size)
    run = ingest(range(2 * MOST_PREPARED), reading, Reached(tmp_path))

    run.start()

    # One more is prepared, and waits for room in the queue.
    assert reading.reaches(most + 1) == most + 1
    run.close()


def test_files_of_one_content_share_its_fate_however_many_there_are(tmp_path: Path, catalog: Catalog) -> None:
    run = ingest([7] * 3000, Reading(), Reached(tmp_path))

    run.start()
    fates = [outcome.fate for outcome in run.outcomes(InProcess(catalog))]

    assert (fates.count(Fate.UPLOADED), fates.count(Fate.PRESENT)) == (1, 2999)


def test_files_of_one_content_that_cannot_be_put_all_fail(tmp_path: Path, catalog: Catalog) -> None:
    reading = Reading()

    class Refusing(Reached):
        def create(self, key: str, body: bytes, *, content_type: str) -> None:
            del body, content_type
            # Wait until the most duplicates are in flight.
            reading.reaches(MOST_DUPLICATES + MOST_PREPARED)
            raise StoreError(f"{key}: refused")

    run = ingest([7] * 3000, reading, Refusing(tmp_path))

    run.start()

    assert [outcome.fate for outcome in run.outcomes(InProcess(catalog))] == [Fate.FAILED] * 3000


def test_outcomes_before_an_error_of_their_reader_are_reported(tmp_path: Path, catalog: Catalog) -> None:
    def reading(items: Sequence[int | str], _: ByteBudget) -> Iterator[Sequence[Prepared[int | str] | FileOutcome]]:
        for item in items:
            if item == "broken":
                raise ImgctlError("the source is gone")
            yield (FileOutcome(path=str(item), fate=Fate.FAILED, reason=Reason.SOURCE),)

    order = IngestOrder(concurrency=2, memory_bytes=2**20)
    run: Ingest[int | str] = Ingest(["a", "b", "broken"], reading, order, store=Reached(tmp_path), stop=Event())
    run.start()
    outcomes: list[FileOutcome] = []

    with pytest.raises(ImgctlError, match="gone"):
        outcomes.extend(run.outcomes(InProcess(catalog)))

    assert [one.path for one in outcomes] == ["a", "b"]


def test_a_reader_error_ends_the_run_after_the_puts_in_flight(tmp_path: Path, catalog: Catalog) -> None:
    def broken() -> Iterator[int | str]:
        yield from range(BATCH)
        raise ImgctlError("the list is torn")

    run: Ingest[int | str] = Ingest(
        broken(), Reading(), IngestOrder(concurrency=2, memory_bytes=2**20), store=Reached(tmp_path), stop=Event()
    )
    run.start()
    outcomes: list[FileOutcome] = []

    with pytest.raises(ImgctlError, match="torn"):
        outcomes.extend(run.outcomes(InProcess(catalog)))

    with catalog.read() as connection:
        assert all(image.status in (Status.PROCESSING, Status.UPLOADING) for image in walk(connection))
