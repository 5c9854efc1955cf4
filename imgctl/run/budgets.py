"""Bounds on tasks in flight, on bytes held at once, and on bytes per second."""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")

BURST_SECONDS = 0.25


class Event(Protocol):
    """A request to stop: a threading.Event, a Stop or its Flag."""

    def is_set(self) -> bool: ...


def bounded(
    submit: Callable[[T], Future[R]], items: Iterable[T], *, limit: int, stop: Event | None = None
) -> Iterator[tuple[T, Future[R]]]:
    """Submit `items`, at most `limit` unfinished or not yet yielded at a time, and yield each with its done future.

    Yields in order of completion. Once `stop` is set no further item is taken; tasks in flight are still yielded.
    Closing the generator early cancels tasks that have not started.
    """
    done: queue.SimpleQueue[tuple[T, Future[R]]] = queue.SimpleQueue()
    in_flight: set[Future[R]] = set()
    source = iter(items)
    more = True
    try:
        while more or in_flight:
            more = more and (stop is None or not stop.is_set())
            if more and len(in_flight) < limit:
                more = _launch(submit, source, in_flight, done)
            if in_flight and (not more or len(in_flight) >= limit or not done.empty()):
                item, future = done.get()
                in_flight.remove(future)
                yield item, future
    finally:
        for future in in_flight:
            future.cancel()


def _launch(
    submit: Callable[[T], Future[R]],
    source: Iterator[T],
    in_flight: set[Future[R]],
    done: "queue.SimpleQueue[tuple[T, Future[R]]]",
) -> bool:
    for item in source:
        future = submit(item)
        in_flight.add(future)
        future.add_done_callback(partial(_report, done, item))
        return True
    return False


def _report(done: "queue.SimpleQueue[tuple[T, Future[R]]]", item: T, future: Future[R]) -> None:
    done.put((item, future))


class ByteBudget:
    """Bounds the bytes held at once, over all threads; first come, first served."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._room = threading.Condition()
        self._turn = threading.Lock()

    def acquire(self, size: int) -> None:
        """Block until `size` bytes fit; more than the whole budget fits when nothing else is held."""
        # Only one thread at a time waits for room, so that small requests cannot starve a large one.
        with self._turn, self._room:
            self._room.wait_for(lambda: not self._held or self._held + size <= self._limit)
            self._held += size

    def release(self, size: int) -> None:
        """Return `size` bytes to the budget."""
        with self._room:
            self._held -= size
            self._room.notify()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Hold `size` bytes of the budget during a block."""
        self.acquire(size)
        try:
            yield
        finally:
            self.release(size)


class RateLimit:
    """Limits throughput to `rate` bytes a second; a thread that is too early waits for its turn."""

    def __init__(self, rate: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._lock = threading.Lock()
        self._free_at = clock()

    def reserve(self, size: int) -> float:
        """Reserve a turn for `size` bytes; returns the seconds until it comes."""
        with self._lock:
            now = self._clock()
            self._free_at = max(self._free_at, now - BURST_SECONDS)
            turn = self._free_at
            self._free_at += size / self._rate
            return max(0.0, turn - now)
