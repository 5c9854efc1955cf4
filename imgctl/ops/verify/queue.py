"""The queue between the readers of files and the checker, which takes a batch at a time."""

import time
from collections.abc import Callable, Iterator
from queue import Empty, Full, Queue
from typing import TypeAlias

from imgctl.ops.common.retry import StopSignal
from imgctl.ops.ingest.outcome import FileOutcome
from imgctl.ops.verify.check import Hashed

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

    def offer(self, item: Item) -> bool:
        """Add an item of a reader; blocks while the queue is full. False once the queue is closed."""
        return self._put(item)

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
