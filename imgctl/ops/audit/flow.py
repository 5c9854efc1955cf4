"""Several streams at once, heard one after the other: results keep their order, and nobody runs far ahead."""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from itertools import islice
from queue import Full, Queue
from threading import Event
from typing import Generic, TypeVar

from imgctl.run.threads import thread_pool

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 4
STEP_SECONDS = 0.2


@dataclass(slots=True)
class _Flight(Generic[T, R]):
    """A task under way, and what it has said that nobody has heard yet; an empty list is its last word."""

    task: T
    said: "Queue[list[R] | Exception]" = field(default_factory=lambda: Queue(AHEAD))


def in_order(
    tasks: Iterator[T], work: Callable[[T], Iterator[list[R]]], *, at_once: int
) -> Generator[tuple[T, list[R] | None], None, None]:
    """What `work` says of each task, `at_once` of them in threads: batches in the order of tasks, None at the end of one.

    Raises what `work` raises, after all that was said before it.
    """
    cancelled = Event()
    flights: deque[_Flight[T, R]] = deque()
    with thread_pool(at_once, name="audit") as pool:

        def launch() -> None:
            for task in islice(tasks, at_once - len(flights)):
                flight: _Flight[T, R] = _Flight(task)
                flights.append(flight)
                pool.submit(_fly, flight, work, cancelled)

        try:
            launch()
            while flights:
                flight = flights[0]
                while said := flight.said.get():
                    if isinstance(said, Exception):
                        raise said
                    yield flight.task, said
                flights.popleft()
                launch()
                yield flight.task, None
        finally:
            cancelled.set()


def _fly(flight: _Flight[T, R], work: Callable[[T], Iterator[list[R]]], cancelled: Event) -> None:
    try:
        for batch in work(flight.task):
            if batch and not _say(flight, batch, cancelled):
                return
        _say(flight, [], cancelled)
    except Exception as error:
        # The one who listens raises it.
        _say(flight, error, cancelled)


def _say(flight: _Flight[T, R], said: list[R] | Exception, cancelled: Event) -> bool:
    while not cancelled.is_set():
        try:
            flight.said.put(said, timeout=STEP_SECONDS)
        except Full:
            continue
        return True
    return False
