"""Sets up a verification from the settings: selects files, reads them in threads, queues and checks them."""

import hashlib
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from queue import Empty, Full, Queue
from typing import TypeAlias

from imgctl.config.settings import Settings
from imgctl.ops.common.open import open_parts
from imgctl.ops.common.retry import StopSignal
from imgctl.ops.common.signed_reports import places_of
from imgctl.ops.common.transactions import InProcess, Transactions
from imgctl.ops.ingest.original import Prepared
from imgctl.ops.ingest.outcome import FileOutcome
from imgctl.ops.ingest.readers import Readers
from imgctl.ops.ingest.recognise import Recogniser
from imgctl.ops.sources.base import SourceFile
from imgctl.ops.sources.open import Sources, looked
from imgctl.ops.upload.choose_files import chosen
from imgctl.ops.upload.journal import Journal
from imgctl.ops.upload.options import Selection, UploadOrder
from imgctl.ops.upload.prepare_file import Preparing, prepared
from imgctl.ops.upload.start import journal_file, own_directories
from imgctl.ops.upload.unchanged import AlreadyUploaded
from imgctl.ops.verify.check import Against, Checker, Hashed, is_bucket
from imgctl.run.budgets import ByteBudget
from imgctl.run.limits import reuse_large_buffers
from imgctl.run.threads import thread_pool

CHUNK = 64
MOST_READERS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyOrder:
    """How to verify: against the store or the catalog alone; `upload` decides which files would be taken.

    With `trust_journal` files that are unchanged since their upload are not read; unchanged objects with an ETag never
    are.
    """

    against: Against = Against.STORE
    trust_journal: bool = False
    upload: UploadOrder = field(default_factory=UploadOrder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """A verification under way: the fates of its files, and the URLs of catalog and store without passwords."""

    outcomes: Iterator[FileOutcome]
    places: dict[str, str]


@contextmanager
def verifying(
    settings: Settings, selection: Selection, order: VerifyOrder, *, stop: StopSignal, report: Callable[[str], None]
) -> Iterator[Verification]:
    """Yield the fate of every file of a selection: see Checker; files an upload would not take are SKIPPED, or FAILED.

    Changes nothing. After `stop` no file is begun.
    """
    with ExitStack() as stack:
        sources = stack.enter_context(closing(Sources(settings, follow_links=selection.follow_links)))
        files = chosen(replace(selection, leave_out=own_directories(settings.store)), sources)
        reuse_large_buffers()
        parts = stack.enter_context(open_parts(settings))
        journal = journal_file(settings.upload.journal)
        is_kept = journal is not None and journal.exists()
        remembered = stack.enter_context(closing(Journal(journal, report=report))) if journal and is_kept else None
        opened: Future[Transactions] = Future()
        opened.set_result(InProcess(parts.catalog))
        reading = _Reading(
            how=Preparing(
                recogniser=stack.enter_context(closing(Recogniser(settings.work, leave_out=order.upload.leave_out))),
                prefix=settings.store.originals_prefix,
                order=order.upload,
            ),
            already=AlreadyUploaded(remembered, settings.store.url, opened, stop=stop),
            trust_journal=order.trust_journal,
            md5=is_bucket(parts) and order.against is Against.STORE,
        )
        requests = stack.enter_context(thread_pool(parts.requests, name="look"))
        checker = Checker(parts, against=order.against, pool=requests, stop=stop)
        ready = FileQueue(stop)
        count, chunk = sources.reading(readers=min(MOST_READERS, os.cpu_count() or 1), chunk=CHUNK)
        readers = Readers(
            files,
            reading.read,
            ByteBudget(settings.upload.memory),
            offer=ready.offer,
            ended=ready.ended,
            largest_chunk=chunk,
        )
        stack.callback(readers.join)
        stack.callback(ready.close)
        stack.callback(readers.stop)

        def outcomes() -> Generator[FileOutcome]:
            if stop.is_set():
                return
            for _ in range(count):
                readers.start()
            for batch in ready.batches(readers=count, stop_reading=readers.stop):
                yield from (one for one in batch if isinstance(one, FileOutcome))
                if hashed := [one for one in batch if isinstance(one, Hashed)]:
                    yield from checker.outcomes(hashed)

        yield Verification(outcomes=stack.enter_context(closing(outcomes())), places=places_of(parts))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """Reads files as an upload would, in any thread."""

    how: Preparing
    already: AlreadyUploaded
    trust_journal: bool
    md5: bool

    def read(self, chunk: Sequence[SourceFile], budget: ByteBudget) -> Iterator[Sequence[Hashed | FileOutcome]]:
        """Yield the digests of each file, or why an upload would not take it."""
        found, refused = looked(chunk)
        yield refused
        trusted, unread = list[SourceFile](), list[SourceFile]()
        for one in found:
            (trusted if self._trusts(one) else unread).append(one)
        for one, entry in zip(trusted, self.already.known(trusted), strict=True):
            if entry is None:
                unread.append(one)
                continue
            assert one.user_id is not None
            yield (Hashed(path=one.path, user_id=one.user_id, sha256=entry.sha256, size=one.size, from_journal=True),)
        for made in prepared(unread, self.how, budget):
            yield (made if isinstance(made, FileOutcome) else self._hashed(made, budget),)

    def _trusts(self, found: SourceFile) -> bool:
        """Whether to trust the journal: by option, or for an object with an ETag; members of archives are read."""
        return self.trust_journal or (found.pinned and found.member is None)

    def _hashed(self, one: Prepared[SourceFile], budget: ByteBudget) -> Hashed:
        # Larger files are put in parts, whose ETag is not an MD5.
        md5 = (
            hashlib.md5(one.body, usedforsecurity=False).hexdigest() if self.md5 and isinstance(one.body, bytes) else ""
        )
        one.let_go()
        budget.release(one.held)
        return Hashed(path=one.path, user_id=one.row.user_id, sha256=one.row.sha256, size=one.row.bytes, md5=md5)


BATCH = 64
# The longest time until an idle thread notices a stop.
IDLE_SECONDS = 1.0

Item: TypeAlias = Hashed | FileOutcome


class FileQueue:
    """A bounded queue: items added while one batch is checked form the next."""

    def __init__(self, stop: StopSignal) -> None:
        self._stop = stop
        self._queue: Queue[Item | _Ended] = Queue(2 * BATCH)
        self._closed = False

    def offer(self, items: Sequence[Item]) -> bool:
        """Add results of a reader; blocks while the queue is full. False once the queue is closed."""
        return all(map(self._put, items))

    def ended(self, error: Exception | None) -> None:
        """Note that a reader has ended, with its error if there is one."""
        self._put(_Ended(error))

    def close(self) -> None:
        """Release readers that wait for room."""
        self._closed = True

    def batches(self, *, readers: int, stop_reading: Callable[[], None]) -> Iterator[list[Item]]:
        """Yield the queued items, up to BATCH at a time, until all readers have ended; raises a reader's error.

        After a stop no file is begun, and readers that wait for a slow disk are not awaited.
        """
        while readers:
            if self._stop.is_set():
                stop_reading()
            batch = list[Item]()
            for one in self._taken():
                if isinstance(one, _Ended):
                    readers -= 1
                    if one.error is not None:
                        raise one.error
                else:
                    batch.append(one)
            if batch:
                yield batch
            elif self._stop.is_set() and self._queue.empty():
                return

    def _taken(self) -> Iterator["Item | _Ended"]:
        """Yield a batch, or the items of IDLE_SECONDS: a query and a listing cost as much for one file as for many."""
        until = time.monotonic() + IDLE_SECONDS
        for _ in range(BATCH):
            try:
                one = self._queue.get(timeout=max(0.0, until - time.monotonic()))
            except Empty:
                return
            yield one
            if isinstance(one, _Ended):
                return

    def _put(self, item: "Item | _Ended") -> bool:
        while not self._closed:
            try:
                self._queue.put(item, timeout=IDLE_SECONDS)
            except Full:
                continue
            return True
        return False


class _Ended:
    """The end of one reader."""

    __slots__ = ("error",)

    def __init__(self, error: Exception | None) -> None:
        self.error = error
