"""Threads that walk, read, hash and probe, bounded by a window of files and a budget of bytes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event, Lock, Semaphore, Thread

from imgctl.ops.upload.outcome import FileOutcome
from imgctl.ops.upload.prepare import Prepared, held_bytes, prepare
from imgctl.ops.upload.walk import Found
from imgctl.run.window import ByteBudget

READERS = 4


@dataclass(frozen=True, slots=True)
class ReaderEnded:
    """A reader has nothing more to read; `error` is what broke the walk, if anything did."""

    error: Exception | None = None


Read = Prepared | FileOutcome | ReaderEnded


class Readers:
    """Read what the walk finds and hand each result to `done`, then one ReaderEnded a thread.

    Every result but ReaderEnded occupies a place in the window until `settled`; a Prepared also holds its bytes until
    `dropped`. `stop` ends the reading after the files in hand.
    """

    def __init__(
        self, files: Iterator[Found | FileOutcome], *, window: int, budget_bytes: int, done: Callable[[Read], None]
    ) -> None:
        self.running = READERS
        self._files = files
        self._lock = Lock()
        self._window = Semaphore(window)
        self._budget = ByteBudget(budget_bytes)
        self._done = done
        self._stop = Event()
        self._threads = [Thread(target=self._serve, name=f"read-{n}", daemon=True) for n in range(READERS)]

    def start(self) -> None:
        """Begin to read."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Begin no further file."""
        self._stop.set()

    def settled(self) -> None:
        """One file's fate is known: its place is free."""
        self._window.release()

    def dropped(self, prepared: Prepared) -> None:
        """This file's bytes are needed no more."""
        prepared.body = None
        self._budget.release(held_bytes(prepared.size))

    def _serve(self) -> None:
        broken: Exception | None = None
        try:
            while self._read_one():
                pass
        except Exception as error:  # raised again where the run ends
            broken = error
        self._done(ReaderEnded(broken))

    def _read_one(self) -> bool:
        self._window.acquire()
        with self._lock:
            found = None if self._stop.is_set() else next(self._files, None)
        if found is None:
            self._window.release()
            return False
        self._done(found if isinstance(found, FileOutcome) else self._prepare(found))
        return True

    def _prepare(self, found: Found) -> Prepared | FileOutcome:
        held = held_bytes(found.size)
        self._budget.acquire(held)
        result = prepare(found)
        if isinstance(result, Prepared) and held_bytes(result.size) != held:
            # It grew or shrank between the walk and the read: account for what is really held.
            self._budget.release(held)
            self._budget.acquire(held_bytes(result.size))
        if isinstance(result, FileOutcome):
            self._budget.release(held)
        return result
