"""Threads that put promised originals into the store, with adaptive concurrency; obstore waits outside the GIL."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Thread, current_thread
from typing import Generic

from imgctl.errors import StoreDenied, StoreError
from imgctl.ops.common.retry import StopSignal
from imgctl.ops.ingest.concurrency import FIRST_CONCURRENCY, AdaptiveConcurrency
from imgctl.ops.ingest.original import NotTried, Prepared, S, put_original
from imgctl.run.budgets import RateLimit
from imgctl.run.telemetry import trace
from imgctl.run.threads import join_for_a_moment
from imgctl.store.blobs.base import BlobStore


class BucketCheck:
    """Checks once, in its own thread, that the bucket exists: some servers create a misspelt bucket on a put.

    If a put is likely to follow, it also tests put-if-absent, so that the first put does not wait for the test.
    """

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._lock = Lock()
        self._puts = False
        self._done: Future[None] = Future()
        self._thread = Thread(target=self._check, name="imgctl bucket", daemon=True)

    def begin(self, *, puts: bool = False) -> None:
        """Start the check, unless it has started; with `puts` it tests put-if-absent as well."""
        with self._lock:
            if self._thread.ident is None:
                self._puts = puts
                self._thread.start()

    def result(self) -> None:
        """Wait for the check; raise BucketMissing if there is no bucket, or the error of the check."""
        self.begin()
        with suppress(StoreDenied):
            # Credentials may allow puts without listing.
            self._done.result()

    def join(self) -> None:
        """Wait a moment for the check, if it has started, to delete its probe."""
        with self._lock:
            begun = self._thread.ident is not None
        if begun:
            join_for_a_moment([self._thread])

    def _check(self) -> None:
        try:
            self._store.reach()
        except Exception as error:
            self._done.set_exception(error)
        else:
            self._done.set_result(None)
            # A failed test is repeated by the first put, which reports the error.
            if self._puts:
                with suppress(StoreError):
                    self._store.test_put_if_absent()


class Putters(Generic[S]):
    """Threads that put originals from a queue and call `ended` for each, with the error of a put that failed.

    At most `limit` of them run at a time: `concurrency`, or for 0 an adaptive number; `next_limit` is the most that the
    next put to end may allow. No put starts after a `stop`.
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

    @property
    def next_limit(self) -> int:
        return self._adaptive.next_limit if self._adaptive is not None else self.limit

    def submit(self, puts: Sequence[Prepared[S]]) -> None:
        """Queue puts; the caller bounds the queue."""
        with self._lock:
            # More threads than a lowered limit are left until their puts end.
            for _ in puts[: max(0, self.limit - len(self._threads))]:
                self._add_thread()
        for prepared in puts:
            self._queue.put(prepared)

    def give_up(self) -> None:
        """Start no further put: queued ones end as NotTried."""
        self._given_up = True

    def close(self) -> None:
        """Start no further put and end the threads; a thread that waits for the store is abandoned after a moment."""
        self._given_up = True
        threads = list(self._threads)
        for _ in threads:
            self._queue.put(None)
        join_for_a_moment(threads)

    def _serve(self) -> None:
        while (prepared := self._queue.get()) is not None:
            began = time.monotonic()
            error = self._put(prepared)
            last = self._adaptive is not None and self._is_too_many(self._adaptive, prepared.row.bytes, began)
            self._ended(prepared, error)
            if last:
                return

    def _put(self, prepared: Prepared[S]) -> Exception | None:
        if self._rate and not self._given_up:
            self._stop.wait(self._rate.reserve(prepared.row.bytes))
        if self._given_up or self._stop.is_set():
            return NotTried("the run ended before; run the same command again")
        began = trace.clock()
        try:
            put_original(self._store, prepared.row, prepared.body)
        except (StoreError, OSError) as error:
            return error
        except Exception as error:
            # Caught, because a thread that dies silently would lose its file.
            return StoreError(f"unexpected {type(error).__name__}: {error}", hint="please report it")
        finally:
            prepared.note("put", began)
        return None

    def _add_thread(self) -> None:
        thread = Thread(target=self._serve, name="imgctl put", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _is_too_many(self, adaptive: AdaptiveConcurrency, size: int, began: float) -> bool:
        """Count a put, which may change the limit; a higher limit starts threads for the puts already queued.

        True if more threads run than the limit allows: the calling thread must end.
        """
        with self._lock:
            now, pushbacks, waiting = time.monotonic(), self._store.pushbacks, self._queue.qsize()
            self.limit = adaptive.ended(size, began=began, now=now, pushbacks=pushbacks, starved=not waiting)
            for _ in range(min(waiting, self.limit - len(self._threads))):
                self._add_thread()
            if len(self._threads) <= self.limit:
                return False
            self._threads.discard(current_thread())
            return True
