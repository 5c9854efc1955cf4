"""Back-pressure: a bounded number of tasks in flight, and a bounded number of bytes."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Event(Protocol):
    """What says that no more items are wanted: a threading.Event, a Stop or its Flag."""

    def is_set(self) -> bool: ...


def bounded(
    submit: Callable[[T], Future[R]], items: Iterable[T], *, limit: int, stop: Event | None = None
) -> Iterator[tuple[T, Future[R]]]:
    """Submit `items`, at most `limit` unfinished or unseen at a time, and yield each with its done future.

    In order of completion. Once `stop` is set no further item is taken; what flies is still yielded. Closing the
    generator early cancels what has not begun.
    """
    done: queue.SimpleQueue[tuple[T, Future[R]]] = queue.SimpleQueue()
    flying: set[Future[R]] = set()
    source = iter(items)
    more = True
    try:
        while more or flying:
            more = more and (stop is None or not stop.is_set())
            if more and len(flying) < limit:
                more = _launch(submit, source, flying, done)
            if flying and (not more or len(flying) >= limit or not done.empty()):
                item, future = done.get()
                flying.remove(future)
                yield item, future
    finally:
        for future in flying:
            future.cancel()


def _launch(
    submit: Callable[[T], Future[R]],
    source: Iterator[T],
    flying: set[Future[R]],
    done: "queue.SimpleQueue[tuple[T, Future[R]]]",
) -> bool:
    for item in source:
        future = submit(item)
        flying.add(future)
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
        # Only one waits for room at a time, so that small ones cannot keep a large one out for ever.
        with self._turn, self._room:
            self._room.wait_for(lambda: not self._held or self._held + size <= self._limit)
            self._held += size

    def resize(self, limit: int) -> None:
        """Change the bound; a lower one takes hold as bytes are given back."""
        with self._room:
            self._limit = limit
            self._room.notify()

    def release(self, size: int) -> None:
        """Give back what `acquire` took."""
        with self._room:
            self._held -= size
            self._room.notify()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Hold `size` bytes of the budget for the length of a block."""
        self.acquire(size)
        try:
            yield
        finally:
            self.release(size)
