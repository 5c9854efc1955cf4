"""One run of a restore: survey, price, request or write a plan, and wait if requested."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from imgctl.ops.common.open import Parts
from imgctl.ops.common.retry import StopSignal
from imgctl.ops.common.rows import Chosen, pages
from imgctl.ops.common.spend import Terms, agree
from imgctl.ops.common.tally import Tally
from imgctl.ops.restore.ask import Allowance, move_back, request
from imgctl.ops.restore.options import Fate, Outcome, RestoreOrder, Seen, State
from imgctl.ops.restore.plan import planned
from imgctl.ops.restore.survey import Survey, status, survey
from imgctl.pricing.costs import retrieval
from imgctl.pricing.estimate import Estimate
from imgctl.pricing.prices import Card
from imgctl.store.blobs.base import Tier
from imgctl.units import count_of

POLL_SECONDS = 60.0
SECONDS_AN_HOUR = 3600
# If a price card gives no minimum time, as for DEEP_ARCHIVE, a quarter of the maximum.
SHARE_OF_MOST = Decimal("0.25")
LEAST_SECONDS = 15.0
MOST_SECONDS = 1800.0
GROWTH = 1.5
JITTER = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One poll: how many originals were still restoring, how many readable, and seconds until the next poll."""

    restoring: int
    restored: int
    next_seconds: float | None


@dataclass(slots=True, kw_only=True)
class RestoreJob:
    """One run: the chosen rows, the order, and the results so far.

    `restoring` counts the originals that were being restored when last looked up.
    """

    parts: Parts
    chosen: Chosen
    order: RestoreOrder
    terms: Terms
    stop: StopSignal
    found: Survey = field(default_factory=Survey)
    tally: Tally[Fate] = field(default_factory=lambda: Tally(Fate))
    restoring: int = 0

    def status(self) -> Iterator[Seen]:
        """Yield the state of each original; the rows are updated with it."""
        for one in status(self.chosen, self.order, parts=self.parts, stop=self.stop, bad=self.found.bad):
            self.found.states.add(one.state, one.blob.size if one.blob else 0)
            yield one

    def survey(self) -> Estimate:
        """Look up the originals; returns what restoring them costs."""
        self.found = survey(self.chosen, self.order, parts=self.parts, stop=self.stop)
        return self.found.needs.estimate(self.terms.card, self.order)

    def check_agreed(self, cost: Estimate, *, yes: bool) -> None:
        """Raise UsageError if the restore costs money and --yes or a sufficient --max-usd is missing."""
        if count := self.found.objects:
            what, order = f"restoring {count_of(count, 'original')}", self.order
            agree(what, cost.one_off, self.terms, yes=yes, max_usd=order.budget, dry_run=order.dry_run)

    def outcomes(self, *, plan: Path | None, waits: bool) -> Iterator[Outcome | Round]:
        """Request the originals, or write a plan; yields each outcome, and each poll while waiting."""
        parts, order, stop, classes = self.parts, self.order, self.stop, set[str]()
        allowed = Allowance(left=order.limit)
        rows = pages(parts.catalog, self.chosen, stop=stop)
        requested = request(rows, order, parts=parts, stop=stop, allowance=allowed)
        if plan is not None:
            versioned = self.found.needs.versioned
            requested = planned(requested, order, plan, terms=self.terms, versioned=versioned, stop=stop)
        for one in requested:
            self._count(one)
            if one.fate is Fate.REQUESTED and one.seen.blob is not None:
                classes.add(one.seen.blob.storage_class)
            yield one
        if waits and not order.dry_run:
            times = (first_look_seconds(self.terms.card, name, order.tier) for name in classes)
            first = min(times, default=POLL_SECONDS)
            # To restore an original and to move it back are two steps of one: each may be done for `limit` originals.
            left = None if order.limit is None else order.limit - self.tally.fates[Fate.MOVED]
            moves = Allowance(left=left, spent=allowed.spent)
            for event in wait(self.chosen, order, parts=parts, stop=stop, first_seconds=first, allowance=moves):
                if isinstance(event, Outcome):
                    self._count(event)
                yield event

    def _count(self, outcome: Outcome) -> None:
        self.tally.count(outcome.fate, size=outcome.size)
        # Not the requested ones: a directory restores at once.
        self.restoring += outcome.seen.state is State.RESTORING


def first_look_seconds(card: Card, storage_class: str, tier: Tier) -> float:
    """Return seconds until the first poll is useful: the minimum time of the tier."""
    least, most = retrieval(card, storage_class, tier).hours
    return float(max(least, most * SHARE_OF_MOST)) * SECONDS_AN_HOUR


def pauses(first_seconds: float) -> Iterator[float]:
    """Yield seconds to wait before each poll: first `first_seconds`, then a tenth, growing to half an hour; with jitter."""
    yield _jittered(first_seconds)
    pause = first_seconds / 10
    while True:
        yield _jittered(min(max(pause, LEAST_SECONDS), MOST_SECONDS))
        pause *= GROWTH


def wait(
    chosen: Chosen,
    order: RestoreOrder,
    *,
    parts: Parts,
    stop: StopSignal,
    first_seconds: float,
    allowance: Allowance | None = None,
) -> Iterator[Round | Outcome]:
    """Poll until nothing is restoring; with a `permanent` order, restored originals are moved back to STANDARD.

    Yields a Round after each poll, and before it the moves; at the end also the originals that the budget leaves out. The
    first poll is immediate: some stores restore at once.
    """
    allowance = allowance or Allowance(left=order.limit)

    def moved() -> Iterator[Outcome]:
        rows = pages(parts.catalog, chosen, stop=stop)
        return move_back(rows, order, parts=parts, stop=stop, allowance=allowance) if order.permanent else iter(())

    for pause in pauses(first_seconds):
        restoring = restored = beyond = 0
        for outcome in moved():
            if outcome.fate is Fate.LEFT:
                beyond += 1
            else:
                yield outcome
        for one in status(chosen, order, parts=parts, stop=stop):
            restoring += one.state is State.RESTORING
            restored += one.state in (State.RESTORED, State.READABLE)
        if stop.is_set():
            return
        yield Round(restoring=restoring, restored=restored, next_seconds=pause if restoring else None)
        if not restoring or stop.wait(pause):
            break
    if beyond and not stop.is_set():
        # Not before: each poll finds them again.
        yield from (one for one in moved() if one.fate is Fate.LEFT)


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(1 - JITTER, 1 + JITTER)
