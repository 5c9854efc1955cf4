"""Where many threads leave what one thread takes, which is woken when there is enough for it to do, and not each time."""

from collections import deque
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")

_NEVER = 1 << 62


class Inbox(Generic[T]):
    """Items in the order they came; waking a thread costs more than most items do."""

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._enough = _NEVER
        self._signals: SimpleQueue[None] = SimpleQueue()

    def put(self, item: T, *, urgent: bool = False) -> None:
        """Leave an item; an `urgent` one wakes whoever waits, however few there are."""
        self._items.append(item)
        if urgent or len(self._items) >= self._enough:
            self._signals.put(None)

    def take(self, *, enough: int, seconds: float) -> list[T]:
        """All there is, once that is `enough`, or urgent, or so many seconds have passed; perhaps nothing."""
        # Set before the look at what is there: an item that comes after the look sees it.
        self._enough = enough
        if len(self._items) < enough:
            with suppress(Empty):
                self._signals.get(timeout=seconds)
        self._enough = _NEVER
        while not self._signals.empty():
            self._signals.get()
        return [self._items.popleft() for _ in range(len(self._items))]
