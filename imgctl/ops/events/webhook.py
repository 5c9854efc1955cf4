"""Events that a server posts: taken in before they are answered, so that the sender tries again what may yet succeed."""

from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

from imgctl.ops.events.arrivals import Arrivals, Foreign
from imgctl.ops.events.deliveries import PASSING
from imgctl.ops.events.shapes import Event
from imgctl.ops.ingest.outcome import Fate, FileOutcome
from imgctl.ops.parts import Parts
from imgctl.ops.retry import StopSignal
from imgctl.ops.sources.base import SourceFile
from imgctl.ops.sources.open import Sources
from imgctl.ops.upload.order import UploadOrder
from imgctl.ops.upload.start import Taking, taking


@dataclass(slots=True, kw_only=True)
class Told:
    """What became of the objects that a request told of; `foreign` counts events that are none of ours."""

    outcomes: list[FileOutcome] = field(default_factory=list)
    foreign: Counter[Foreign] = field(default_factory=Counter)

    @property
    def failed(self) -> list[FileOutcome]:
        """What was not taken in."""
        return [one for one in self.outcomes if one.fate is Fate.FAILED]

    @property
    def may_yet_succeed(self) -> bool:
        """Whether the same request later can take in more."""
        return any(one.reason in PASSING for one in self.failed)


def take_in(parts: Parts, events: list[Event], *, stop: StopSignal) -> Told:
    """Take in what these events report; ConfigError where no events can be of this store."""
    told, files = Told(), list[SourceFile | FileOutcome]()
    with ExitStack() as stack:
        sources = stack.enter_context(closing(Sources(parts.settings)))
        arrivals = Arrivals(parts, sources, stop=stop)
        for event in events:
            arrival = arrivals.of(event)
            if isinstance(arrival, Foreign):
                told.foreign[arrival] += 1
            else:
                files.append(arrival)
        if files:
            how = Taking(order=UploadOrder(), readers=1, chunk=1, catalog=parts.catalog)
            told.outcomes += stack.enter_context(taking(parts.settings, files, how, store=parts.store, stop=stop))
    return told
