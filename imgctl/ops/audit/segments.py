"""Segments of rows and key space, and their concurrent audit with results in order."""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from queue import Full, Queue
from threading import Event
from typing import Generic, TypeVar
from uuid import UUID

from imgctl.keys import FIRST, first_id
from imgctl.ops.audit.merge import BEHIND, stem_of
from imgctl.ops.common.retry import StopSignal, read
from imgctl.run.threads import thread_pool
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.audit import split
from imgctl.store.catalog.queries.lookups import Scope

T = TypeVar("T")
R = TypeVar("R")

ROWS = 10_000
# Batches that a segment may be ahead of the reader.
PREFETCH = 4
CANCEL_CHECK_SECONDS = 0.2
# Dates begin with a digit: keys between these bounds, after a prefix, may be imgctl's. All bounds are plain ASCII and
# don't begin with a slash: some servers return an empty listing for a start that is not a valid key.
_FLOOR, _CEILING = f".{BEHIND}", f"9{BEHIND}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Rows with `after` < id <= `until` (None: to the end) and their keys; or `outside`, a range of keys of no row."""

    after: UUID = FIRST
    until: UUID | None = None
    outside: tuple[str, str] | None = None

    def bounds(self, prefix: str) -> tuple[str, str]:
        """Return the range of keys of these rows' blobs under a prefix, the first key excluded."""
        first = None if self.after == FIRST else stem_of(self.after, prefix)
        last = None if self.until is None else stem_of(self.until, prefix)
        return f"{first}{BEHIND}" if first else prefix + _FLOOR, f"{last}{BEHIND}" if last else prefix + _CEILING


def outside(prefixes: Sequence[str]) -> Iterator[Segment]:
    """Yield the key ranges that no row's keys can be in."""
    behind = ""
    for prefix in sorted(set(prefixes)):
        yield Segment(outside=(behind, prefix + _FLOOR))
        behind = prefix + _CEILING
    yield Segment(outside=(behind, ""))


def within(catalog: Catalog, scope: Scope, *, after: UUID | None, stop: StopSignal) -> Iterator[Segment]:
    """Yield the rows of a time range in segments of 10,000; starts after `after`, where an earlier run ended."""
    start: UUID | None = after or (_before(scope.since) if scope.since else FIRST)
    end = _before(scope.until) if scope.until else None
    while start is not None and not stop.is_set():
        middle = read(catalog, partial(split, after=start, until=end, rows=ROWS), stop=stop)
        yield Segment(after=start, until=middle or end)
        start = middle


def _before(moment: datetime) -> UUID:
    """Return the last id before a time; ids have a resolution of milliseconds."""
    whole = moment + timedelta(microseconds=-moment.microsecond % 1000)
    return UUID(int=max(0, first_id(whole).int - 1))


@dataclass(slots=True)
class _Running(Generic[T, R]):
    """A task in flight, and its unread batches; an empty batch is the last."""

    task: T
    batches: "Queue[list[R] | Exception]" = field(default_factory=lambda: Queue(PREFETCH))


def in_order(
    tasks: Iterator[T], work: Callable[[T], Iterator[list[R]]], *, at_once: int
) -> Generator[tuple[T, list[R] | None], None, None]:
    """Run `work` on `at_once` tasks in threads; yields its batches in the order of tasks, None after a task's last batch.

    An error of `work` is raised after the batches that it yielded before.
    """
    cancelled = Event()
    running: deque[_Running[T, R]] = deque()
    with thread_pool(at_once, name="audit") as pool:

        def launch() -> None:
            for task in islice(tasks, at_once - len(running)):
                one: _Running[T, R] = _Running(task)
                running.append(one)
                pool.submit(_run, one, work, cancelled)

        try:
            launch()
            while running:
                one = running[0]
                while batch := one.batches.get():
                    if isinstance(batch, Exception):
                        raise batch
                    yield one.task, batch
                running.popleft()
                launch()
                yield one.task, None
        finally:
            cancelled.set()


def _run(one: _Running[T, R], work: Callable[[T], Iterator[list[R]]], cancelled: Event) -> None:
    try:
        for batch in work(one.task):
            if batch and not _put(one, batch, cancelled):
                return
        _put(one, [], cancelled)
    except Exception as error:
        # The reader of the batches raises it.
        _put(one, error, cancelled)


def _put(one: _Running[T, R], batch: list[R] | Exception, cancelled: Event) -> bool:
    while not cancelled.is_set():
        try:
            one.batches.put(batch, timeout=CANCEL_CHECK_SECONDS)
        except Full:
            continue
        return True
    return False
