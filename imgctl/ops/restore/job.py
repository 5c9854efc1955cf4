"""One run of a restore: survey, price, ask or write a plan, and wait where that is wanted."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from imgctl.ops.parts import Parts
from imgctl.ops.restore.ask import request
from imgctl.ops.restore.look import rows
from imgctl.ops.restore.order import Fate, Outcome, RestoreOrder, Seen, State, Wanted
from imgctl.ops.restore.plan import planned
from imgctl.ops.restore.survey import Survey, status, survey
from imgctl.ops.restore.wait import Round, first_look_seconds, wait
from imgctl.ops.retry import StopSignal
from imgctl.ops.spend import Terms, agree
from imgctl.pricing.estimate import Estimate
from imgctl.store.blobs.base import BlobStore
from imgctl.units import count_of

POLL_SECONDS = 60.0


@dataclass(slots=True, kw_only=True)
class RestoreJob:
    """What is restored, by which order, and what was found and done so far.

    `restoring` counts the originals that were on their way when they were last looked at.
    """

    parts: Parts
    cold: BlobStore
    wanted: Wanted
    order: RestoreOrder
    who: Terms
    stop: StopSignal
    found: Survey = field(default_factory=Survey)
    fates: Counter[Fate] = field(default_factory=Counter)
    restoring: int = 0
    _classes: set[str] = field(default_factory=set)

    def status(self) -> Iterator[Seen]:
        """How readable each original is; the rows learn of it."""
        catalog, found = self.parts.catalog, self.found
        for one in status(self.wanted, self.order, catalog=catalog, cold=self.cold, stop=self.stop, bad=found.bad):
            found.states.add(one.state, one.blob.size if one.blob else 0)
            yield one

    def survey(self) -> Estimate:
        """Look at the originals; what restoring them costs."""
        self.found = survey(self.wanted, self.order, catalog=self.parts.catalog, cold=self.cold, stop=self.stop)
        return self.found.needs.estimate(self.who.card, self.order)

    def check_agreed(self, cost: Estimate, *, yes: bool) -> None:
        """UsageError where it costs something that nobody agreed to."""
        if count := self.found.objects:
            what, order = f"restoring {count_of(count, 'original')}", self.order
            agree(what, cost.one_off, self.who, yes=yes, max_usd=order.budget, dry_run=order.dry_run)

    def outcomes(self, cost: Estimate, *, plan: Path | None, waits: bool) -> Iterator[Outcome | Round]:
        """Ask for the originals, or write a plan; what became of each, and each look while waiting."""
        for one in self._events(cost, plan=plan, waits=waits):
            if isinstance(one, Outcome):
                self._add(one)
            yield one

    def _events(self, cost: Estimate, *, plan: Path | None, waits: bool) -> Iterator[Outcome | Round]:
        catalog, cold, order, stop = self.parts.catalog, self.cold, self.order, self.stop
        outcomes = request(rows(catalog, self.wanted, stop=stop), order, catalog=catalog, cold=cold, stop=stop)
        if plan is not None:
            outcomes = planned(outcomes, order, plan, estimate=cost.record(self.who.bill))
        yield from outcomes
        if waits and not order.dry_run:
            times = (first_look_seconds(self.who.card, name, order.tier) for name in self._classes)
            first = min(times, default=POLL_SECONDS)
            yield from wait(self.wanted, order, catalog=catalog, cold=cold, stop=stop, first_seconds=first)

    def _add(self, outcome: Outcome) -> None:
        self.fates[outcome.fate] += 1
        # Not the requested ones: a directory restores at once.
        self.restoring += outcome.seen.state is State.RESTORING
        if outcome.fate is Fate.REQUESTED and outcome.seen.blob is not None:
            self._classes.add(outcome.seen.blob.storage_class)
