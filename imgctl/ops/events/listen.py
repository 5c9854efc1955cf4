"""Listening to a queue: turns messages into files for the ingest, and deletes them once their rows are confirmed."""

import logging
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event as Flag
from threading import Lock, Thread

from imgctl.errors import ConfigError, StoreError, StoreUnavailable
from imgctl.ops.common.open import Parts
from imgctl.ops.common.retry import StopSignal, retry
from imgctl.ops.common.transactions import InProcess
from imgctl.ops.events.arrivals import Arrivals, Foreign
from imgctl.ops.events.deliveries import Deliveries, Delivery, End
from imgctl.ops.events.event_formats import BadEvent, Event, events_in
from imgctl.ops.ingest.outcome import FileOutcome, Reason
from imgctl.ops.sources.base import SourceFile
from imgctl.ops.sources.open import DISTANT_READERS, Sources
from imgctl.ops.upload.options import UploadOrder
from imgctl.ops.upload.start import Taking, taking
from imgctl.store.aws.queue import MOST_MESSAGES, Message, Queue

log = logging.getLogger(__name__)

# Messages to delete wait this long, to share one request.
_FLUSH_SECONDS = 1.0
_HOLDS = 3
_DRAIN_WAIT_SECONDS = 1
_POISON_PAUSE_SECONDS = 900
# The next receive ends the run if the queue is gone.
_UNANSWERED = (StoreError, ConfigError)


@dataclass(slots=True, kw_only=True)
class Counts:
    """Counts of messages and events; `foreign` events do not concern this archive, `repeated` ones were settled before.

    `refused` counts failed deletions: the queue delivers these messages again.
    """

    messages: int = 0
    events: int = 0
    deleted: int = 0
    returned: int = 0
    dead_lettered: int = 0
    repeated: int = 0
    refused: int = 0
    foreign: Counter[Foreign] = field(default_factory=Counter)


@contextmanager
def listening(
    parts: Parts, queue: Queue, order: UploadOrder, *, counts: Counts, stop: StopSignal, drain: bool
) -> Iterator[Iterator[FileOutcome]]:
    """Take in the objects that the queue reports, until stopped; yields one outcome an object.

    With `drain` it ends once a request returns no message and none is in flight. At the end, messages in flight are
    given back to the queue.
    """
    with ExitStack() as stack:
        sources = stack.enter_context(closing(Sources(parts.settings)))
        arrivals = Arrivals(parts, sources, stop=stop)
        dead_letter = parts.settings.listen.dead_letter or queue.dead_letters()
        run = stack.enter_context(
            closing(_Listening(queue, arrivals, counts=counts, stop=stop, drain=drain, dead_letter=dead_letter))
        )
        # Chunks of one: one object may be a large film, and others need not wait for its reader.
        how = Taking(order=order, readers=DISTANT_READERS, chunk=1, catalog=InProcess(parts.catalog))
        outcomes = stack.enter_context(taking(parts.settings, run.files(), how, store=parts.store, stop=stop))
        yield run.settled(outcomes)


class _Listening:
    def __init__(
        self,
        queue: Queue,
        arrivals: Arrivals,
        *,
        counts: Counts,
        stop: StopSignal,
        drain: bool,
        dead_letter: str | None,
    ) -> None:
        self._queue = queue
        self._arrivals = arrivals
        self._counts = counts
        self._stop = stop
        self._drain = drain
        self._dead_letter = dead_letter
        self._deliveries = Deliveries()
        self._lock = Lock()
        self._done: list[Message] = []
        self._closed = Flag()
        self._tending = Thread(target=self._tend, name="imgctl queue", daemon=True)
        self._tending.start()

    def files(self) -> Iterator[SourceFile | FileOutcome | None]:
        """Yield the objects that messages report, as they arrive; None if a request returned no message."""
        wait_seconds = _DRAIN_WAIT_SECONDS if self._drain else None
        while not self._stop.is_set():
            messages = retry(
                lambda: self._queue.receive(wait_seconds=wait_seconds), stop=self._stop, on=StoreUnavailable
            )
            if messages:
                self._arrivals.forget()
            for message in messages:
                yield from self._opened(message)
            if not messages:
                if self._drain and not self._deliveries:
                    return
                yield None

    def settled(self, outcomes: Iterator[FileOutcome]) -> Iterator[FileOutcome]:
        """Yield the outcomes, each after it was recorded for its message."""
        for outcome in outcomes:
            for delivery in self._deliveries.ended(outcome):
                self._end(delivery)
            yield outcome

    def close(self) -> None:
        """Delete the messages that are done, and give back the others."""
        self._closed.set()
        self._tending.join()
        self._flush()
        if left := self._deliveries.held():
            self._counts.returned += len(left)
            self._give_back(left, seconds=0)

    def _opened(self, message: Message) -> Iterator[SourceFile | FileOutcome]:
        """Yield the files of one message that are to be taken in."""
        self._counts.messages += 1
        delivery = self._deliveries.begin(message)
        try:
            files = [one for event in events_in(message.body) if (one := self._arrived(delivery, event)) is not None]
        except BadEvent as error:
            path = f"message {message.id}"
            self._deliveries.add(delivery, path, None)
            files = [FileOutcome.failed(path, Reason.BAD_EVENT, str(error))]
        if self._deliveries.all_added(delivery) is not None:
            self._delete_soon(message)
        yield from files

    def _arrived(self, delivery: Delivery, event: Event) -> SourceFile | FileOutcome | None:
        """Return the file of one event, None if there is none to read."""
        self._counts.events += 1
        arrival = self._arrivals.of(event)
        if isinstance(arrival, Foreign):
            self._counts.foreign[arrival] += 1
            return None
        if self._deliveries.add(delivery, self._arrivals.path(event), event):
            return arrival
        self._counts.repeated += 1
        return None

    def _end(self, delivery: Delivery) -> None:
        message = delivery.message
        match delivery.end:
            case End.DONE:
                self._delete_soon(message)
            case End.AGAIN:
                self._counts.returned += 1
                self._give_back([message], seconds=0 if self._stop.is_set() else delivery.pause_seconds)
            case End.POISON:
                self._dead_lettered(delivery)

    def _dead_lettered(self, delivery: Delivery) -> None:
        message = delivery.message
        if self._dead_letter is None:
            log.warning("message %s is left in the queue, which has no dead-letter queue", message.id)
            self._counts.returned += 1
            self._give_back([message], seconds=_POISON_PAUSE_SECONDS)
            return
        try:
            # Sent before it is deleted: a kill between them leaves it in both.
            self._queue.dead_letter(message, delivery.reason, url=self._dead_letter)
        except StoreError as error:
            log.warning("message %s stays in the queue: %s", message.id, error.line)
            self._give_back([message], seconds=delivery.pause_seconds)
            return
        self._counts.dead_lettered += 1
        self._delete_soon(message)

    def _delete_soon(self, message: Message) -> None:
        with self._lock:
            self._done.append(message)
            due = len(self._done) >= MOST_MESSAGES
        if due:
            self._flush()

    def _flush(self) -> None:
        with self._lock:
            done, self._done = self._done, []
        if not done:
            return
        try:
            refused = self._queue.delete(done)
        except _UNANSWERED as error:
            # They are delivered again, and cost a query then.
            log.warning("%d messages could not be deleted: %s", len(done), error.line)
            refused = len(done)
        with self._lock:
            self._counts.refused += refused
            self._counts.deleted += len(done) - refused
        self._deliveries.forget(done)

    def _give_back(self, messages: list[Message], *, seconds: int) -> None:
        self._deliveries.forget(messages)
        with suppress(*_UNANSWERED):
            # If this fails, they return when their visibility timeout ends.
            self._queue.hold(messages, seconds=seconds)

    def _tend(self) -> None:
        """Delete messages that are done, and keep those in flight hidden, until closed."""
        holds_every = self._queue.hold_seconds / _HOLDS
        due = time.monotonic() + holds_every
        while not self._closed.wait(_FLUSH_SECONDS):
            self._flush()
            if time.monotonic() < due:
                continue
            due = time.monotonic() + holds_every
            try:
                self._queue.hold(self._deliveries.held())
            except _UNANSWERED as error:
                log.warning("messages in flight could not be kept hidden, and may be delivered again: %s", error.line)
