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
from threading import Condition, Event, Lock
from typing import TYPE_CHECKING, Generic, TypeAlias
from uuid import UUID

from imgctl.errors import BucketMissing, StoreDenied, StoreFull, StoreUnavailable
from imgctl.model import Promised, Status
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

BATCH = 128
"""How many images are worth a transaction; one takes all there are."""
MOST_PREPARED = 4 * BATCH
MOST_PREPARED_BYTES = 16 * 2**20
FEWEST_AHEAD = 8
# Files of a content that is in flight already wait for its fate; no more of them.
MOST_DUPLICATES = 8 * BATCH
# How soon a stop is noticed where nothing else happens.
IDLE_SECONDS = 1.0
MOST_OUTCOMES = 2 * BATCH
# One reader feeds a network from a local disk; where the puts run dry and all wait, as behind a slow NAS, more are started.
MOST_READERS = 16
# A larger file takes longer to hash than all else takes, and hashing needs no interpreter lock.
LARGE_BYTES = 2**20
_ERASED = "its image was erased; upload the photo again if it is wanted again"
ENDS_THE_RUN = (StoreDenied, BucketMissing, StoreFull)

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
        self.error: Exception | None = None
        self.bucket = BucketCheck(store)
        self._order = order
        self._store = store
        self._stop = stop
        self._safe = safe
        self._budget = ByteBudget(order.memory_bytes)
        self._readers = Readers(
            items, read, self._budget, offer=self._offer, ended=self._reader_ended, largest_chunk=order.chunk
        )
        self._putters: Putters[S] = Putters(
            store,
            concurrency=order.concurrency,
            rate_bytes=order.rate_bytes,
            stop=Event() if order.finish else stop,
            ended=self._put_ended,
        )
        # Images in flight, with the files of the same content that wait for their fate.
        self._in_flight: dict[UUID, list[Prepared[S]]] = {}
        self._duplicates = 0
        self._failures_in_a_row = 0
        self._left = order.limit
        # What the threads hand over, under one lock: the loop waits for enough of it, readers for room.
        lock = Lock()
        self._enough, self._room = Condition(lock), Condition(lock)
        self._outcomes: list[FileOutcome] = []
        self._prepared: list[Prepared[S]] = []
        self._prepared_bytes = 0
        self._arrived: list[Prepared[S]] = []
        self._failed: list[tuple[Prepared[S], Exception]] = []
        self._putting = 0
        self._ahead = FEWEST_AHEAD
        self._reading = 0
        self._idle = Idleness()
        self._reader_news = False
        self._closed = False

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
            while self._is_reading() or self._prepared or self._outcomes or self._in_flight:
                yield from self._gather()
                if self.error or self._left == 0 or self._stop.is_set():
                    self._readers.stop()
                    self._drop_prepared()
                if self._is_due():
                    yield from self._transact(catalog)
        finally:
            self.close()
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Begin nothing new and end the threads; what arrives after this is confirmed by the next run."""
        self._readers.stop()
        with self._room:
            self._closed = True
            self._room.notify_all()
        self._drop_prepared()
        self._putters.close()
        self._readers.join()

    def _read_more(self) -> None:
        with self._enough:
            self._reading += 1
        self._readers.start()

    def _reader_helps(self, size: int) -> bool:
        """Whether one reader more reads sooner files of about this size: all wait for a disk, or cores are free for hashing."""
        if self._reading >= MOST_READERS:
            return False
        return self._idle.is_idle() or (size >= LARGE_BYTES and self._reading < cores())

    def _is_reading(self) -> bool:
        # Read before what it leaves: who ends has offered all he had.
        return self._reading > 0 and not self._readers.stopped

    # --- what the threads call

    def _offer(self, item: Prepared[S] | FileOutcome) -> bool:
        """Take what a reader made; blocks while a batch waits. False once nothing is wanted."""
        if isinstance(item, Prepared):
            if now := trace.clock():
                item.note("read", now - int((time.monotonic() - item.started) * 1e9))
            if not self._order.dry_run:
                self.bucket.begin()
        with self._room:
            self._room.wait_for(lambda: self._closed or not self._is_full())
            if self._closed:
                return False
            if isinstance(item, FileOutcome):
                self._outcomes.append(item)
            else:
                self._prepared.append(item)
                self._prepared_bytes += item.held
            if self._has_enough():
                self._enough.notify()
        return True

    def _reader_ended(self, error: Exception | None) -> None:
        with self._enough:
            self._reading -= 1
            self._reader_news = True
            self._give_up(error)
            self._enough.notify()

    def _put_ended(self, prepared: Prepared[S], error: Exception | None) -> None:
        self._release(prepared)
        with self._enough:
            self._putting -= 1
            if error is None:
                self._arrived.append(prepared)
                self._failures_in_a_row = 0
            else:
                self._failed.append((prepared, error))
                self._failures_in_a_row += isinstance(error, StoreUnavailable)
                if isinstance(error, ENDS_THE_RUN) or self._failures_in_a_row > self._putters.limit:
                    self._give_up(error)
            if self._has_enough():
                self._enough.notify()

    def _is_full(self) -> bool:
        return (
            len(self._prepared) >= MOST_PREPARED
            or self._prepared_bytes >= MOST_PREPARED_BYTES
            or len(self._outcomes) >= MOST_OUTCOMES
        )

    def _is_batch(self) -> bool:
        return len(self._prepared) >= BATCH or self._prepared_bytes >= MOST_PREPARED_BYTES

    def _has_enough(self) -> bool:
        return self._reader_news or bool(self._failed) or len(self._outcomes) >= BATCH or self._is_due()

    def _is_due(self) -> bool:
        """Whether a transaction is worth its commit now: a batch is full, or somebody would wait for it."""
        limit = self._putters.limit
        if len(self._arrived) >= BATCH or (self._arrived and not self._putting):
            return True
        if not self._prepared or self._duplicates >= MOST_DUPLICATES:
            return False
        return self._putting < (limit + self._ahead if self._is_batch() else limit / 2)

    # --- the loop

    def _gather(self) -> Iterator[FileOutcome]:
        """Wait until something may be due, or a while; yield what is settled without a transaction."""
        with self._enough:
            self._enough.wait_for(self._has_enough, IDLE_SECONDS)
            outcomes, self._outcomes = self._outcomes, []
            failed, self._failed = self._failed, []
            self._reader_news = False
            self._room.notify_all()
        yield from outcomes
        for prepared, error in failed:
            image = prepared.row.id
            yield from (one.failed(error, image=image) for one in (prepared, *self._landed(prepared)))

    def _transact(self, catalog: "Catalog") -> Iterator[FileOutcome]:
        with self._room:
            arrived, self._arrived = self._arrived, []
            wanted = max(0, self._putters.limit + self._ahead + BATCH - self._putting)
            prepared = self._prepared[: wanted if self._left is None else min(wanted, self._left)]
            del self._prepared[: len(prepared)]
            held = sum(one.held for one in prepared)
            self._prepared_bytes -= held
            starved = self._putting < self._putters.limit / 2 and len(prepared) < BATCH
            self._room.notify_all()
        if prepared and not self._order.dry_run:
            self.bucket.result()
        began = trace.clock()
        promised, erased = retry(lambda: self._write(catalog, arrived, prepared), stop=self._stop)
        if began:
            for stage, some in (("promise", prepared), ("confirm", arrived)):
                for one in some:
                    one.note(stage, began)
        with self._room:
            self._ahead = max(FEWEST_AHEAD, 2 * len(self._arrived))
        if prepared and starved and not self._order.readers and self._reader_helps(held // len(prepared)):
            self._read_more()
        safe: list[tuple[Prepared[S], UUID]] = []
        puts: list[Prepared[S]] = []
        settled = [self._promised(one, row, safe, puts) for one, row in zip(prepared, promised, strict=True)]
        with self._enough:
            self._putting += len(puts)
        self._putters.submit(puts)
        settled += [outcome for one in arrived if one.row.id not in erased for outcome in self._confirmed(one, safe)]
        settled += [outcome for one in arrived if one.row.id in erased for outcome in self._too_late(one)]
        self._safe(safe)
        yield from filter(None, settled)

    def _write(
        self, catalog: "Catalog", arrived: list[Prepared[S]], prepared: list[Prepared[S]]
    ) -> tuple[list[Promised], set[UUID]]:
        """The promises of what comes next, and those of the `arrived` that were erased meanwhile."""
        from imgctl.store.catalog.reservations import contents, keep, promise

        rows = [one.row for one in prepared]
        if self._order.dry_run:
            with catalog.read() as connection:
                return contents(connection, rows), set()
        with catalog.write() as connection:
            erased = keep(connection, [one.row for one in arrived]) if arrived else set()
            promised = promise(connection, rows) if rows else []
            _tell(connection, prepared, promised)
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
            self._duplicates += 1
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
        self._duplicates -= len(duplicates)
        return duplicates

    def _give_up(self, error: Exception | None) -> None:
        if error is not None and self.error is None:
            self.error = error
            self._putters.give_up()

    def _drop_prepared(self) -> None:
        with self._room:
            dropped, self._prepared, self._prepared_bytes = self._prepared, [], 0
        for prepared in dropped:
            self._release(prepared)

    def _release(self, prepared: Prepared[S]) -> None:
        prepared.let_go()
        self._budget.release(prepared.held)


def _tell(connection: "Connection", prepared: Iterable[Prepared[S]], promised: Iterable[Promised]) -> None:
    """Write what lies beside a copy of an image that has a row already: an album's may, and the first copy may lie alone."""
    pairs = zip(prepared, promised, strict=True)
    copies = [(row.id, one.said) for one, row in pairs if one.said is not None and not row.created]
    if copies:
        from imgctl.store.catalog.details import Told, tell

        tell(
            connection,
            (
                Told(id=image, caption=said.caption, taken_at=said.taken_at, taken_alone=said.taken_alone)
                for image, said in copies
            ),
        )
