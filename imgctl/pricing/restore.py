"""What bringing archived originals back costs: retrieval, the requests, the readable copies, and leaving the archive."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from imgctl.model import ARCHIVE_TIERS
from imgctl.pricing.estimate import Estimate
from imgctl.pricing.lines import Line, Period, Unit, counted, dollars, total, weighed
from imgctl.pricing.prices import STANDARD, Card
from imgctl.pricing.requests import Operation, request_cost, retrieval, retrieval_cost
from imgctl.pricing.storage import DAYS_A_MONTH, Sized, early_delete, monthly_storage
from imgctl.units import count_of

NOTHING: Mapping[str, Sized] = {}
MINUTES_AN_HOUR = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """Archived originals that are to stay readable for good, by their class and age in days."""

    ages: Mapping[tuple[str, int], Sized]
    versioned: bool = False


def restore_estimate(
    card: Card,
    *,
    archived: Mapping[str, Sized],
    tier: str,
    days: int,
    extended: Mapping[str, Sized] = NOTHING,
    leaving: Leaving | None = None,
) -> Estimate:
    """Restoring `archived` (by class) for so many days, each looked at by a HEAD before and after.

    `extended` are restored already, for less long: their bytes are not retrieved again, only the request and the copy
    are paid. What lies in an archive tier of Intelligent-Tiering comes back without a copy. `leaving` adds the copies back to STANDARD and the fee for leaving a class early. ConfigError where a
    class has no such tier.
    """
    lines: list[Line] = []
    for name, sized in archived.items():
        lines += [request_cost(card, name, Operation.HEAD, 2 * sized.objects)]
        lines += retrieval_cost(card, name, tier, objects=sized.objects, size=sized.size)
    for name, sized in extended.items():
        lines += [request_cost(card, name, Operation.HEAD, 2 * sized.objects), _extension(card, name, tier, sized)]
    copied = [sized for group in (archived, extended) for name, sized in group.items() if name not in ARCHIVE_TIERS]
    held = sum(sized.size for sized in copied)
    lines += [_copies(card, held, days)] if held else []
    lines += _left(card, leaving) if leaving else ()
    assumptions = _assumptions(card, leaving) if leaving else ()
    return Estimate(lines=tuple(lines), card=card.name, as_of=card.as_of, assumptions=assumptions)


def hours_until_restored(card: Card, storage_class: str, tier: str) -> tuple[Decimal, Decimal]:
    """How long a restore takes at least and at most, in hours; ConfigError where there is no such tier."""
    return retrieval(card, storage_class, tier).hours


def hours_words(hours: tuple[Decimal, Decimal]) -> str:
    """How long a restore takes, for people: `3 to 5 hours`, `1 to 5 minutes`, `up to 48 hours`."""
    least, most = hours
    unit = "hours"
    if most < 1:
        least, most, unit = least * MINUTES_AN_HOUR, most * MINUTES_AN_HOUR, "minutes"
    return f"{least:.0f} to {most:.0f} {unit}" if least else f"up to {most:.0f} {unit}"


def _extension(card: Card, name: str, tier: str, sized: Sized) -> Line:
    price = retrieval(card, name, tier).requests
    return counted(f"{name} {tier} extended", sized.objects, price, unit=Unit.OBJECTS, period=Period.ONE_OFF)


def _copies(card: Card, size: int, days: int) -> Line:
    # In the dearest tier, as nobody knows how much else the account stores.
    price = card.of(STANDARD).storage[0].price * days / DAYS_A_MONTH
    return weighed(card, f"readable copies for {count_of(days, 'day')}", size, price, period=Period.ONE_OFF)


def _left(card: Card, leaving: Leaving) -> tuple[Line, ...]:
    everything = _sum(leaving.ages.values())
    if not everything.objects:
        return ()
    copies = request_cost(card, STANDARD, Operation.COPY, everything.objects)
    kept = monthly_storage(card, storage_class=STANDARD, objects=everything.objects, size=everything.size)
    classes = sorted({name for name, _ in leaving.ages})
    return (copies, *(line for name in classes for line in _early(card, name, leaving)), *kept)


def _early(card: Card, name: str, leaving: Leaving) -> tuple[Line, ...]:
    """One line for all ages of a class; its unit price is the mean."""
    lines = [
        line
        for (storage_class, age), sized in sorted(leaving.ages.items())
        if storage_class == name
        for line in early_delete(card, storage_class=name, objects=sized.objects, size=sized.size, age_days=age)
    ]
    if len(lines) < 2:
        return tuple(lines)
    quantity, amount = sum((line.quantity for line in lines), Decimal(0)), total(tuple(lines), Period.ONE_OFF)
    formula = " + ".join(line.formula for line in lines)
    merged = replace(lines[0], name=f"{name} left early", quantity=quantity, amount=amount, formula=formula)
    return (replace(merged, unit_price=amount / quantity),)


def _assumptions(card: Card, leaving: Leaving) -> tuple[str, ...]:
    ended = sum((line.amount for line in _archive(card, leaving)), Decimal(0))
    if leaving.versioned:
        return (f"the bucket keeps versions: the archived ones stay and cost {dollars(ended)} a month",)
    return (f"the archive's {dollars(ended)} a month end",) if ended else ()


def _archive(card: Card, leaving: Leaving) -> tuple[Line, ...]:
    lines: tuple[Line, ...] = ()
    for name in sorted({name for name, _ in leaving.ages}):
        sized = _sum(one for (storage_class, _), one in leaving.ages.items() if storage_class == name)
        lines += monthly_storage(card, storage_class=name, objects=sized.objects, size=sized.size)
    return lines


def _sum(sizes: Iterable[Sized]) -> Sized:
    listed = list(sizes)
    return Sized(objects=sum(one.objects for one in listed), size=sum(one.size for one in listed))
