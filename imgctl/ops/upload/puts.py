"""Threads that put promised originals into the store; obstore waits outside the interpreter lock."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Condition, Thread

from imgctl.errors import BlobExists, StoreError
from imgctl.model import Promised
from imgctl.ops.retry import StopSignal
from imgctl.ops.upload.order import FIRST_CONCURRENCY, MOST_CONCURRENCY, UploadOrder
from imgctl.ops.upload.prepare import Prepared
from imgctl.run.climb import Climb
from imgctl.run.pace import Pace
from imgctl.run.rate import RateLimit
from imgctl.run.threads import ERROR_WAIT_SECONDS
from imgctl.store.blobs.base import BlobStore
from imgctl.units import count_of

INTERVAL_SECONDS = 1.0
# What a put costs beside its bytes, in bytes: a throughput of many small ones and few large ones compares.
PUT_WEIGHT = 64 * 2**10


@dataclass(slots=True, kw_only=True)
class Put:
    """A promised original on its way; `error` is what kept it from arriving, None when its bytes are safe.

    Not `tried` when the run ended before its turn came: the promise stands, and the next run keeps it.
    """

    prepared: Prepared
    promised: Promised
    error: Exception | None = None
    tried: bool = True


def put_original(store: BlobStore, put: Put) -> None:
    """Make one original's bytes safe under its key; raises StoreError.

    A key that is taken can only hold this very content, written by an earlier run or by one beside us; a size that
    differs is refused.
    """
    prepared, key = put.prepared, put.promised.original_key
    assert key is not None
    kind = prepared.probe.content_type
    try:
        if prepared.body is None:
            path = Path(prepared.found.path)
            store.create_file(key, path, size=prepared.size, content_type=kind, sha256=prepared.sha256)
        else:
            store.create(key, prepared.body, content_type=kind)
    except BlobExists:
        there = store.head(key)
        if there is None or there.size != prepared.size:
            found = "nothing" if there is None else count_of(there.size, "byte")
            message = f"{key} was written before, but holds {found} instead of {prepared.size}"
            raise StoreError(message, hint="imgctl show tells whose it is; ask before anything is deleted") from None


class Putters:
    """Threads that take puts from a queue and hand each to `done` when it has ended, well or not.

    `limit` of them work at a time: as many as the order says, or as many as the store is found to take.
    """

    def __init__(self, store: BlobStore, order: UploadOrder, *, stop: StopSignal, done: Callable[[Put], None]) -> None:
        self._store = store
        self._stop = stop
        self._done = done
        self._queue: SimpleQueue[Put | None] = SimpleQueue()
        self._rate = RateLimit(order.rate_bytes) if order.rate_bytes else None
        self._pace = Pace()
        self._given_up = False
        self._threads: list[Thread] = []
        self._turn = Condition()
        first = order.concurrency or FIRST_CONCURRENCY
        self._climb = Climb(limit=first, most=MOST_CONCURRENCY, least=1) if not order.concurrency else None
        self.limit = first
        self._busy = 0
        self._interval_began = time.monotonic()
        self._ended = 0
        self._weight = 0
        self._pushbacks = store.pushbacks

    def submit(self, put: Put) -> None:
        """Queue one put; the caller bounds how many wait."""
        if len(self._threads) < self.limit:
            thread = Thread(target=self._serve, name=f"imgctl put {len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._queue.put(put)

    def give_up(self) -> None:
        """Try nothing more: whatever is queued ends untried."""
        self._given_up = True

    def close(self) -> None:
        """Begin nothing more, and end the threads; one that waits for the store is left to itself after a moment."""
        self._given_up = True
        for _ in self._threads:
            self._queue.put(None)
        ends_at = time.monotonic() + ERROR_WAIT_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, ends_at - time.monotonic()))

    def _serve(self) -> None:
        while (put := self._queue.get()) is not None:
            self._enter()
            put.tried = self._wait_for_turn(put)
            put.error = self._try(put) if put.tried else None
            self._leave(put.prepared.size)
            self._done(put)

    def _wait_for_turn(self, put: Put) -> bool:
        """Whether to begin: not when the run is asked to stop, also while the rate limit makes it wait."""
        if self._rate and not self._given_up:
            self._stop.wait(self._rate.reserve(put.prepared.size))
        if pause := self._pace.reserve(self.limit):
            time.sleep(pause)
        return not (self._given_up or self._stop.is_set())

    def _try(self, put: Put) -> Exception | None:
        began = time.monotonic()
        try:
            put_original(self._store, put)
        except (StoreError, OSError) as error:
            return error
        except Exception as error:
            # A thread that died silently would lose its file.
            return StoreError(f"unexpected {type(error).__name__}: {error}", hint="please report it")
        self._pace.took(time.monotonic() - began)
        return None

    def _enter(self) -> None:
        if self._climb:
            with self._turn:
                self._turn.wait_for(lambda: self._busy < self.limit)
                self._busy += 1

    def _leave(self, size: int) -> None:
        if not self._climb:
            return
        with self._turn:
            self._busy -= 1
            self._ended += 1
            self._weight += size + PUT_WEIGHT
            self._adapt(self._climb)
            self._turn.notify()

    def _adapt(self, climb: Climb) -> None:
        """At the end of an interval long enough to mean something, let the climb choose the next limit."""
        seconds = time.monotonic() - self._interval_began
        pushbacks = self._store.pushbacks
        if pushbacks == self._pushbacks and (seconds < INTERVAL_SECONDS or self._ended < 2 * self.limit):
            return
        self.limit = climb.observe(self._weight / max(seconds, math.ulp(1.0)), pushed_back=pushbacks > self._pushbacks)
        self._interval_began, self._ended, self._weight, self._pushbacks = time.monotonic(), 0, 0, pushbacks
        self._turn.notify_all()
