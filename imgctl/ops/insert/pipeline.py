"""The insert pipeline, a block of lines at a time: look → known? → read, hash, probe → promise → copy → confirm."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeVar
from uuid import UUID

from imgctl.errors import BucketMissing, StoreDenied, StoreError, StoreFull, StoreUnavailable
from imgctl.keys import ORIGINAL, key_of, time_of
from imgctl.model import Image, NewImage, Promised, Status
from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.ops.ingest.recognise import Recogniser
from imgctl.ops.insert.copies import Copy, add, begun, copied, copy_one, resumed
from imgctl.ops.insert.entries import Entry
from imgctl.ops.insert.source import PIECE, Broken, Inspected, Source, inspect, look, peek
from imgctl.ops.retry import StopSignal, retry
from imgctl.run.threads import thread_pool
from imgctl.run.window import ByteBudget
from imgctl.store.blobs.base import BlobStore
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.lookups import by_ids
from imgctl.store.catalog.reservations import keep, promise

T = TypeVar("T")
R = TypeVar("R")

BLOCK = 128
_AT_ONCE = (BucketMissing, StoreFull)
_WHEN_MANY = (StoreUnavailable, StoreDenied)


@dataclass(frozen=True, slots=True, kw_only=True)
class InsertOrder:
    """How to insert: requests in flight, bytes held at once, where originals go; a dry run changes nothing."""

    concurrency: int
    memory_bytes: int
    originals_prefix: str = ""
    dry_run: bool = False


def insert(
    entries: Iterable[Entry | FileOutcome],
    order: InsertOrder,
    *,
    catalog: Catalog,
    store: BlobStore,
    recogniser: Recogniser,
    stop: StopSignal,
) -> Iterator[FileOutcome]:
    """Insert every blob the entries name; yields one outcome an entry, in blocks, and leaves the sources alone.

    When `stop` is set no further block is begun. Raises what ends a whole run (no bucket, no space, no permission or no
    answer many times in a row, no database) after what was in flight has been settled.
    """
    stream = iter(entries)
    with thread_pool(order.concurrency, name="insert") as threads:
        run = _Run(order, catalog, store, recogniser, threads, stop)
        run.look_for_bucket()
        while not run.hopeless and not stop.is_set() and (block := list(islice(stream, BLOCK))):
            yield from run.block(block)
    if run.hopeless is not None:
        raise run.hopeless


class _Run:
    """One insert; only the thread that iterates touches the catalog."""

    def __init__(
        self,
        order: InsertOrder,
        catalog: Catalog,
        store: BlobStore,
        recogniser: Recogniser,
        threads: Executor,
        stop: StopSignal,
    ) -> None:
        self.hopeless: StoreError | None = None
        self._threads = threads
        self._order = order
        self._catalog = catalog
        self._store = store
        self._recogniser = recogniser
        self._stop = stop
        self._budget = ByteBudget(order.memory_bytes)
        self._failures_in_a_row = 0

    def look_for_bucket(self) -> None:
        """Raise BucketMissing before anything else: a HEAD does not tell a missing bucket from a missing blob."""
        with suppress(StoreDenied):
            # Who may read and write need not be allowed to list.
            self._store.reach()

    def block(self, block: Sequence[Entry | FileOutcome]) -> Iterator[FileOutcome]:
        """Settle a block of lines."""
        yield from (one for one in block if isinstance(one, FileOutcome))
        entries = [one for one in block if isinstance(one, Entry)]
        sources, settled = self._sift(self._each(partial(look, self._store), entries))
        yield from settled
        known = self._known(sources)
        yield from (_present(one, known[one.id]) for one in sources if _is_safe(known.get(one.id)))
        wanted = [one for one in sources if not _is_safe(known.get(one.id))]
        if self._order.dry_run:
            yield from self._sift(self._each(partial(peek, self._store, recogniser=self._recogniser), wanted))[1]
            return
        copies: dict[UUID, Copy] = {}
        for source in wanted:
            if source.id in known:
                add(copies, resumed(source, known[source.id]))
        inspected, settled = self._sift(self._each(self._inspect, [one for one in wanted if one.id not in known]))
        yield from settled
        yield from self._promise(inspected, copies)
        yield from self._copy(list(copies.values()))

    def _known(self, sources: Sequence[Source]) -> dict[UUID, Image]:
        """The rows that earlier runs made of these very blobs."""

        def transaction() -> dict[UUID, Image]:
            with self._catalog.read() as connection:
                return by_ids(connection, {source.id for source in sources})

        return retry(transaction, stop=self._stop) if sources else {}

    def _inspect(self, source: Source) -> Inspected | FileOutcome | Broken:
        with self._budget.hold(min(source.blob.size, PIECE)):
            return inspect(self._store, source, self._recogniser)

    def _promise(self, inspected: Sequence[Inspected], copies: dict[UUID, Copy]) -> Iterator[FileOutcome]:
        rows = [_row(one, self._order.originals_prefix) for one in inspected]

        def transaction() -> list[Promised]:
            with self._catalog.write() as connection:
                return promise(connection, rows)

        promised = retry(transaction, stop=self._stop) if rows else []
        for one, row, found in zip(inspected, rows, promised, strict=True):
            if found.status is Status.UPLOADING:
                add(copies, begun(one.source, row, found))
            else:
                detail = f"{found.status} as {found.id}"
                yield one.source.outcome(Fate.PRESENT, Reason.ALREADY_THERE, detail, image=found.id, sha256=one.sha256)

    def _copy(self, copies: Sequence[Copy]) -> Iterator[FileOutcome]:
        """Copy what is promised and confirm what arrived; a stop does not reach here."""
        failures = list(self._threads.map(partial(copy_one, self._store), copies))
        arrived = {
            copy.row.id: copy.promised for copy, failure in zip(copies, failures, strict=True) if failure is None
        }

        def transaction() -> None:
            with self._catalog.write() as connection:
                keep(connection, arrived)

        if arrived:
            retry(transaction, stop=self._stop)
        for copy, failure in zip(copies, failures, strict=True):
            self._judge(failure)
            yield from copied(copy, failure)

    def _each(self, act: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Do `act` with each item at once, in order; those that a stop came before are left out."""

        def unless_stopped(item: T) -> R | None:
            return None if self._stop.is_set() else act(item)

        return [result for result in self._threads.map(unless_stopped, items) if result is not None]

    def _sift(self, results: Iterable[R | FileOutcome | Broken]) -> tuple[list[R], list[FileOutcome]]:
        """What goes on, and what is settled already."""
        going: list[R] = []
        settled: list[FileOutcome] = []
        for result in results:
            self._judge(result.error if isinstance(result, Broken) else None)
            if isinstance(result, Broken):
                settled.append(result.outcome)
            elif isinstance(result, FileOutcome):
                settled.append(result)
            else:
                going.append(result)
        return going, settled

    def _judge(self, error: StoreError | None) -> None:
        """End the run after an error that every further blob would meet."""
        if not isinstance(error, _AT_ONCE + _WHEN_MANY):
            self._failures_in_a_row = 0
            return
        self._failures_in_a_row += 1
        many = self._failures_in_a_row > self._order.concurrency
        if self.hopeless is None and (many or isinstance(error, _AT_ONCE)):
            self.hopeless = error


def _is_safe(image: Image | None) -> bool:
    return image is not None and image.status is not Status.UPLOADING


def _present(source: Source, image: Image) -> FileOutcome:
    detail = f"{image.status} as {image.id}"
    return source.outcome(Fate.PRESENT, Reason.ALREADY_THERE, detail, image=image.id, sha256=image.sha256)


def _row(one: Inspected, originals_prefix: str) -> NewImage:
    source, seen = one.source, one.probe
    return NewImage(
        id=source.id,
        user_id=source.entry.user_id,
        uploaded_at=time_of(source.id),
        original_key=key_of(source.id, ORIGINAL, seen.extension, prefix=originals_prefix),
        sha256=one.sha256,
        bytes=source.blob.size,
        content_type=seen.content_type,
        width=seen.width,
        height=seen.height,
        caption=one.said.caption,
        taken_at=one.said.taken_at,
    )
