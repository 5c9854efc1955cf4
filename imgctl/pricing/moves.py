"""Moving originals between classes: the one-off and monthly cost of a transition or a restore, and the payback."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from itertools import pairwise

from imgctl.model import CLASSES_OF, NONE, RETURN_FOR_GOOD, Sized
from imgctl.pricing.costs import (
    DAYS_A_MONTH,
    INSTANT,
    Operation,
    early_delete,
    left_early,
    monthly_storage,
    request_cost,
    retrieval,
    retrieval_cost,
)
from imgctl.pricing.estimate import Estimate, estimated
from imgctl.pricing.lines import Line, Period, Unit, counted, dollars, total, weighed
from imgctl.pricing.prices import STANDARD, Card
from imgctl.units import count_of

# The largest object (S3 User Guide); up to it every class has one price.
_LARGEST_BYTES = 50 * 2**40
NOTHING: Mapping[str, Sized] = {}
MINUTES_AN_HOUR = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The origin of objects: their class, their days in it up to the class's minimum (see `origin`), and whether they
    are smaller than the smallest billable size of either class.
    """

    storage_class: str
    age_days: int = 0
    small: bool = False


def origin(card: Card, storage_class: str, *, to: str, size: int, age_days: int) -> Origin:
    """Return the origin of one object; ages are capped at the class's minimum days, so that there are few origins."""
    source = card.of(storage_class)
    least = max(source.minimum_bytes, card.of(to).minimum_bytes)
    age = min(max(0, age_days), source.minimum_days)
    return Origin(storage_class=storage_class, age_days=age, small=size < least)


def transition_estimate(
    card: Card,
    *,
    to: str,
    moved: Mapping[Origin, Sized],
    list_requests: int = 0,
    head_requests: int = 0,
    old_versions: bool = False,
    copied: bool = True,
) -> Estimate:
    """Estimate moving objects by copies in place: once the requests, retrieval and early deletion, monthly the new storage.

    Each copy has a HEAD before and after; `list_requests` and `head_requests` (of STANDARD) are those of the planning.
    With `old_versions` the source versions stay and stay billed. A lifecycle rule, not `copied`, retrieves nothing.
    """
    lines = [
        request_cost(card, to, Operation.TRANSITION, sum(moved.values(), NONE).objects),
        request_cost(card, STANDARD, Operation.LIST, list_requests),
        request_cost(card, STANDARD, Operation.HEAD, head_requests, name="HEAD to look"),
        *_heads(card, to, moved),
        *(_retrieved(card, moved) if copied else ()),
        *monthly_storage(card, to, *moved.values()),
        *(
            _kept(card, moved)
            if old_versions
            else left_early(card, ((at.storage_class, at.age_days, sized) for at, sized in moved.items()))
        ),
    ]
    return estimated(card, [line for line in lines if line.quantity])


def saving_per_month(card: Card, *, to: str, moved: Mapping[Origin, Sized], old_versions: bool = False) -> Decimal:
    """Return the monthly saving of storage; negative if the move costs more, for example with old versions kept."""
    after = total(monthly_storage(card, to, *moved.values()))
    return -after if old_versions else monthly_before(card, moved) - after


def monthly_before(card: Card, moved: Mapping[Origin, Sized]) -> Decimal:
    """Return the objects' monthly cost before the move; also that of old versions afterwards, if they are kept."""
    return total(_kept(card, moved))


def payback_months(one_off: Decimal, saving: Decimal) -> Decimal | None:
    """Return the months until the saving exceeds the one-off cost; None for never."""
    return one_off / saving if saving > 0 else None


def break_even_bytes(card: Card, *, source: Origin, to: str, stay_days: int) -> int | None:
    """Return the smallest object size whose move pays within `stay_days`; None if no size does.

    The gain covers the transition, the retrieval by the copy, the months in either class (in `to` at least its minimum
    days) with overhead and smallest billable sizes, and early deletion from `source`.
    """
    # The gain is linear between the sizes at which billing changes its slope.
    corners = sorted({0, card.of(source.storage_class).minimum_bytes, card.of(to).minimum_bytes, _LARGEST_BYTES})
    found: int | None = None
    for low, high in reversed(list(pairwise(corners))):
        first, last = (_gain(card, source, to, stay_days, size) for size in (low, high))
        if last <= 0:
            return found
        if first <= 0:
            return _first_above(low + (high - low) * -first / (last - first))
        found = low
    return found


def _first_above(size: Decimal) -> int:
    """Return the smallest integer above `size`."""
    ceiling = int(size.to_integral_value(ROUND_CEILING))
    return ceiling + 1 if ceiling == size else ceiling


def _gain(card: Card, source: Origin, to: str, stay_days: int, size: int) -> Decimal:
    one = Sized(objects=1, size=size)
    kept = total(monthly_storage(card, source.storage_class, one)) * stay_days
    moved = total(monthly_storage(card, to, one)) * max(stay_days, card.of(to).minimum_days)
    once = request_cost(card, to, Operation.TRANSITION, 1).amount
    early = early_delete(card, source.storage_class, one, age_days=source.age_days)
    return (kept - moved) / DAYS_A_MONTH - once - total(_retrieved(card, {source: one})) - total(early)


def _heads(card: Card, to: str, moved: Mapping[Origin, Sized]) -> tuple[Line, ...]:
    heads = Counter[str]()
    for source, sized in moved.items():
        for name in (source.storage_class, to):
            heads[name] += sized.objects
    return tuple(
        request_cost(card, name, Operation.HEAD, count, name=f"HEAD in {name}") for name, count in heads.items()
    )


def _retrieved(card: Card, moved: Mapping[Origin, Sized]) -> tuple[Line, ...]:
    """Return the retrieval by the copies: that of a read of the source (CopyObject, S3 API Reference; Google's rewrites).

    Azure sets a colder tier in place.
    """
    lines: list[Line] = []
    for name in dict.fromkeys(source.storage_class for source in moved):
        if INSTANT in card.of(name).retrieval and name not in CLASSES_OF["az"]:
            every = sum((sized for source, sized in moved.items() if source.storage_class == name), NONE)
            lines += retrieval_cost(card, name, INSTANT, every)
    return tuple(line for line in lines if line.amount)


def _kept(card: Card, moved: Mapping[Origin, Sized]) -> tuple[Line, ...]:
    lines: list[Line] = []
    for name in dict.fromkeys(source.storage_class for source in moved):
        bands = (sized for source, sized in moved.items() if source.storage_class == name)
        lines += monthly_storage(card, name, *bands, of="in old versions")
    return tuple(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """Archived originals that will stay readable permanently, by class and age in days."""

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
    returning: Mapping[tuple[str, int], Sized] = {},
) -> Estimate:
    """Estimate restoring `archived` (by class) for `days` days, with a HEAD of each before and after.

    `extended` are already restored, for a shorter time: only the request and the copy are billed, not the retrieval.
    Objects in an archive tier of Intelligent-Tiering return without a copy. `leaving` adds the copies back to STANDARD
    and the early deletion fee; `returning`, by class and age, adds both for objects that need no restored copy.
    ConfigError if a class cannot be restored by `tier`.
    """
    lines: list[Line] = []
    for name, sized in archived.items():
        lines += [request_cost(card, name, Operation.HEAD, 2 * sized.objects)]
        lines += retrieval_cost(card, name, tier, sized)
    for name, sized in extended.items():
        lines += [request_cost(card, name, Operation.HEAD, 2 * sized.objects), _extension(card, name, tier, sized)]
    copied = [sized for group in (archived, extended) for name, sized in group.items() if name not in RETURN_FOR_GOOD]
    held = sum(sized.size for sized in copied)
    lines += [_copies(card, held, days)] if held else []
    lines += _left(card, leaving) if leaving else ()
    lines += left_early(card, ((name, age, sized) for (name, age), sized in sorted(returning.items())))
    lines += monthly_storage(card, STANDARD, sum(returning.values(), NONE)) if returning else ()
    assumptions = _assumptions(card, leaving) if leaving else ()
    return estimated(card, lines, *assumptions)


def hours_words(hours: tuple[Decimal, Decimal]) -> str:
    """Format the duration of a restore: `3 to 5 hours`, `1 to 5 minutes`, `up to 48 hours`."""
    least, most = hours
    unit = "hours"
    if most < 1:
        least, most, unit = least * MINUTES_AN_HOUR, most * MINUTES_AN_HOUR, "minutes"
    return f"{least:.0f} to {most:.0f} {unit}" if least else f"up to {most:.0f} {unit}"


def _extension(card: Card, name: str, tier: str, sized: Sized) -> Line:
    price = retrieval(card, name, tier).requests
    return counted(f"{name} {tier} extended", sized.objects, price, unit=Unit.OBJECTS, period=Period.ONE_OFF)


def _copies(card: Card, size: int, days: int) -> Line:
    # At the first tier's price, the highest: the account's other storage is unknown.
    price = card.of(STANDARD).storage[0].price * days / DAYS_A_MONTH
    return weighed(card, f"readable copies for {count_of(days, 'day')}", size, price, period=Period.ONE_OFF)


def _left(card: Card, leaving: Leaving) -> tuple[Line, ...]:
    everything = sum(leaving.ages.values(), NONE)
    if not everything.objects:
        return ()
    copies = request_cost(card, STANDARD, Operation.COPY, everything.objects)
    parts = ((name, age, sized) for (name, age), sized in sorted(leaving.ages.items()))
    return (copies, *left_early(card, parts), *monthly_storage(card, STANDARD, everything))


def _assumptions(card: Card, leaving: Leaving) -> tuple[str, ...]:
    by_class: dict[str, Sized] = {}
    for (name, _), sized in leaving.ages.items():
        by_class[name] = by_class.get(name, NONE) + sized
    ended = sum((total(monthly_storage(card, name, sized)) for name, sized in by_class.items()), Decimal(0))
    if leaving.versioned:
        return (f"the bucket keeps versions: the archived ones stay and cost {dollars(ended)} a month",)
    return (f"the archive's {dollars(ended)} a month end",) if ended else ()
