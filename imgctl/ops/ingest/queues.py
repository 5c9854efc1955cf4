"""Queues between readers, putters and the ingest loop, under one lock."""

from collections.abc import Sequence
from threading import Condition, Lock
from typing import Generic, NamedTuple

from imgctl.errors import BucketMissing, StoreDenied, StoreFull, StoreUnavailable
from imgctl.ops.ingest.original import Prepared, S
from imgctl.ops.ingest.outcome import FileOutcome
from imgctl.ops.ingest.puts import Putters

BATCH = 128
"""Number of images that are worth a transaction; a transaction takes all that are queued."""
MOST_PREPARED = 4 * BATCH
MOST_PREPARED_BYTES = 16 * 2**20
MOST_OUTCOMES = 2 * BATCH
SMALL_BATCH = BATCH // 4
"""Number of images that are worth a transaction if puts lack work; smaller ones take the readers' time for commits."""
FEWEST_AHEAD = 8
# Fewer puts in flight than this are started one by one: each may take long.
FEW_PUTS = 8
# The longest delay until a stop is noticed.
IDLE_SECONDS = 1.0
ENDS_THE_RUN = (StoreDenied, BucketMissing, StoreFull)


class Work(NamedTuple, Generic[S]):
    """The images that one transaction confirms (`arrived`) and promises (`prepared`); `starved`: putters lack work."""

    arrived: list[Prepared[S]]
    prepared: list[Prepared[S]]
    starved: bool


class Handover(Generic[S]):
    """Queues on which the loop waits for a batch from readers and putters, and readers wait for room.

    While `paused`, prepared images make no transaction due. `error` is the first error that ends the run; it also stops
    the putters.
    """

    def __init__(self, putters: Putters[S]) -> None:
        self.error: Exception | None = None
        self.reading = 0
        self.paused = False
        self._putters = putters
        lock = Lock()
        self._enough, self._room = Condition(lock), Condition(lock)
        self._outcomes: list[FileOutcome] = []
        self._prepared: list[Prepared[S]] = []
        self._prepared_bytes = 0
        self._arrived: list[Prepared[S]] = []
        self._failed: list[tuple[Prepared[S], Exception]] = []
        self._failures_in_a_row = 0
        self._putting = 0
        self._ahead = FEWEST_AHEAD
        self._reader_has_ended = False
        self._closed = False

    # --- called by readers and putters

    def offer(self, items: Sequence[Prepared[S] | FileOutcome]) -> bool:
        """Queue results of a reader; blocks while the queues are full. False once closed."""
        with self._room:
            self._room.wait_for(lambda: self._closed or not self._is_full())
            if self._closed:
                return False
            for item in items:
                if isinstance(item, FileOutcome):
                    self._outcomes.append(item)
                else:
                    self._prepared.append(item)
                    self._prepared_bytes += item.held
            self._wake_loop()
        return True

    def reader_ended(self, error: Exception | None) -> None:
        """Record that a reader ended, after it offered all its items."""
        with self._enough:
            self.reading -= 1
            self._reader_has_ended = True
            self._give_up(error)
            self._wake_loop()

    def put_ended(self, prepared: Prepared[S], error: Exception | None) -> None:
        """Record that a put succeeded or failed; more failures in a row than puts run at once end the run."""
        with self._enough:
            self._putting -= 1
            if error is None:
                self._arrived.append(prepared)
                self._failures_in_a_row = 0
            else:
                self._failed.append((prepared, error))
                self._failures_in_a_row += isinstance(error, StoreUnavailable)
                if isinstance(error, ENDS_THE_RUN) or self._failures_in_a_row > self._putters.limit:
                    self._give_up(error)
            self._wake_loop()

    # --- called by the loop

    def reader_begins(self) -> None:
        """Record that a reader begins."""
        with self._enough:
            self.reading += 1

    def wait(self) -> tuple[list[FileOutcome], list[tuple[Prepared[S], Exception]]]:
        """Wait up to IDLE_SECONDS until a transaction may be due; return the readers' outcomes and the failed puts."""
        with self._enough:
            self._enough.wait_for(self._has_enough, IDLE_SECONDS)
            outcomes, self._outcomes = self._outcomes, []
            failed, self._failed = self._failed, []
            self._reader_has_ended = False
            self._room.notify_all()
        return outcomes, failed

    def is_empty(self) -> bool:
        """Whether no item of a reader is queued."""
        return not self._prepared and not self._outcomes

    def is_due(self) -> bool:
        """Whether a transaction is worth its commit now: a batch is full, or putters would idle until it is."""
        limit = self._putters.limit
        if len(self._arrived) >= BATCH or (self._arrived and not self._putting):
            return True
        if not self._prepared or self.paused:
            return False
        count, size = len(self._prepared), self._prepared_bytes
        if count >= BATCH or size >= MOST_PREPARED_BYTES:
            return self._putting < self._putters.next_limit + self._ahead
        is_small_batch = count >= SMALL_BATCH or size >= MOST_PREPARED_BYTES / 4
        return self._putting < (limit / 2 if is_small_batch else min(limit / 2, FEW_PUTS))

    def take(self, most: int | None) -> Work[S]:
        """Return all arrived images, and as many prepared ones as the putters need, at most `most`."""
        with self._room:
            arrived, self._arrived = self._arrived, []
            wanted = max(0, self._putters.next_limit + self._ahead + BATCH - self._putting)
            prepared = self._prepared[: wanted if most is None else min(wanted, most)]
            del self._prepared[: len(prepared)]
            self._prepared_bytes -= sum(one.held for one in prepared)
            starved = self._putting < self._putters.limit / 2 and len(prepared) < BATCH
            self._room.notify_all()
        return Work(arrived, prepared, starved)

    def submit(self, puts: Sequence[Prepared[S]]) -> None:
        """Queue the puts of a transaction that has ended."""
        with self._enough:
            self._ahead = max(FEWEST_AHEAD, 2 * len(self._arrived))
            self._putting += len(puts)
        self._putters.submit(puts)

    def drop(self) -> list[Prepared[S]]:
        """Empty the queue of prepared images and return them."""
        with self._room:
            dropped, self._prepared, self._prepared_bytes = self._prepared, [], 0
        return dropped

    def close(self) -> list[Prepared[S]]:
        """Accept no further items; drop and return the prepared images."""
        with self._room:
            self._closed = True
            self._room.notify_all()
        return self.drop()

    def _wake_loop(self) -> None:
        if self._has_enough():
            self._enough.notify()

    def _is_full(self) -> bool:
        return (
            len(self._prepared) >= MOST_PREPARED
            or self._prepared_bytes >= MOST_PREPARED_BYTES
            or len(self._outcomes) >= MOST_OUTCOMES
        )

    def _has_enough(self) -> bool:
        return self._reader_has_ended or bool(self._failed) or len(self._outcomes) >= BATCH or self.is_due()

    def _give_up(self, error: Exception | None) -> None:
        if error is not None and self.error is None:
            self.error = error
            self._putters.give_up()
