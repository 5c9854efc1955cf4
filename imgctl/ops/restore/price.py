"""What a restore costs: all of it by a survey, one original by itself."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from imgctl.errors import UsageError
from imgctl.model import ARCHIVE_TIERS, StorageClass
from imgctl.ops.restore.order import RestoreOrder, Seen, State
from imgctl.pricing.costs import Sized
from imgctl.pricing.estimate import Billing, Estimate
from imgctl.pricing.lines import dollars, plain
from imgctl.pricing.moves import Leaving, restore_estimate
from imgctl.pricing.prices import Card
from imgctl.store.blobs.base import Tier
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
            before = self.leaving.get(key, Sized(objects=0, size=0))
            self.leaving[key] = Sized(objects=before.objects + 1, size=before.size + size)

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


def check_agreed(objects: int, cost: Estimate, bill: Billing, *, agreed: bool, max_usd: Decimal | None) -> None:
    """UsageError where the estimate is beyond the budget, or somebody bills and nobody agreed to it."""
    asked = f"restoring {count_of(objects, 'original')} costs {dollars(cost.one_off)} once"
    if bill is Billing.NONE or not objects:
        return
    if max_usd is not None and cost.one_off > max_usd:
        hint = "--tier bulk, --limit N or a larger --max-usd"
        raise UsageError(f"{asked}, more than the ${plain(max_usd)} of --max-usd", hint=hint)
    if max_usd is None and not agreed:
        raise UsageError(asked, hint="add --yes, or --max-usd N that covers it, or --dry-run to look first")


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
