"""The state of the originals before any request, and what restoring them costs, in total and one by one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from imgctl.errors import UsageError
from imgctl.model import ARCHIVE_TIERS, RETURN_FOR_GOOD, Sized, StorageClass
from imgctl.ops.common.open import Parts
from imgctl.ops.common.retry import Failures, StopSignal
from imgctl.ops.common.rows import BadId, Chosen, pages
from imgctl.ops.common.tally import Totals
from imgctl.ops.restore.options import RestoreOrder, Seen, State
from imgctl.ops.restore.state import is_wanted, note, originals, seen
from imgctl.pricing.estimate import Billing, Estimate
from imgctl.pricing.moves import Leaving, restore_estimate
from imgctl.pricing.prices import Card
from imgctl.run.threads import thread_pool
from imgctl.store.blobs.base import Tier
from imgctl.units import count_of

# Longer than the minimum duration of any class.
OLDEST_DAYS = 366


@dataclass(slots=True, kw_only=True)
class Needs:
    """Billed steps: originals to restore and to extend, by class; to move back (`leaving`) or that return permanently
    (`returning`), by class and age.
    """

    archived: Totals[str] = field(default_factory=Totals)
    extended: Totals[str] = field(default_factory=Totals)
    leaving: Totals[tuple[str, int]] = field(default_factory=Totals)
    returning: Totals[tuple[str, int]] = field(default_factory=Totals)
    versioned: bool = False

    def add(self, one: Seen, order: RestoreOrder) -> None:
        """Add an original that is requested, moved, or both in turn."""
        if one.blob is None:
            return
        name, size = one.blob.storage_class, one.blob.size
        if one.state is State.RESTORED and not order.permanent:
            self.extended.add(name, size)
        elif one.state in (State.ARCHIVED, State.EXPIRED):
            self.archived.add(name, size)
        age_days = min(OLDEST_DAYS, (datetime.now(UTC) - one.blob.modified_at).days)
        if name == StorageClass.AZURE_ARCHIVE:
            self.returning.add((name, age_days), size)
        elif order.permanent and name not in ARCHIVE_TIERS:
            self.leaving.add((name, age_days), size)

    def estimate(self, card: Card, order: RestoreOrder) -> Estimate:
        """Return the cost of all steps; UsageError if the tier does not restore a class."""
        archived, extended = dict(sorted(self.archived.items())), dict(sorted(self.extended.items()))
        _check_tier(order.tier, {**archived, **extended})
        leaving = Leaving(ages=self.leaving, versioned=self.versioned) if order.permanent else None
        return restore_estimate(
            card,
            archived=archived,
            extended=extended,
            tier=order.tier,
            days=order.days,
            leaving=leaving,
            returning=self.returning,
        )


@dataclass(slots=True, kw_only=True)
class Survey:
    """Result of a survey: originals by state, the billed steps, and ids without a row."""

    states: Totals[State] = field(default_factory=Totals)
    needs: Needs = field(default_factory=Needs)
    bad: list[BadId] = field(default_factory=list)
    objects: int = 0

    @property
    def by_state(self) -> dict[State, int]:
        """How many originals are in each state."""
        counts = self.states.counts
        return {state: counts.get(state, 0) for state in State}


def survey(chosen: Chosen, order: RestoreOrder, *, parts: Parts, stop: StopSignal) -> Survey:
    """Look up the chosen originals, until `limit` of them (`objects`) are billed; changes nothing."""
    found = Survey()
    found.needs.versioned = order.permanent and parts.store.move_keeps_source()
    for one in _look(chosen, order, parts, stop, bad=found.bad, updates=False):
        costs = is_wanted(one, order) or _is_moved(one, order)
        if costs and found.objects == order.limit:
            break
        found.states.add(one.state, one.blob.size if one.blob else 0)
        if costs:
            found.objects += 1
            found.needs.add(one, order)
    return found


def _is_moved(one: Seen, order: RestoreOrder) -> bool:
    """Whether a run moves an original back to STANDARD that it need not request."""
    if not order.permanent or one.blob is None or one.blob.storage_class in RETURN_FOR_GOOD:
        return False
    return one.state is State.RESTORED or (order.waits and one.state is State.RESTORING)


def status(
    chosen: Chosen, order: RestoreOrder, *, parts: Parts, stop: StopSignal, bad: list[BadId] | None = None
) -> Iterator[Seen]:
    """Yield the state of each original; the rows are updated with it, except in a dry run."""
    return _look(chosen, order, parts, stop, bad=bad, updates=not order.dry_run)


def _look(
    chosen: Chosen, order: RestoreOrder, parts: Parts, stop: StopSignal, *, bad: list[BadId] | None, updates: bool
) -> Iterator[Seen]:
    failures = Failures(order.concurrency)
    with thread_pool(order.concurrency, name="restore") as pool:
        looker = originals(parts.store, parts.settings.store, lists_restores=order.lists_restores, pool=pool, stop=stop)
        for page in pages(parts.catalog, chosen, stop=stop, bad=bad):
            looked = [seen(row) for row in looker.look(page)]
            if updates:
                note(parts.catalog, looked, stop=stop)
            for one in looked:
                failures.record(one.error)
                yield one
            if failures.over is not None:
                raise failures.over


def price_of(one: Seen, order: RestoreOrder) -> Decimal:
    """Return the cost of one original's next step: its restore, or its move back to STANDARD."""
    if order.terms is None or order.terms.bill is Billing.NONE or order.budget is None:
        return Decimal(0)
    needs = Needs()
    needs.add(one, order)
    if one.state in (State.ARCHIVED, State.EXPIRED):
        needs.leaving.clear()
    return needs.estimate(order.terms.card, order).one_off


def _check_tier(tier: Tier, classes: Mapping[str, Sized]) -> None:
    for name in (StorageClass.DEEP_ARCHIVE.value, "DEEP_ARCHIVE_ACCESS"):
        if tier is Tier.EXPEDITED and (deep := classes.get(name)):
            raise UsageError(
                f"{count_of(deep.objects, 'original lies', 'originals lie')} in {name}, which has no expedited restore",
                hint="--tier standard (12 hours) or --tier bulk (48 hours)",
            )
