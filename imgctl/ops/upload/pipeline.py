"""The upload pipeline: walk → read, hash, probe → promise → put → confirm, each stage bounded.

    readers (threads)          this thread                    putters (threads)
    walk, read, hash, probe ─▶ promise a batch ─────────────▶ put
                               confirm a batch ◀───────────── ended
                               yield outcomes

One transaction confirms what has arrived and promises what comes next. Whatever gathers while it runs is the next
batch, so batches grow with the load and no timer is needed.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from uuid import UUID

from imgctl.errors import BucketMissing, ImgctlError, StoreDenied, StoreFull, StoreUnavailable
from imgctl.keys import ORIGINAL, key_of, new_id
from imgctl.model import Status
from imgctl.ops.patience import Waiting, patiently
from imgctl.ops.upload.outcome import Fate, FileOutcome, Reason
from imgctl.ops.upload.prepare import Prepared
from imgctl.ops.upload.puts import Put, Putters
from imgctl.ops.upload.readers import Read, Readers
from imgctl.ops.upload.walk import walk
from imgctl.store.blobs.base import BlobStore
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.promises import NewImage, Promised, confirm, promise

BATCH = 64
HOPELESS = (StoreDenied, BucketMissing, StoreFull)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadOrder:
    """What to upload for whom: paths of files and directories, puts in flight, bytes held at once."""

    paths: tuple[str, ...]
    user_id: UUID
    concurrency: int
    memory_bytes: int
    originals_prefix: str = ""


def upload(order: UploadOrder, *, catalog: Catalog, store: BlobStore, stop: Waiting) -> Iterator[FileOutcome]:
    """Upload every image at or below the order's paths; yields one outcome a file as soon as it is settled.

    When `stop` is set no further file is begun. Raises what ends a whole run (no bucket, no permission, no space, no
    answer, no database), after what was in flight has been settled.
    """
    run = _Run(order, catalog, store, stop)
    try:
        yield from run.outcomes()
    finally:
        run.close()
    if run.hopeless is not None:
        raise run.hopeless


class _Run:
    """One upload: what is prepared, what flies and what has arrived, all owned by the thread that iterates."""

    def __init__(self, order: UploadOrder, catalog: Catalog, store: BlobStore, stop: Waiting) -> None:
        self.hopeless: Exception | None = None
        self._order = order
        self._catalog = catalog
        self._store = store
        self._stop = stop
        self._events: SimpleQueue[Read | Put] = SimpleQueue()
        window = 4 * BATCH + 2 * order.concurrency
        self._readers = Readers(
            walk(order.paths), window=window, budget_bytes=order.memory_bytes, done=self._events.put
        )
        self._reading = 0
        self._putters = Putters(store, count=order.concurrency, done=self._put_ended)
        self._prepared: list[Prepared] = []
        self._arrived: list[Put] = []
        # Every image on its way, with the files of the same content that wait for its fate.
        self._flying: dict[UUID, list[Prepared]] = {}
        self._failures_in_a_row = 0
        self._bucket_seen = False

    def outcomes(self) -> Iterator[FileOutcome]:
        self._readers.start()
        self._reading = self._readers.running
        while self._reading or self._prepared or self._flying:
            if self._reading or self._waiting():
                yield from self._take()
            if self.hopeless or self._stop.is_set():
                self._stop_reading()
            if self._due():
                yield from self._transact()

    def close(self) -> None:
        """Begin nothing new and end every thread; what flies still arrives, and is confirmed by the next run."""
        self._stop_reading()
        while self._reading or self._waiting():
            for _ in self._take():
                pass
            self._drop_prepared()
        self._putters.close()

    def _put_ended(self, put: Put) -> None:
        self._readers.dropped(put.prepared)
        self._events.put(put)

    def _waiting(self) -> int:
        """How many puts are queued or under way."""
        return len(self._flying) - len(self._arrived)

    def _stop_reading(self) -> None:
        self._readers.stop()
        self._drop_prepared()

    def _drop_prepared(self) -> None:
        for prepared in self._prepared:
            self._readers.dropped(prepared)
            self._readers.settled()
        self._prepared.clear()

    def _take(self) -> Iterator[FileOutcome]:
        """Wait for one event, then take all that have gathered."""
        event: Read | Put | None = self._events.get()
        while event is not None:
            yield from self._accept(event)
            try:
                event = self._events.get_nowait()
            except Empty:
                event = None

    def _accept(self, event: Read | Put) -> Iterator[FileOutcome]:
        if isinstance(event, Prepared):
            self._prepared.append(event)
        elif isinstance(event, Put):
            yield from self._accept_put(event)
        elif isinstance(event, FileOutcome):
            self._readers.settled()
            yield event
        else:
            self._reading -= 1
            self._give_up(event.error)

    def _accept_put(self, put: Put) -> Iterator[FileOutcome]:
        if put.error is None:
            self._failures_in_a_row = 0
            self._arrived.append(put)
            return
        self._failures_in_a_row += 1
        gone = isinstance(put.error, StoreUnavailable) and self._failures_in_a_row > self._order.concurrency
        if gone or isinstance(put.error, HOPELESS):
            self._give_up(put.error)
        followers = self._flying.pop(put.promised.id)
        for prepared in (put.prepared, *followers):
            yield self._settle(prepared, Fate.FAILED, Reason.STORE, put.promised.id, _line(put.error))

    def _give_up(self, error: Exception | None) -> None:
        if error is not None and self.hopeless is None:
            self.hopeless = error

    def _due(self) -> bool:
        """Whether a transaction is worth its commit now: a batch is full, or somebody would wait for it."""
        waiting = self._waiting()
        if self._prepared and waiting < self._order.concurrency / 2:
            return True
        full = len(self._prepared) >= BATCH and waiting < self._order.concurrency + BATCH
        idle = bool(self._arrived) and waiting == 0
        return full or idle or len(self._arrived) >= BATCH

    def _transact(self) -> Iterator[FileOutcome]:
        arrived, prepared = self._arrived, self._prepared
        if prepared and not self._bucket_seen:
            self._look_for_bucket()
        rows = [self._row(one) for one in prepared]

        def transaction() -> list[Promised]:
            with self._catalog.write() as connection:
                if arrived:
                    confirm(connection, [put.promised.id for put in arrived])
                return promise(connection, rows) if rows else []

        promised = patiently(transaction, stop=self._stop)
        self._arrived, self._prepared = [], []
        for put in arrived:
            yield from self._confirmed(put)
        for one, row in zip(prepared, promised, strict=True):
            yield from self._promised(one, row)

    def _look_for_bucket(self) -> None:
        """Raise BucketMissing before anything is promised: some servers create what a put misspells."""
        with suppress(StoreDenied):
            # Who may put need not be allowed to list.
            next(self._store.scan(), None)
        self._bucket_seen = True

    def _row(self, prepared: Prepared) -> NewImage:
        now = datetime.now(UTC)
        at = now.replace(microsecond=now.microsecond // 1000 * 1000)
        image_id, seen = new_id(at), prepared.probe
        return NewImage(
            id=image_id,
            user_id=self._order.user_id,
            uploaded_at=at,
            original_key=key_of(image_id, ORIGINAL, seen.extension, prefix=self._order.originals_prefix),
            sha256=prepared.sha256,
            bytes=prepared.size,
            content_type=seen.content_type,
            width=seen.width,
            height=seen.height,
            taken_at=seen.taken_at,
        )

    def _promised(self, prepared: Prepared, row: Promised) -> Iterator[FileOutcome]:
        if row.status is Status.UPLOADING and row.id not in self._flying:
            self._flying[row.id] = []
            self._putters.submit(Put(prepared=prepared, promised=row))
            return
        self._readers.dropped(prepared)
        if row.status is Status.UPLOADING:
            self._flying[row.id].append(prepared)
        else:
            yield self._settle(prepared, Fate.PRESENT, Reason.ALREADY_THERE, row.id, f"{row.status} as {row.id}")

    def _confirmed(self, put: Put) -> Iterator[FileOutcome]:
        followers = self._flying.pop(put.promised.id)
        yield self._settle(put.prepared, Fate.UPLOADED, Reason.NONE, put.promised.id)
        for prepared in followers:
            detail = f"same content as {put.prepared.path}"
            yield self._settle(prepared, Fate.PRESENT, Reason.SAME_CONTENT, put.promised.id, detail)

    def _settle(self, prepared: Prepared, fate: Fate, reason: Reason, image: UUID, detail: str = "") -> FileOutcome:
        self._readers.settled()
        return FileOutcome(
            path=prepared.path,
            fate=fate,
            reason=reason,
            detail=detail,
            id=image,
            sha256=prepared.sha256,
            bytes=prepared.size,
            seconds=time.monotonic() - prepared.started,
        )


def _line(error: Exception) -> str:
    return error.line if isinstance(error, ImgctlError) else f"{type(error).__name__}: {error}"
