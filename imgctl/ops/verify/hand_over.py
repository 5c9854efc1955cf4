"""What readers hand over to the one that checks it, a batch at a time."""

import time
from collections.abc import Callable, Iterator
from queue import Empty, Full, Queue
from typing import TypeAlias

from imgctl.ops.ingest.outcome import FileOutcome
from imgctl.ops.retry import StopSignal
from imgctl.ops.verify.check import Hashed

BATCH = 64
# How soon a stop is noticed where nothing else happens.
IDLE_SECONDS = 1.0

Item: TypeAlias = Hashed | FileOutcome


class HandOver:
    """A bounded queue: what gathers while one batch is checked is the next."""

    def __init__(self, stop: StopSignal) -> None:
        self._stop = stop
        self._queue: Queue[Item | _Ended] = Queue(2 * BATCH)
        self._closed = False

    def offer(self, item: Item) -> bool:
        """Take what a reader made; blocks while a batch waits. False once nothing is wanted."""
        return self._put(item)

    def ended(self, error: Exception | None) -> None:
        """A reader has ended, by this error if there is one."""
        self._put(_Ended(error))

    def close(self) -> None:
        """Let readers that wait for room go."""
        self._closed = True

    def batches(self, *, readers: int, stop_reading: Callable[[], None]) -> Iterator[list[Item]]:
        """What there is, up to BATCH at a time, until all readers have ended; raises the error that ended one.

        After a stop no file is begun, and a reader that waits for a slow disk is not waited for.
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
        """A batch, or what comes within IDLE_SECONDS: a query and a listing for many cost what they cost for one."""
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
