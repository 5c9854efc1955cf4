"""The effect of a change on an archive's bill: before, after, one-off cost, payback, and drawbacks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal

from imgctl.errors import UsageError
from imgctl.model import NONE, Sized, VariantFormat
from imgctl.pricing.archive_bill import Archive, Held, archive_lines
from imgctl.pricing.costs import DAYS_A_MONTH, Operation, request_cost, retrieval, retrieval_cost
from imgctl.pricing.lines import Line, Period, dollars, total
from imgctl.pricing.model import delivery
from imgctl.pricing.moves import Origin, hours_words, transition_estimate
from imgctl.pricing.plan import VIEWED, Plan, stand_in
from imgctl.pricing.prices import STANDARD, Card
from imgctl.units import count_of

# Relative to a JPEG of the same quality: WebP is 25 to 34 % smaller (Google's study), AVIF about half.
FORMAT_RATIOS: Mapping[str, Decimal] = {
    VariantFormat.JPEG.value: Decimal(1),
    VariantFormat.WEBP.value: Decimal("0.7"),
    VariantFormat.AVIF.value: Decimal("0.5"),
}
DELIVERY = "delivery"


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A move of originals older than an age to a class."""

    older_than: timedelta
    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A proposed change; a field of None changes nothing."""

    move: Move | None = None
    drop: tuple[str, ...] = ()
    format: str | None = None
    ratio: Decimal | None = None
    cdn: bool | None = None

    @property
    def size_ratio(self) -> Decimal:
        """The size of a variant in the new format, relative to today's."""
        if self.format is None:
            return Decimal(1)
        return FORMAT_RATIOS[self.format] if self.ratio is None else self.ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class Today:
    """Today's archive: its content, its originals that are old enough to move, and its views."""

    archive: Archive
    movable: Mapping[str, Held] = field(default_factory=dict)
    views: int = 0
    hit_ratio: Decimal = Decimal("0.9")
    cdn: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """Monthly lines before and after, by part, one-off lines, and drawbacks."""

    before: Mapping[str, tuple[Line, ...]]
    after: Mapping[str, tuple[Line, ...]]
    once: tuple[Line, ...]
    worse: tuple[str, ...]

    @property
    def before_total(self) -> Decimal:
        """Today's monthly total."""
        return sum((total(lines) for lines in self.before.values()), Decimal(0))

    @property
    def after_total(self) -> Decimal:
        """The monthly total after the change."""
        return sum((total(lines) for lines in self.after.values()), Decimal(0))

    @property
    def one_off(self) -> Decimal:
        """The one-off cost of the change."""
        return total(self.once)

    @property
    def payback_days(self) -> Decimal | None:
        """The days until the saving exceeds the one-off cost; None for never."""
        saved = self.before_total - self.after_total
        return self.one_off / saved * DAYS_A_MONTH if saved > 0 else None


def what_if(card: Card, today: Today, change: Change) -> WhatIf:
    """Return the effect of the change; UsageError or ConfigError for an impossible change."""
    moved = _moved(card, today, change.move)
    after = _changed(today, change, moved)
    return WhatIf(
        before={**archive_lines(card, today.archive), DELIVERY: delivery_lines(card, today)},
        after={**archive_lines(card, after.archive), DELIVERY: delivery_lines(card, after)},
        once=(*_moving(card, change.move, moved), *_rebuilding(card, after, change)),
        worse=tuple(_worse(card, today, after, change, moved)),
    )


def _moved(card: Card, today: Today, move: Move | None) -> dict[str, Sized]:
    """Return the originals to move: old, in a more expensive class, not below any smallest billable size."""
    if move is None:
        return {}
    target = card.of(move.to).storage[0].price
    if card.of(move.to).transition is None or move.to == STANDARD:
        raise UsageError(f"nothing is moved to {move.to} by a transition", hint="to=GLACIER_IR, GLACIER, DEEP_ARCHIVE")
    return {
        name: held.large
        for name, held in today.movable.items()
        if card.of(name).storage[0].price > target and held.large.objects and not _frozen(card, name)
    }


def _frozen(card: Card, name: str) -> bool:
    """Whether originals of a class must be restored before a copy."""
    return any(tier.hours[1] > 0 for tier in card.of(name).retrieval.values()) and not card.of(name).access_tiers


def _changed(today: Today, change: Change, moved: Mapping[str, Sized]) -> Today:
    originals = dict(today.archive.originals)
    for name, sized in moved.items():
        assert change.move is not None
        originals[name] -= Held(large=sized)
        originals[change.move.to] = originals.get(change.move.to, Held()) + Held(large=sized)
    variants = {name: count for name, count in today.archive.variants.items() if name not in change.drop}
    sizes = {name: int(size * change.size_ratio) for name, size in today.archive.sizes.items()}
    archive = replace(today.archive, originals=originals, variants=variants, sizes=sizes)
    return replace(today, archive=archive, cdn=today.cdn if change.cdn is None else change.cdn)


def delivery_lines(card: Card, today: Today) -> tuple[Line, ...]:
    """Return the lines of a month of views."""
    if not today.views:
        return ()
    sizes = {name: today.archive.sizes[name] for name in today.archive.variants}
    plan = Plan(
        uploads_per_day=1, views_per_upload=Decimal(1), sizes={**sizes, "original": 0}, hit_ratio=today.hit_ratio
    )
    return delivery(card, plan, views=today.views, cdn=today.cdn)


def _moving(card: Card, move: Move | None, moved: Mapping[str, Sized]) -> tuple[Line, ...]:
    if move is None or not moved:
        return ()
    origins = {Origin(storage_class=name, age_days=move.older_than.days): sized for name, sized in moved.items()}
    estimate = transition_estimate(card, to=move.to, moved=origins)
    return tuple(line for line in estimate.lines if line.period is Period.ONE_OFF)


def _rebuilding(card: Card, after: Today, change: Change) -> tuple[Line, ...]:
    """Return the cost of rendering all variants in a new format: each original is read, after a restore if archived."""
    if change.format is None:
        return ()
    lines: list[Line] = []
    for name, held in after.archive.originals.items():
        every = held.both
        lines.append(request_cost(card, name, Operation.GET, every.objects, name=f"GET in {name} to render"))
        tier = cheapest_tier(card, name)
        lines += retrieval_cost(card, name, tier, every) if tier else ()
    count = sum(after.archive.variants.values())
    return (*lines, request_cost(card, STANDARD, Operation.PUT, count, name="PUT of variants"))


def cheapest_tier(card: Card, name: str) -> str | None:
    """Return the cheapest retrieval tier of a class; None if reading needs none."""
    tiers = {} if card.of(name).access_tiers else card.of(name).retrieval
    return min(tiers, key=lambda tier: (tiers[tier].gb, tiers[tier].requests), default=None)


def _worse(card: Card, today: Today, after: Today, change: Change, moved: Mapping[str, Sized]) -> Iterator[str]:
    if change.move and moved:
        yield from _worse_moved(card, change.move, moved)
    for name in change.drop:
        stand = stand_in(tuple(after.archive.variants), name)
        instead = f"{stand} is shown instead" if stand else "nothing can be shown"
        weight = (
            f", {after.archive.sizes[stand] / max(1, today.archive.sizes[name]):.1f} times its bytes a view"
            if stand and name in VIEWED
            else ""
        )
        yield f"without {name} {instead}{weight}; building it again reads and renders every original"
    if change.format:
        yield f"every photo is rendered again; clients without {change.format} support show nothing"
    if change.cdn is False and today.cdn:
        yield "viewers wait for the bucket's region, and every view is a GET"


def _worse_moved(card: Card, move: Move, moved: Mapping[str, Sized]) -> Iterator[str]:
    every = sum(moved.values(), NONE)
    for tier in card.of(move.to).retrieval:
        cost = total(retrieval_cost(card, move.to, tier, every))
        hours = retrieval(card, move.to, tier).hours
        wait = hours_words(hours) if hours[1] else "at once"
        yield f"reading {count_of(every.objects, 'original')} back from {move.to} by {tier}: {wait}, {dollars(cost)} for all of them"
    days = card.of(move.to).minimum_days
    if days:
        yield f"an original deleted or rewritten within {count_of(days, 'day')} in {move.to} is billed for all {days}"
