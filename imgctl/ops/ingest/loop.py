"""The ingest loop: prepare → promise → put → confirm, each stage bounded.

    readers (threads)       this thread                    putters (threads)
    read, hash, probe ────▶ promise a batch ─────────────▶ put
                            confirm a batch ◀───────────── ended
                            yield outcomes

One transaction confirms the arrived images and promises the next ones. The images that queue up while it runs are the
next batch, so batches grow with the load and no timer is needed. Twice as many puts as ended during one transaction are
promised ahead, so that no put waits for a commit, even with a slow disk or a distant database.
"""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Generic, TypeAlias
from uuid import UUID

from imgctl.model import NewImage, Promised, Status
from imgctl.ops.common.retry import StopSignal, retry
from imgctl.ops.ingest.original import Prepared, S, as_promised
from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.ops.ingest.puts import BucketCheck, Putters
from imgctl.ops.ingest.queues import BATCH, Handover, Work
from imgctl.ops.ingest.readers import Read, Readers
from imgctl.run import service
from imgctl.run.budgets import ByteBudget
from imgctl.run.limits import Idleness, cores
from imgctl.run.telemetry import trace
from imgctl.store.blobs.base import BlobStore

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from imgctl.ops.common.transactions import Transactions
    from imgctl.ops.ingest.describe import Description

# The most files that wait for a put in flight because they have the same content.
MOST_DUPLICATES = 8 * BATCH
# One reader on a local disk saturates a network. More start where puts lack work and all threads wait: a slow NAS.
MOST_READERS = 16
# For larger files hashing takes longer than all other steps, and hashing releases the interpreter lock.
LARGE_BYTES = 2**20
_ERASED = "its image was erased; upload the photo again if it is wanted again"

Safe: TypeAlias = Sequence[tuple[Prepared[S], UUID]]


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestOrder:
    """Options of an ingest: puts in flight (0: adaptive), bytes in memory, bytes a second (0: no bound), image limit.

    `readers` is the number of reader threads (0: one, and more if puts lack work); each takes up to `chunk` items at a
    time. After a stop, promised images are left to the next run, unless `finish`. A dry run changes nothing.
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
    """Ingests the images that `read` prepares from `items`, a chunk at a time; outcomes among the items pass through.

    An endless iterable of items yields None when it has no more for now.

    `read` runs in threads, reserves the bytes of its images in the budget, and ends the run if it raises.
    `safe` is called with each image whose bytes are in the store, and its id.
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
        # Images in flight, with the files of the same content that wait for the result of the put.
        self._in_flight: dict[UUID, list[Prepared[S]]] = {}
        self._duplicates = 0
        self._left = order.limit
        self._idle = Idleness()

    def start(self) -> None:
        """Start the readers; they prepare a bounded number of images until the loop takes them."""
        for _ in range(self._order.readers or 1):
            self._read_more()

    def outcomes(self, catalog: "Transactions") -> Generator[FileOutcome]:
        """Promise, put and confirm; yields one outcome per item as soon as it is known.

        Starts no further image after `stop` is set. Raises the error that ends the run (no bucket, no permission, no
        space, store or database unreachable) after the puts in flight have ended.
        """
        try:
            while self._is_reading() or not self._handover.is_empty() or self._in_flight:
                service.alive()
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
        """Start no further image and end the threads; the next run confirms puts that arrive after this."""
        self._readers.stop()
        self._release(*self._handover.close())
        self._putters.close()
        self.bucket.join()
        self._readers.join()

    def _read_more(self) -> None:
        self._handover.reader_begins()
        self._readers.start()

    def _reader_helps(self, size: int) -> bool:
        """Whether one more reader helps with files of about this size: all wait for a disk, or a core can hash."""
        reading = self._handover.reading
        return reading < MOST_READERS and (self._idle.is_idle() or (size >= LARGE_BYTES and reading < cores()))

    def _is_reading(self) -> bool:
        # Checked before the queues: a reader that has ended has already offered everything.
        return self._handover.reading > 0 and not self._readers.stopped

    def _offer(self, items: Sequence[Prepared[S] | FileOutcome]) -> bool:
        for item in items:
            if isinstance(item, Prepared):
                if now := trace.clock():
                    item.note("read", now - int((time.monotonic() - item.started) * 1e9))
                if not self._order.dry_run:
                    self.bucket.begin(puts=True)
        return self._handover.offer(items)

    def _put_ended(self, prepared: Prepared[S], error: Exception | None) -> None:
        self._release(prepared)
        self._handover.put_ended(prepared, error)

    def _gather(self) -> Iterator[FileOutcome]:
        """Wait until a transaction may be due, or a while; yield the outcomes that need no transaction."""
        outcomes, failed = self._handover.wait()
        yield from outcomes
        for prepared, error in failed:
            image = prepared.row.id
            yield from (one.failed(error, image=image) for one in (prepared, *self._pop_duplicates(prepared)))

    def _transact(self, catalog: "Transactions") -> Iterator[FileOutcome]:
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
        settled += self._too_late(catalog, [one for one in work.arrived if one.row.id in erased])
        self._safe(safe)
        yield from filter(None, settled)

    def _write(self, catalog: "Transactions", work: Work[S]) -> tuple[list[Promised], set[UUID]]:
        """Write one transaction; return the new promises, and the ids of arrived images that were erased meanwhile."""
        rows = [one.row for one in work.prepared]
        if self._order.dry_run:
            return catalog.read(_contents, rows), set()
        described = {number: one.description for number, one in enumerate(work.prepared) if one.description is not None}
        return catalog.write(_write, [one.row for one in work.arrived], rows, described)

    def _promised(
        self,
        prepared: Prepared[S],
        row: Promised,
        safe: list[tuple[Prepared[S], UUID]],
        puts: list[Prepared[S]],
    ) -> FileOutcome | None:
        """Add a promised image to `puts`, or to the duplicates of one in flight; otherwise return its outcome."""
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
        image, duplicates = prepared.row.id, self._pop_duplicates(prepared)
        safe += ((one, image) for one in (prepared, *duplicates))
        yield prepared.outcome(Fate.UPLOADED, image=image)
        detail = f"same content as {prepared.path}"
        yield from (one.outcome(Fate.PRESENT, Reason.SAME_CONTENT, detail, image=image) for one in duplicates)

    def _too_late(self, catalog: "Transactions", every: Sequence[Prepared[S]]) -> Iterator[FileOutcome]:
        """Delete the blobs of images that were erased during their puts; yield the outcomes."""
        if not every:
            return
        from imgctl.ops.erase.late_puts import delete_late, erased_or_held

        keys = {one.row.id: one.row.original_key for one in every}
        kept = erased_or_held(catalog, keys, stop=self._stop)
        delete_late(self._store, [key for image, key in keys.items() if not kept.get(image)])
        for prepared in every:
            for one in (prepared, *self._pop_duplicates(prepared)):
                yield one.outcome(Fate.FAILED, Reason.ERASED, _ERASED, image=prepared.row.id)

    def _pop_duplicates(self, prepared: Prepared[S]) -> list[Prepared[S]]:
        """Remove an image from those in flight; return the files of the same content."""
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


def _contents(connection: "Connection", rows: Sequence[NewImage]) -> list[Promised]:
    from imgctl.store.catalog.queries.reservations import contents

    return contents(connection, rows)


def _write(
    connection: "Connection",
    arrived: Sequence[NewImage],
    rows: Sequence[NewImage],
    described: Mapping[int, "Description"],
) -> tuple[list[Promised], set[UUID]]:
    """Confirm `arrived` and promise `rows`; `described` has the metadata from beside those rows, by their position."""
    # Imported while files are being read: this import is the slowest step of the start.
    from imgctl.store.catalog.queries.reservations import keep, promise

    erased = keep(connection, arrived) if arrived else set()
    promised = promise(connection, rows) if rows else []
    _write_descriptions(connection, described, promised)
    return promised, erased


def _write_descriptions(
    connection: "Connection", described: Mapping[int, "Description"], promised: Sequence[Promised]
) -> None:
    """Write the sidecar metadata of copies whose image has a row already: the first copy may have had no sidecar."""
    copies = [(promised[number].id, one) for number, one in described.items() if not promised[number].created]
    if copies:
        from imgctl.store.catalog.queries.descriptions import SidecarMetadata, fill

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
