"""Threads that walk, read, hash and probe, bounded by a window of files and a budget of bytes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from threading import Event, Lock, Semaphore, Thread
from typing import Protocol

from imgctl.ops.ingest.outcome import FileOutcome
from imgctl.ops.ingest.recognise import Recogniser
from imgctl.ops.ingest.sidecar import SidecarFiles
from imgctl.ops.upload.known import Known
from imgctl.ops.upload.prepare import Prepared, held_bytes, prepare
from imgctl.ops.upload.walk import Found
from imgctl.run.window import ByteBudget

# One reader feeds a network from a local disk; where the puts run dry, as behind a slow NAS, more are started.
MOST_READERS = 16
FIRST_CHUNK, LARGEST_CHUNK = 8, 256
UNBOUNDED = 1 << 62


@dataclass(frozen=True, slots=True)
class ReaderEnded:
    """A reader has nothing more to read; `error` is what broke the walk, if anything did."""

    error: Exception | None = None


Read = Prepared | FileOutcome | ReaderEnded


class Events(Protocol):
    """Where results are left."""

    def put(self, item: Read, *, urgent: bool = False) -> None:
        """Leave one; an `urgent` one is looked at now."""


class Readers:
    """Read what the walk finds and leave each result among the `events`, at last one ReaderEnded a thread.

    Every result but ReaderEnded occupies a place in the window until `settled`; a Prepared also holds its bytes until
    `dropped`. `stop` ends the reading after the files in hand. `image_found` is called for each Prepared.
    """

    def __init__(
        self,
        files: Iterator[Found | FileOutcome],
        known: Known,
        sidecars: SidecarFiles,
        recogniser: Recogniser,
        *,
        window: int,
        budget_bytes: int,
        events: Events,
        image_found: Callable[[], None] | None = None,
    ) -> None:
        self.running = 0
        self._files = files
        self._known = known
        self._sidecars = sidecars
        self._recogniser = recogniser
        self._lock = Lock()
        self._gate = Lock()
        self._walking = 0
        self._chunk = FIRST_CHUNK
        self._exhausted = False
        self._window = Semaphore(window)
        self._budget = ByteBudget(budget_bytes)
        self._events = events
        self._image_found = image_found
        self._stop = Event()

    def start(self) -> None:
        """Begin to read, or read with one thread more; `running` counts those that have not ended."""
        if self.running < MOST_READERS and not self._exhausted:
            Thread(target=self._serve, name=f"imgctl read {self.running}", daemon=True).start()
            self.running += 1

    @property
    def busy(self) -> bool:
        """Whether results may still come: once stopped, who waits for the walk (a pipe, a slow disk) brings none."""
        with self._gate:
            return self.running > (self._walking if self._stop.is_set() else 0)

    def stop(self) -> None:
        """Begin no further file."""
        with self._gate:
            self._stop.set()

    def abandon(self) -> None:
        """Stop, and hold nobody up: what is read from now on will be settled and dropped by no one."""
        self.stop()
        self._window.release(MOST_READERS * (LARGEST_CHUNK + 1))
        self._budget.resize(UNBOUNDED)

    def widen(self, places: int) -> None:
        """So many more files may be on their way."""
        if places:
            self._window.release(places)

    def allow(self, budget_bytes: int) -> None:
        """Hold no more than so many bytes from now on."""
        self._budget.resize(budget_bytes)

    def settled(self, count: int) -> None:
        """The fate of so many files is known: their places are free."""
        if count:
            self._window.release(count)

    def dropped(self, prepared: Prepared) -> None:
        """This file's bytes are needed no more."""
        prepared.body = None
        self._budget.release(prepared.held)

    def _serve(self) -> None:
        broken: Exception | None = None
        try:
            while chunk := self._next_chunk():
                self._read(chunk)
        except Exception as error:
            # Raised again where the run ends.
            broken = error
        self._events.put(ReaderEnded(broken), urgent=True)

    def _next_chunk(self) -> list[Found | FileOutcome]:
        """The next files of the walk: few at first, so that the puts begin at once, then enough for one look-up."""
        with self._gate:
            self._walking += 1
        try:
            with self._lock:
                size, self._chunk = self._chunk, min(self._chunk * 2, LARGEST_CHUNK)
                chunk = [] if self._stop.is_set() else list(islice(self._files, size))
                self._exhausted = not chunk
        finally:
            with self._gate:
                self._walking -= 1
                stopped = self._stop.is_set()
        return [] if stopped else chunk

    def _read(self, chunk: list[Found | FileOutcome]) -> None:
        found = [one for one in chunk if isinstance(one, Found)]
        present, unread = self._known.split(found)
        for outcome in (*(one for one in chunk if isinstance(one, FileOutcome)), *present):
            self._window.acquire()
            self._events.put(outcome)
        for one in unread:
            self._window.acquire()
            if self._stop.is_set():
                return
            self._events.put(self._prepare(one))

    def _prepare(self, found: Found) -> Prepared | FileOutcome:
        held = held_bytes(found.size)
        self._budget.acquire(held)
        result = prepare(found, self._sidecars, self._recogniser)
        if isinstance(result, FileOutcome):
            self._budget.release(held)
            return result
        if self._image_found:
            self._image_found()
        if result.held != held:
            # It grew or shrank since the walk: account for what is really held.
            self._budget.release(held)
            self._budget.acquire(result.held)
        return result
