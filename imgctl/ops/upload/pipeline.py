"""The upload pipeline: walk → read, hash, probe → promise → put → confirm, each stage bounded.

    readers (threads)          this thread                    putters (threads)
    walk, read, hash, probe ─▶ promise a batch ─────────────▶ put
                               confirm a batch ◀───────────── ended
                               yield outcomes

One transaction confirms what has arrived and promises what comes next. Whatever gathers while it runs is the next
batch, so batches grow with the load and no timer is needed.
"""

from collections.abc import Generator, Iterator
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from imgctl.errors import BlobCorrupt, BucketMissing, StoreDenied, StoreFull, StoreUnavailable
from imgctl.model import NewImage, Promised, Status
from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.ops.retry import StopSignal, retry
from imgctl.ops.upload.ahead import Ahead
from imgctl.ops.upload.journal import Entry
from imgctl.ops.upload.order import BATCH, UploadOrder
from imgctl.ops.upload.prepare import STREAM_ABOVE, Prepared
from imgctl.ops.upload.puts import Put, Putters
from imgctl.ops.upload.readers import Read
from imgctl.ops.upload.rows import kept_row, line, new_row, settled

if TYPE_CHECKING:
    # Imported while files are being read: it takes longer than all else at the start.
    from imgctl.store.catalog.engine import Catalog

BATCH_BYTES = 16 * 2**20
# Read so far ahead of the puts and no further: memory that is not needed is slower than memory that is reused.
AHEAD_BYTES = 16 * 2**20
FLYING_AND_SOME = 1.25
# How soon a stop is noticed where nothing else happens.
IDLE_SECONDS = 1.0
HOPELESS = (StoreDenied, BucketMissing, StoreFull)


def upload(ahead: Ahead, order: UploadOrder, *, catalog: "Catalog", stop: StopSignal) -> Generator[FileOutcome]:
    """Upload every image that is read `ahead`; yields one outcome a file as soon as it is settled.

    When `stop` is set no further file is begun. Raises what ends a whole run (no bucket, no permission, no space, no
    answer, no database), after what was in flight has been settled.
    """
    run = _Run(ahead, order, catalog, stop)
    try:
        yield from run.outcomes()
    finally:
        run.close()
    if run.hopeless is not None:
        raise run.hopeless


class _Run:
    """One upload: what is prepared, what flies and what has arrived, all owned by the thread that iterates."""

    def __init__(self, ahead: Ahead, order: UploadOrder, catalog: "Catalog", stop: StopSignal) -> None:
        self.hopeless: Exception | None = None
        self._order = order
        self._catalog = catalog
        self._known = ahead.known
        self._stop = stop
        self._events = ahead.events
        self._readers = ahead.readers
        self._readers.widen(order.window - order.first_window)
        self._bucket = ahead.bucket
        self._putters = Putters(ahead.store, order, stop=stop, done=self._put_ended)
        self._prepared: list[Prepared] = []
        self._prepared_bytes = 0
        self._arrived: list[Put] = []
        # Every image on its way, with the files of the same content that wait for its fate.
        self._flying: dict[UUID, list[Prepared]] = {}
        # How many puts are queued or under way.
        self._aloft = 0
        # Files whose fate is known, of which the readers have not been told.
        self._settled = 0
        self._failures_in_a_row = 0
        self._left = order.limit
        self._begun = False

    def outcomes(self) -> Iterator[FileOutcome]:
        while self._readers.busy or self._prepared or self._flying:
            if self._readers.busy or self._aloft:
                yield from self._take()
            if self.hopeless or self._left == 0 or self._stop.is_set():
                self._stop_reading()
            if self._due():
                yield from self._transact()
            self._make_room()

    def close(self) -> None:
        """Begin nothing new and end the threads; what arrives after this is confirmed by the next run."""
        # Nothing is counted here: whoever took the outcomes may have gone away in the midst of any of the above.
        self._readers.abandon()
        self._putters.close()

    def _put_ended(self, put: Put) -> None:
        self._readers.dropped(put.prepared)
        self._events.put(put, urgent=put.error is not None)

    def _stop_reading(self) -> None:
        self._readers.stop()
        self._drop_prepared()

    def _drop_prepared(self) -> None:
        for prepared in self._prepared:
            self._readers.dropped(prepared)
            self._settled += 1
        self._prepared.clear()
        self._prepared_bytes = 0

    # --- events

    def _take(self) -> Iterator[FileOutcome]:
        """Wait until something may be due, or a while; take all that have gathered."""
        for event in self._events.take(enough=self._enough(), seconds=IDLE_SECONDS):
            yield from self._accept(event)

    def _enough(self) -> int:
        """After how many events a transaction may be due at the soonest (see `_due`)."""
        until_dry = self._aloft - self._putters.limit // 2
        return max(1, min(until_dry, BATCH - len(self._prepared), BATCH - len(self._arrived)))

    def _make_room(self) -> None:
        """Tell the readers at once of many files that are settled: each time wakes one."""
        self._readers.settled(self._settled)
        self._settled = 0

    def _accept(self, event: Read | Put) -> Iterator[FileOutcome]:
        if isinstance(event, Prepared):
            self._prepared.append(event)
            self._prepared_bytes += event.held
        elif isinstance(event, Put):
            self._aloft -= 1
            yield from self._accept_put(event)
        elif isinstance(event, FileOutcome):
            self._settled += 1
            yield event
        else:
            self._readers.running -= 1
            self._give_up(event.error)

    def _accept_put(self, put: Put) -> Iterator[FileOutcome]:
        if not put.tried:
            for prepared in (put.prepared, *self._flying.pop(put.promised.id)):
                yield self._settle(prepared, Fate.FAILED, Reason.NOT_TRIED, put.promised.id, "the run ended before")
            return
        if put.error is None:
            self._failures_in_a_row = 0
            self._arrived.append(put)
            return
        self._failures_in_a_row += isinstance(put.error, StoreUnavailable)
        if isinstance(put.error, HOPELESS) or self._failures_in_a_row > self._putters.limit:
            self._give_up(put.error)
        changed = isinstance(put.error, BlobCorrupt) and put.prepared.size > STREAM_ABOVE
        reason = Reason.CHANGED if changed else Reason.STORE
        for prepared in (put.prepared, *self._flying.pop(put.promised.id)):
            yield self._settle(prepared, Fate.FAILED, reason, put.promised.id, line(put.error))

    def _give_up(self, error: Exception | None) -> None:
        if error is not None and self.hopeless is None:
            self.hopeless = error
            self._putters.give_up()

    # --- transactions

    def _due(self) -> bool:
        """Whether a transaction is worth its commit now: a batch is full, or somebody would wait for it."""
        waiting, limit = self._aloft, self._putters.limit
        if self._prepared and waiting < limit / 2:
            if self._begun:
                self._readers.start()
            return True
        worth = len(self._prepared) >= BATCH or self._prepared_bytes >= BATCH_BYTES
        full = worth and waiting < limit + BATCH / 2
        idle = bool(self._arrived) and waiting == 0
        return full or idle or len(self._arrived) >= BATCH

    def _transact(self) -> Iterator[FileOutcome]:
        arrived, prepared = self._arrived, self._prepared[: self._left]
        if prepared and not self._order.dry_run:
            self._bucket.expect()
        rows = [new_row(one, self._order) for one in prepared]
        promised = retry(lambda: self._write(arrived, rows), stop=self._stop)
        self._arrived, self._prepared = [], self._prepared[len(prepared) :]
        self._look_ahead(prepared)
        self._begun = True
        yield from self._confirmed(arrived)
        present: list[Entry] = []
        for one, row in zip(prepared, promised, strict=True):
            yield from self._promised(one, row, present)
        self._known.remember(present)

    def _look_ahead(self, promised: list[Prepared]) -> None:
        """Let the readers hold what flies and some, within what the order allows."""
        self._prepared_bytes -= sum(one.held for one in promised)
        if promised:
            mean = sum(one.held for one in promised) / len(promised)
            self._readers.allow(
                min(self._order.memory_bytes, int(AHEAD_BYTES + FLYING_AND_SOME * self._putters.limit * mean))
            )

    def _write(self, arrived: list[Put], rows: list[NewImage]) -> list[Promised]:
        from imgctl.store.catalog.reservations import contents, keep, promise

        if self._order.dry_run:
            with self._catalog.read() as connection:
                return contents(connection, rows)
        with self._catalog.write() as connection:
            if arrived:
                keep(connection, {put.promised.id: partial(kept_row, put, self._order) for put in arrived})
            return promise(connection, rows) if rows else []

    def _promised(self, prepared: Prepared, row: Promised, present: list[Entry]) -> Iterator[FileOutcome]:
        if self._order.dry_run and row.status is Status.UPLOADING:
            self._readers.dropped(prepared)
            self._count_one()
            yield self._settle(prepared, Fate.PLANNED, Reason.NONE, None)
        elif row.status is Status.UPLOADING and row.id not in self._flying:
            self._flying[row.id] = []
            self._count_one()
            self._aloft += 1
            self._putters.submit(Put(prepared=prepared, promised=row))
        elif row.status is Status.UPLOADING:
            self._readers.dropped(prepared)
            self._flying[row.id].append(prepared)
        else:
            self._readers.dropped(prepared)
            present.append(Entry(found=prepared.found, sha256=prepared.sha256, image=row.id))
            yield self._settle(prepared, Fate.PRESENT, Reason.ALREADY_THERE, row.id, f"{row.status} as {row.id}")

    def _count_one(self) -> None:
        if self._left is not None:
            self._left -= 1

    def _confirmed(self, arrived: list[Put]) -> Iterator[FileOutcome]:
        entries: list[Entry] = []
        for put in arrived:
            image, followers = put.promised.id, self._flying.pop(put.promised.id)
            files = (put.prepared, *followers)
            entries += (Entry(found=one.found, sha256=one.sha256, image=image) for one in files)
            yield self._settle(put.prepared, Fate.UPLOADED, Reason.NONE, image)
            for prepared in followers:
                detail = f"same content as {put.prepared.found.path}"
                yield self._settle(prepared, Fate.PRESENT, Reason.SAME_CONTENT, image, detail)
        self._known.remember(entries)

    def _settle(
        self, prepared: Prepared, fate: Fate, reason: Reason, image: UUID | None, detail: str = ""
    ) -> FileOutcome:
        self._settled += 1
        return settled(prepared, self._order, fate=fate, reason=reason, image=image, detail=detail)
