"""One run of a restore: survey, price, ask or write a plan, and wait where that is wanted."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from imgctl.ops.parts import Parts
from imgctl.ops.restore.ask import request
from imgctl.ops.restore.order import Fate, Outcome, RestoreOrder, Seen, State
from imgctl.ops.restore.plan import planned
from imgctl.ops.restore.survey import Survey, status, survey
from imgctl.ops.restore.wait import Round, first_look_seconds, wait
from imgctl.ops.retry import StopSignal
from imgctl.ops.rows import Chosen, pages
from imgctl.ops.spend import Terms, agree
from imgctl.ops.tally import Tally
from imgctl.pricing.estimate import Estimate
from imgctl.units import count_of

POLL_SECONDS = 60.0


@dataclass(slots=True, kw_only=True)
class RestoreJob:
    """What is restored, by which order, and what was found and done so far.

    `restoring` counts the originals that were on their way when they were last looked at.
    """

    parts: Parts
    chosen: Chosen
    order: RestoreOrder
    who: Terms
    stop: StopSignal
    found: Survey = field(default_factory=Survey)
    tally: Tally[Fate] = field(default_factory=lambda: Tally(Fate))
    restoring: int = 0

    def status(self) -> Iterator[Seen]:
        """How readable each original is; the rows learn of it."""
        for one in status(self.chosen, self.order, parts=self.parts, stop=self.stop, bad=self.found.bad):
            self.found.states.add(one.state, one.blob.size if one.blob else 0)
            yield one

    def survey(self) -> Estimate:
        """Look at the originals; what restoring them costs."""
        self.found = survey(self.chosen, self.order, parts=self.parts, stop=self.stop)
        return self.found.needs.estimate(self.who.card, self.order)

    def check_agreed(self, cost: Estimate, *, yes: bool) -> None:
        """UsageError where it costs something, without --yes or enough --max-usd."""
        if count := self.found.objects:
            what, order = f"restoring {count_of(count, 'original')}", self.order
            agree(what, cost.one_off, self.who, yes=yes, max_usd=order.budget, dry_run=order.dry_run)

    def outcomes(self, cost: Estimate, *, plan: Path | None, waits: bool) -> Iterator[Outcome | Round]:
        """Ask for the originals, or write a plan; what became of each, and each look while waiting."""
        parts, order, stop, classes = self.parts, self.order, self.stop, set[str]()
        asked = request(pages(parts.catalog, self.chosen, stop=stop), order, parts=parts, stop=stop)
        for one in planned(asked, order, plan, estimate=cost.record(self.who.bill)) if plan else asked:
            self._count(one)
            if one.fate is Fate.REQUESTED and one.seen.blob is not None:
                classes.add(one.seen.blob.storage_class)
            yield one
        if waits and not order.dry_run:
            times = (first_look_seconds(self.who.card, name, order.tier) for name in classes)
            first = min(times, default=POLL_SECONDS)
            for event in wait(self.chosen, order, parts=parts, stop=stop, first_seconds=first):
                if isinstance(event, Outcome):
                    self._count(event)
                yield event

    def _count(self, outcome: Outcome) -> None:
        self.tally.count(outcome.fate, size=outcome.size)
        # Not the requested ones: a directory restores at once.
        self.restoring += outcome.seen.state is State.RESTORING
