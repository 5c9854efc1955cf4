"""Threads that prepare images for ingest, a chunk of a walk or a manifest at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from threading import Lock, Thread
from typing import Generic, TypeAlias, TypeVar

from imgctl.ops.ingest.original import Prepared, S
from imgctl.ops.ingest.outcome import FileOutcome
from imgctl.run.budgets import ByteBudget
from imgctl.run.threads import join_for_a_moment

# Small at first, so that the puts begin at once.
FIRST_CHUNK = 8

# The result of `read` for an item.
M = TypeVar("M")

Read: TypeAlias = Callable[[Sequence[S], ByteBudget], Iterator[Sequence[Prepared[S] | FileOutcome]]]


class Readers(Generic[S, M]):
    """Threads that call `read` with chunks of items and `offer` the results, until no item is left or an offer fails.

    An item that is None means that there are no more for now: the chunk so far is read.

    Each thread calls `ended` once, with the error that ended it, if any. `read` yields its results as soon as they are
    known, those together that are known together, and reserves their bytes in the budget.
    """

    def __init__(
        self,
        items: Iterable[S | FileOutcome | None],
        read: Callable[[Sequence[S], ByteBudget], Iterator[Sequence[M | FileOutcome]]],
        budget: ByteBudget,
        *,
        offer: Callable[[Sequence[M | FileOutcome]], bool],
        ended: Callable[[Exception | None], None],
        largest_chunk: int,
    ) -> None:
        self.stopped = False
        self._items = iter(items)
        self._read = read
        self._budget = budget
        self._offer = offer
        self._ended = ended
        self._largest_chunk = largest_chunk
        self._chunk = min(FIRST_CHUNK, largest_chunk)
        self._next = Lock()
        self._threads: list[Thread] = []

    def start(self) -> None:
        """Start one more thread."""
        thread = Thread(target=self._serve, name="imgctl read", daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self) -> None:
        """Read no further items; a thread that waits for its next item (a pipe, a slow disk) keeps waiting."""
        self.stopped = True

    def join(self) -> None:
        """Wait a moment for stopped threads to finish with the catalog and the store."""
        join_for_a_moment(self._threads)

    def _serve(self) -> None:
        error: Exception | None = None
        try:
            while (chunk := self._next_chunk()) and all(map(self._offer, filter(None, self._made_of(chunk)))):
                pass
        except Exception as found:
            # The loop raises it at the end of the run.
            error = found
        self._ended(error)

    def _made_of(self, chunk: list[S | FileOutcome]) -> Iterator[Sequence[M | FileOutcome]]:
        yield [one for one in chunk if isinstance(one, FileOutcome)]
        for results in self._read([one for one in chunk if not isinstance(one, FileOutcome)], self._budget):
            yield results
            if self.stopped:
                return

    def _next_chunk(self) -> list[S | FileOutcome]:
        with self._next:
            size, self._chunk = self._chunk, min(self._chunk * 2, self._largest_chunk)
            chunk: list[S | FileOutcome] = []
            while not self.stopped and len(chunk) < size:
                try:
                    item = next(self._items)
                except StopIteration:
                    break
                if item is not None:
                    chunk.append(item)
                elif chunk:
                    break
            return [] if self.stopped else chunk
