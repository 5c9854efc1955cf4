"""Messages in flight: the objects that each still waits for, and its end once all of them have ended."""

from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Lock

from imgctl.ops.events.event_formats import Event
from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.store.aws.queue import Message

# Failures after which the same message may succeed later.
PASSING = frozenset((Reason.STORE, Reason.SOURCE, Reason.CHANGED, Reason.UNREADABLE, Reason.NOT_TRIED))
# The number of keys whose newest settled event is remembered.
_MOST_SETTLED = 10_000
_FIRST_RETURN_SECONDS, _LONGEST_RETURN_SECONDS = 30, 900


class End(StrEnum):
    """The end of a message: deleted, tried again later, or moved to the dead-letter queue."""

    DONE = "done"
    AGAIN = "again"
    POISON = "poison"


@dataclass(slots=True, kw_only=True)
class Delivery:
    """One delivery of a message, how many of its objects have not ended, and which of them failed."""

    message: Message
    left: int
    failures: list[FileOutcome] = field(default_factory=list)

    @property
    def end(self) -> End:
        """Its end once all its objects have ended; if any failure may pass, the whole message is tried again."""
        if not self.failures:
            return End.DONE
        return End.AGAIN if any(one.reason in PASSING for one in self.failures) else End.POISON

    @property
    def reason(self) -> str:
        """The failures as a text for the dead-letter queue."""
        return "; ".join(f"{one.reason}: {one.path}: {one.detail}" for one in self.failures)

    @property
    def pause_seconds(self) -> int:
        """Seconds to wait before it is tried again: twice as long each time."""
        return int(min(_FIRST_RETURN_SECONDS * 2 ** min(self.message.deliveries - 1, 10), _LONGEST_RETURN_SECONDS))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Object:
    """An object of an event that is being taken in, and the deliveries that wait for it."""

    event: Event | None
    deliveries: list[Delivery]


class Deliveries:
    """The deliveries in flight, found by the paths of their objects; safe in many threads.

    Two events of one object may be in flight at once. Their outcomes cannot be told apart and need not be: both are
    outcomes of that object, and if one failed, either message causes the object to be read again.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: defaultdict[str, deque[_Object]] = defaultdict(deque)
        self._settled: OrderedDict[str, str] = OrderedDict()
        self._in_flight: dict[str, Message] = {}

    def __len__(self) -> int:
        return len(self._in_flight)

    def begin(self, message: Message) -> Delivery:
        """Begin the delivery of a message; it waits until `all_added` is called."""
        with self._lock:
            self._in_flight[message.handle] = message
        return Delivery(message=message, left=1)

    def add(self, delivery: Delivery, path: str, event: Event | None) -> bool:
        """Let a delivery wait for an object; False if another read, for this or a later event, covers it."""
        with self._lock:
            if event is not None and event.sequencer:
                if event.order <= self._settled.get(path, ""):
                    return False
                for one in self._waiting.get(path, ()):
                    if one.event is not None and event.order <= one.event.order:
                        # The read under way is for a write at least as new: it covers this one.
                        one.deliveries.append(delivery)
                        delivery.left += 1
                        return False
            delivery.left += 1
            self._waiting[path].append(_Object(event=event, deliveries=[delivery]))
            return True

    def all_added(self, delivery: Delivery) -> Delivery | None:
        """Note that all objects of a delivery are added; return the delivery if it waits for none, else None."""
        with self._lock:
            return _counted_down(delivery)

    def ended(self, outcome: FileOutcome) -> list[Delivery]:
        """Record the outcome of an object; return the deliveries for which it was the last."""
        with self._lock:
            waiting = self._waiting[outcome.path]
            found = waiting.popleft()
            if not waiting:
                del self._waiting[outcome.path]
            if outcome.fate is Fate.FAILED:
                for delivery in found.deliveries:
                    delivery.failures.append(outcome)
            elif found.event is not None and found.event.sequencer:
                self._settled[outcome.path] = max(found.event.order, self._settled.pop(outcome.path, ""))
                if len(self._settled) > _MOST_SETTLED:
                    self._settled.popitem(last=False)
            return [one for one in found.deliveries if _counted_down(one) is not None]

    def forget(self, messages: Iterable[Message]) -> None:
        """Drop messages that were deleted or returned: they need not be kept hidden in the queue any more."""
        with self._lock:
            for one in messages:
                self._in_flight.pop(one.handle, None)

    def held(self) -> list[Message]:
        """Return the messages that are in flight or wait to be deleted."""
        with self._lock:
            return list(self._in_flight.values())


def _counted_down(delivery: Delivery) -> Delivery | None:
    delivery.left -= 1
    return None if delivery.left else delivery
