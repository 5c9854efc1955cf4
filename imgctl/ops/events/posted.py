"""Events that a server posts: taken in before the response, so that the sender retries those that may yet succeed."""

from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

from imgctl.ops.common.parts import Parts
from imgctl.ops.common.retry import StopSignal
from imgctl.ops.common.transactions import InProcess
from imgctl.ops.events.arrivals import Arrivals, Foreign
from imgctl.ops.events.deliveries import PASSING
from imgctl.ops.events.shapes import Event
from imgctl.ops.ingest.outcome import Fate, FileOutcome
from imgctl.ops.sources.base import SourceFile
from imgctl.ops.sources.open import Sources
from imgctl.ops.upload.order import UploadOrder
from imgctl.ops.upload.start import Taking, taking


@dataclass(slots=True, kw_only=True)
class EventOutcomes:
    """The outcomes of the objects that a request reported; `foreign` counts events about other objects."""

    outcomes: list[FileOutcome] = field(default_factory=list)
    foreign: Counter[Foreign] = field(default_factory=Counter)

    @property
    def failed(self) -> list[FileOutcome]:
        """The outcomes of the objects that were not taken in."""
        return [one for one in self.outcomes if one.fate is Fate.FAILED]

    @property
    def may_yet_succeed(self) -> bool:
        """Whether the same request may take in more objects later."""
        return any(one.reason in PASSING for one in self.failed)


def take_in(parts: Parts, events: list[Event], *, stop: StopSignal) -> EventOutcomes:
    """Take in the objects that these events report; ConfigError for a store that sends no events."""
    taken, files = EventOutcomes(), list[SourceFile | FileOutcome]()
    with ExitStack() as stack:
        sources = stack.enter_context(closing(Sources(parts.settings)))
        arrivals = Arrivals(parts, sources, stop=stop)
        for event in events:
            arrival = arrivals.of(event)
            if isinstance(arrival, Foreign):
                taken.foreign[arrival] += 1
            else:
                files.append(arrival)
        if files:
            how = Taking(order=UploadOrder(), readers=1, chunk=1, catalog=InProcess(parts.catalog))
            taken.outcomes += stack.enter_context(taking(parts.settings, files, how, store=parts.store, stop=stop))
    return taken
