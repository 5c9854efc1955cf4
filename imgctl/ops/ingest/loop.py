"""The one loop that takes images in: prepare → promise → put → confirm, each stage bounded.

    readers (threads)       this thread                    putters (threads)
    read, hash, probe ────▶ promise a batch ─────────────▶ put
                            confirm a batch ◀───────────── ended
                            yield outcomes

One transaction confirms what has arrived and promises what comes next. Whatever gathers while it runs is the next
batch, so batches grow with the load and no timer is needed. As many puts as ended while one transaction ran, and as many
again, are promised ahead: on a slow disk or a distant database too no put waits for a commit.
"""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Generic, TypeAlias
from uuid import UUID

from imgctl.model import Promised, Status
from imgctl.ops.ingest.handover import BATCH, Handover, Work
from imgctl.ops.ingest.original import Prepared, S, as_promised
from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.ops.ingest.puts import BucketCheck, Putters
from imgctl.ops.ingest.readers import Read, Readers
from imgctl.ops.retry import StopSignal, retry
from imgctl.run import trace
from imgctl.run.limits import Idleness, cores
from imgctl.run.window import ByteBudget
from imgctl.store.blobs.base import BlobStore

if TYPE_CHECKING:
    # Imported while files are being read: it takes longer than all else at the start.
    from sqlalchemy import Connection

    from imgctl.store.catalog.engine import Catalog

# Files of a content that is in flight already wait for its fate; no more of them.
MOST_DUPLICATES = 8 * BATCH
# One reader feeds a network from a local disk; where the puts run dry and all wait, as behind a slow NAS, more are started.
MOST_READERS = 16
# A larger file takes longer to hash than all else takes, and hashing needs no interpreter lock.
LARGE_BYTES = 2**20
_ERASED = "its image was erased; upload the photo again if it is wanted again"

Safe: TypeAlias = Sequence[tuple[Prepared[S], UUID]]


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestOrder:
    """How to take images in: puts in flight (0: adaptive), bytes held at once, bytes a second (0: no bound), how many.

    As many `readers` (0: one, and more where the puts run dry), each of which takes up to `chunk` items. After a stop
    what is promised waits for the next run, unless `finish`. A dry run changes nothing.
    """

    concurrency: int
    readers: int = 0
    chunk: int = 256
    memory_bytes: int
    rate_bytes: int = 0
    limit: int | None = None
    finish: bool = False
    dry_run: bool = False


class Ingest(Generic[S]):
    """Takes in what `read` makes of the `items`, a chunk of them at a time; outcomes among the items pass through.

    An endless source of items gives None where it has no more for now.

    `read` runs in threads, holds the bytes of what it yields in the budget, and ends the run with what it raises.
    `safe` is told of each image whose bytes are in the store, with its id.
    """

    def __init__(
        self,
        items: Iterable[S | FileOutcome | None],
        read: Read[S],
        order: IngestOrder,
        *,
        store: BlobStore,
        stop: StopSignal,
        safe: Callable[[Safe[S]], None] = lambda _: None,
    ) -> None:
        self.bucket = BucketCheck(store)
        self._order = order
        self._store = store
        self._stop = stop
        self._safe = safe
        self._budget = ByteBudget(order.memory_bytes)
        putters: Putters[S] = Putters(
            store,
            concurrency=order.concurrency,
            rate_bytes=order.rate_bytes,
            stop=Event() if order.finish else stop,
            ended=self._put_ended,
        )
        self._putters, self._handover = putters, Handover(putters)
        self._readers = Readers(
            items,
            read,
            self._budget,
            offer=self._offer,
            ended=self._handover.reader_ended,
            largest_chunk=order.chunk,
        )
        # Images in flight, with the files of the same content that wait for their fate.
        self._in_flight: dict[UUID, list[Prepared[S]]] = {}
        self._duplicates = 0
        self._left = order.limit
        self._idle = Idleness()

    def start(self) -> None:
        """Begin to read; a batch at most is prepared until the loop takes it."""
        for _ in range(self._order.readers or 1):
            self._read_more()

    def outcomes(self, catalog: "Catalog") -> Generator[FileOutcome]:
        """Promise, put and confirm; yields one outcome an item as soon as it is settled.

        When `stop` is set no further image is begun. Raises what ends a whole run (no bucket, no permission, no space,
        no answer, no database), after what was in flight has been settled.
        """
        try:
            while self._is_reading() or not self._handover.is_empty() or self._in_flight:
                yield from self._gather()
                if self._handover.error or self._left == 0 or self._stop.is_set():
                    self._readers.stop()
                    self._release(*self._handover.drop())
                if self._handover.is_due():
                    yield from self._transact(catalog)
        finally:
            self.close()
        if self._handover.error is not None:
            raise self._handover.error

    def close(self) -> None:
        """Begin nothing new and end the threads; what arrives after this is confirmed by the next run."""
        self._readers.stop()
        self._release(*self._handover.close())
        self._putters.close()
        self._readers.join()

    def _read_more(self) -> None:
        self._handover.reader_begins()
        self._readers.start()

    def _reader_helps(self, size: int) -> bool:
        """Whether one reader more reads sooner files of about this size: all wait for a disk, or cores are free for hashing."""
        reading = self._handover.reading
        return reading < MOST_READERS and (self._idle.is_idle() or (size >= LARGE_BYTES and reading < cores()))

    def _is_reading(self) -> bool:
        # Read before what it leaves: who ends has offered all he had.
        return self._handover.reading > 0 and not self._readers.stopped

    def _offer(self, item: Prepared[S] | FileOutcome) -> bool:
        if isinstance(item, Prepared):
            if now := trace.clock():
                item.note("read", now - int((time.monotonic() - item.started) * 1e9))
            if not self._order.dry_run:
                self.bucket.begin()
        return self._handover.offer(item)

    def _put_ended(self, prepared: Prepared[S], error: Exception | None) -> None:
        self._release(prepared)
        self._handover.put_ended(prepared, error)

    def _gather(self) -> Iterator[FileOutcome]:
        """Wait until something may be due, or a while; yield what is settled without a transaction."""
        outcomes, failed = self._handover.wait()
        yield from outcomes
        for prepared, error in failed:
            image = prepared.row.id
            yield from (one.failed(error, image=image) for one in (prepared, *self._landed(prepared)))

    def _transact(self, catalog: "Catalog") -> Iterator[FileOutcome]:
        work = self._handover.take(self._left)
        if work.prepared and not self._order.dry_run:
            self.bucket.result()
        began = trace.clock()
        promised, erased = retry(lambda: self._write(catalog, work), stop=self._stop)
        if began:
            for stage, some in (("promise", work.prepared), ("confirm", work.arrived)):
                for one in some:
                    one.note(stage, began)
        if work.prepared and work.starved and not self._order.readers:
            held = sum(one.held for one in work.prepared)
            if self._reader_helps(held // len(work.prepared)):
                self._read_more()
        safe: list[tuple[Prepared[S], UUID]] = []
        puts: list[Prepared[S]] = []
        settled = [self._promised(one, row, safe, puts) for one, row in zip(work.prepared, promised, strict=True)]
        self._handover.submit(puts)
        settled += [
            outcome for one in work.arrived if one.row.id not in erased for outcome in self._confirmed(one, safe)
        ]
        settled += [outcome for one in work.arrived if one.row.id in erased for outcome in self._too_late(one)]
        self._safe(safe)
        yield from filter(None, settled)

    def _write(self, catalog: "Catalog", work: Work[S]) -> tuple[list[Promised], set[UUID]]:
        """The promises of what comes next, and those of the `arrived` that were erased meanwhile."""
        from imgctl.store.catalog.reservations import contents, keep, promise

        rows = [one.row for one in work.prepared]
        if self._order.dry_run:
            with catalog.read() as connection:
                return contents(connection, rows), set()
        with catalog.write() as connection:
            erased = keep(connection, [one.row for one in work.arrived]) if work.arrived else set()
            promised = promise(connection, rows) if rows else []
            _write_descriptions(connection, work.prepared, promised)
            return promised, erased

    def _promised(
        self,
        prepared: Prepared[S],
        row: Promised,
        safe: list[tuple[Prepared[S], UUID]],
        puts: list[Prepared[S]],
    ) -> FileOutcome | None:
        """Add a promise to the `puts`; an outcome where there is nothing to put."""
        if row.erased:
            self._release(prepared)
            return prepared.outcome(Fate.FAILED, Reason.ERASED, _ERASED, image=row.id)
        if row.status is not Status.UPLOADING:
            self._release(prepared)
            safe.append((prepared, row.id))
            return prepared.outcome(Fate.PRESENT, Reason.ALREADY_THERE, f"{row.status} as {row.id}", image=row.id)
        if row.id in self._in_flight:
            self._release(prepared)
            self._in_flight[row.id].append(prepared)
            self._count_duplicates(1)
            return None
        if self._left is not None:
            self._left -= 1
        if self._order.dry_run:
            self._release(prepared)
            return prepared.outcome(Fate.PLANNED)
        prepared.row = as_promised(prepared.row, row)
        self._in_flight[row.id] = []
        puts.append(prepared)
        return None

    def _confirmed(self, prepared: Prepared[S], safe: list[tuple[Prepared[S], UUID]]) -> Iterator[FileOutcome]:
        image, duplicates = prepared.row.id, self._landed(prepared)
        safe += ((one, image) for one in (prepared, *duplicates))
        yield prepared.outcome(Fate.UPLOADED, image=image)
        detail = f"same content as {prepared.path}"
        yield from (one.outcome(Fate.PRESENT, Reason.SAME_CONTENT, detail, image=image) for one in duplicates)

    def _too_late(self, prepared: Prepared[S]) -> Iterator[FileOutcome]:
        """What was erased while it was put is deleted again."""
        from imgctl.ops.erase.late import delete_late

        delete_late(self._store, [prepared.row.original_key])
        for one in (prepared, *self._landed(prepared)):
            yield one.outcome(Fate.FAILED, Reason.ERASED, _ERASED, image=prepared.row.id)

    def _landed(self, prepared: Prepared[S]) -> list[Prepared[S]]:
        duplicates = self._in_flight.pop(prepared.row.id)
        self._count_duplicates(-len(duplicates))
        return duplicates

    def _count_duplicates(self, more: int) -> None:
        self._duplicates += more
        self._handover.paused = self._duplicates >= MOST_DUPLICATES

    def _release(self, *done: Prepared[S]) -> None:
        for prepared in done:
            prepared.let_go()
            self._budget.release(prepared.held)


def _write_descriptions(
    connection: "Connection", prepared: Iterable[Prepared[S]], promised: Iterable[Promised]
) -> None:
    """Write what lies beside a copy of an image that has a row already: an album's may, and the first copy may lie alone."""
    pairs = zip(prepared, promised, strict=True)
    copies = [(row.id, one.description) for one, row in pairs if one.description is not None and not row.created]
    if copies:
        from imgctl.store.catalog.details import SidecarMetadata, fill

        fill(
            connection,
            (
                SidecarMetadata(
                    id=image,
                    caption=description.caption,
                    taken_at=description.taken_at,
                    taken_alone=description.taken_alone,
                )
                for image, description in copies
            ),
        )
