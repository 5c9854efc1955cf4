"""Looking before asking: how readable the originals are, and what restoring them costs, all together and one by one."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from imgctl.errors import UsageError
from imgctl.model import ARCHIVE_TIERS, Image, StorageClass
from imgctl.ops.restore.look import Judge, Looker, is_wanted, note, rows
from imgctl.ops.restore.order import RestoreOrder, Seen, State, Wanted
from imgctl.ops.retry import StopSignal
from imgctl.ops.rows import BadId
from imgctl.pricing.costs import NONE, Sized
from imgctl.pricing.estimate import Estimate
from imgctl.pricing.moves import Leaving, restore_estimate
from imgctl.pricing.prices import Card
from imgctl.store.blobs.base import BlobStore, Tier
from imgctl.store.catalog.engine import Catalog
from imgctl.units import count_of

# The longest minimum duration of any class is shorter.
OLDEST_DAYS = 366


@dataclass(slots=True, kw_only=True)
class Pile:
    """Originals counted by a key, with their bytes."""

    objects: Counter[str] = field(default_factory=Counter)
    size: Counter[str] = field(default_factory=Counter)

    def add(self, key: str, size: int) -> None:
        """One more."""
        self.objects[key] += 1
        self.size[key] += size

    def sized(self) -> dict[str, Sized]:
        """What was counted, by key."""
        return {key: Sized(objects=self.objects[key], size=self.size[key]) for key in sorted(self.objects)}


@dataclass(slots=True, kw_only=True)
class Needs:
    """What must be paid for: originals to restore and to extend by class, to move back by class and age."""

    archived: Pile = field(default_factory=Pile)
    extended: Pile = field(default_factory=Pile)
    leaving: dict[tuple[str, int], Sized] = field(default_factory=dict)
    versioned: bool = False

    def add(self, one: Seen, order: RestoreOrder) -> None:
        """An original that is asked for, or moved, or both one after the other."""
        if one.blob is None:
            return
        name, size = one.blob.storage_class, one.blob.size
        if one.state is State.RESTORED and not order.permanent:
            self.extended.add(name, size)
        elif one.state in (State.ARCHIVED, State.EXPIRED):
            self.archived.add(name, size)
        if order.permanent and name not in ARCHIVE_TIERS:
            key = (name, min(OLDEST_DAYS, (datetime.now(UTC) - one.blob.modified_at).days))
            before = self.leaving.get(key, NONE)
            self.leaving[key] = before + Sized(objects=1, size=size)

    def estimate(self, card: Card, order: RestoreOrder) -> Estimate:
        """What all of it costs; UsageError where a class has no such tier."""
        archived, extended = self.archived.sized(), self.extended.sized()
        _check_tier(order.tier, {**archived, **extended})
        return restore_estimate(
            card,
            archived=archived,
            extended=extended,
            tier=order.tier,
            days=order.days,
            leaving=Leaving(ages=self.leaving, versioned=self.versioned) if order.permanent else None,
        )


@dataclass(slots=True, kw_only=True)
class Survey:
    """What was found: originals by state, what must be paid for, ids that name no row."""

    states: Pile = field(default_factory=Pile)
    needs: Needs = field(default_factory=Needs)
    bad: list[BadId] = field(default_factory=list)
    asked: int = 0
    moved: int = 0

    @property
    def by_state(self) -> dict[State, int]:
        """How many originals are in each state."""
        return {state: self.states.objects[state] for state in State}

    @property
    def objects(self) -> int:
        """How many originals cost something."""
        return self.asked + self.moved


def survey(wanted: Wanted, order: RestoreOrder, *, catalog: Catalog, cold: BlobStore, stop: StopSignal) -> Survey:
    """Look at the originals wanted, until `limit` of them cost something; changes nothing."""
    found = Survey()
    found.needs.versioned = order.permanent and cold.keeps_versions()
    for one in _look(rows(catalog, wanted, stop=stop, bad=found.bad), order, cold=cold):
        asked, moved = is_wanted(one, order), order.permanent and one.state is State.RESTORED
        if (asked or moved) and found.objects == order.limit:
            break
        found.states.add(one.state, one.blob.size if one.blob else 0)
        found.asked += asked
        found.moved += moved
        if asked or moved:
            found.needs.add(one, order)
    return found


def status(
    wanted: Wanted, order: RestoreOrder, *, catalog: Catalog, cold: BlobStore, stop: StopSignal, bad: list[BadId]
) -> Iterator[Seen]:
    """How readable each original is; the rows learn what the store says of them, unless it is a dry run."""
    pages = rows(catalog, wanted, stop=stop, bad=bad)
    return _look(pages, order, cold=cold, learning=None if order.dry_run else (catalog, stop))


def _look(
    pages: Iterator[list[Image]],
    order: RestoreOrder,
    *,
    cold: BlobStore,
    learning: tuple[Catalog, StopSignal] | None = None,
) -> Iterator[Seen]:
    judge = Judge(order)
    with Looker(cold, order) as looker:
        for page in pages:
            looked: Sequence[Seen] = looker.look(page)
            if learning is not None:
                note(learning[0], looked, stop=learning[1])
            for one in looked:
                judge.hear(one.error)
                yield one
            if judge.over is not None:
                raise judge.over


def price_of(one: Seen, order: RestoreOrder) -> Decimal:
    """What the next step of one original costs: its restore, or its way back to STANDARD."""
    if order.card is None or order.budget is None:
        return Decimal(0)
    needs = Needs()
    needs.add(one, order)
    if one.state in (State.ARCHIVED, State.EXPIRED):
        needs.leaving.clear()
    return needs.estimate(order.card, order).one_off


def _check_tier(tier: Tier, classes: Mapping[str, Sized]) -> None:
    for name in (StorageClass.DEEP_ARCHIVE.value, "DEEP_ARCHIVE_ACCESS"):
        if tier is Tier.EXPEDITED and (deep := classes.get(name)):
            raise UsageError(
                f"{count_of(deep.objects, 'original lies', 'originals lie')} in {name}, which has no expedited restore",
                hint="--tier standard (12 hours) or --tier bulk (48 hours)",
            )
