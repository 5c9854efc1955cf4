"""Threads that put promised originals into the store, as many at once as it takes; obstore waits outside the GIL."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Thread, current_thread
from typing import Generic

from imgctl.errors import StoreDenied, StoreError
from imgctl.ops.ingest.concurrency import FIRST_CONCURRENCY, AdaptiveConcurrency
from imgctl.ops.ingest.original import Prepared, S, put_original
from imgctl.ops.retry import StopSignal
from imgctl.run import trace
from imgctl.run.threads import join_for_a_moment
from imgctl.run.window import RateLimit
from imgctl.store.blobs.base import BlobStore


class NotTried(Exception):
    """The run ended before a put's turn came: the promise stands, and the next run keeps it."""


class BucketCheck:
    """One look whether the bucket is there, in a thread of its own: some servers create what a put misspells."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._lock = Lock()
        self._begun = False
        self._done: Future[None] = Future()

    def begin(self) -> None:
        """Look, unless that has begun."""
        with self._lock:
            begun, self._begun = self._begun, True
        if not begun:
            Thread(target=self._look, name="imgctl bucket", daemon=True).start()

    def result(self) -> None:
        """Raise BucketMissing where there is none, and what else kept the look from an answer."""
        self.begin()
        with suppress(StoreDenied):
            # Who may put need not be allowed to list.
            self._done.result()

    def _look(self) -> None:
        try:
            self._store.reach()
        except Exception as error:
            self._done.set_exception(error)
        else:
            self._done.set_result(None)


class Putters(Generic[S]):
    """Threads that take originals from a queue and report each to `ended`, with the error that kept it from arriving.

    `limit` of them work at a time: `concurrency`, or (0) as many as the store is found to take. After a `stop` none is
    begun.
    """

    def __init__(
        self,
        store: BlobStore,
        *,
        concurrency: int,
        rate_bytes: int,
        stop: StopSignal,
        ended: Callable[[Prepared[S], Exception | None], None],
    ) -> None:
        self.limit = concurrency or FIRST_CONCURRENCY
        self._store = store
        self._stop = stop
        self._ended = ended
        self._queue: SimpleQueue[Prepared[S] | None] = SimpleQueue()
        self._rate = RateLimit(rate_bytes) if rate_bytes else None
        self._adaptive = None if concurrency else AdaptiveConcurrency()
        self._given_up = False
        self._lock = Lock()
        self._threads: set[Thread] = set()

    def submit(self, puts: Sequence[Prepared[S]]) -> None:
        """Queue puts; the caller bounds how many wait."""
        with self._lock:
            for _ in puts[: self.limit - len(self._threads)]:
                self._add_thread()
        for prepared in puts:
            self._queue.put(prepared)

    def give_up(self) -> None:
        """Try nothing more: whatever is queued ends as NotTried."""
        self._given_up = True

    def close(self) -> None:
        """Begin nothing more, and end the threads; one that waits for the store is left to itself after a moment."""
        self._given_up = True
        threads = list(self._threads)
        for _ in threads:
            self._queue.put(None)
        join_for_a_moment(threads)

    def _serve(self) -> None:
        while (prepared := self._queue.get()) is not None:
            error = self._put(prepared)
            last = self._adaptive is not None and self._is_too_many(self._adaptive, prepared.row.bytes)
            self._ended(prepared, error)
            if last:
                return

    def _put(self, prepared: Prepared[S]) -> Exception | None:
        if self._rate and not self._given_up:
            self._stop.wait(self._rate.reserve(prepared.row.bytes))
        if self._given_up or self._stop.is_set():
            return NotTried("the run ended before")
        began = trace.clock()
        try:
            put_original(self._store, prepared.row, prepared.body)
        except (StoreError, OSError) as error:
            return error
        except Exception as error:
            # A thread that died silently would lose its file.
            return StoreError(f"unexpected {type(error).__name__}: {error}", hint="please report it")
        finally:
            prepared.note("put", began)
        return None

    def _add_thread(self) -> None:
        thread = Thread(target=self._serve, name="imgctl put", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _is_too_many(self, adaptive: AdaptiveConcurrency, size: int) -> bool:
        """Count a put, which may change the limit; what is queued already gets the threads of a higher one.

        True where the limit is lower than the threads are many: the one that asks is to end.
        """
        with self._lock:
            now, pushbacks, waiting = time.monotonic(), self._store.pushbacks, self._queue.qsize()
            self.limit = adaptive.ended(size, now=now, pushbacks=pushbacks, starved=not waiting)
            for _ in range(min(waiting, self.limit - len(self._threads))):
                self._add_thread()
            if len(self._threads) <= self.limit:
                return False
            self._threads.discard(current_thread())
            return True
