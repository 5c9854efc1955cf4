"""Moving originals to a colder class: what it costs once, what it saves each month, and from which size on it pays."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Decimal
from itertools import pairwise

from imgctl.pricing.estimate import Estimate
from imgctl.pricing.lines import Line, Period, total
from imgctl.pricing.prices import STANDARD, Card
from imgctl.pricing.requests import Operation, request_cost
from imgctl.pricing.storage import DAYS_A_MONTH, Sized, early_delete, monthly_storage

# No object is larger (S3 User Guide), and within it every class has one price.
_LARGEST_BYTES = 50 * 2**40


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where objects come from: their class, how many days they have been in it as far as that class minds (`origin`),
    and whether they are smaller than what either class bills at least.
    """

    storage_class: str
    age_days: int = 0
    small: bool = False


def origin(card: Card, storage_class: str, *, to: str, size: int, age_days: int) -> Origin:
    """Where one object comes from; ages stop at the class's minimum days, so that origins are few."""
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
) -> Estimate:
    """Moving objects by copies in place: once the requests and early leaving, monthly what they then cost.

    Each copy is looked at before and after; `list_requests` and `head_requests` (of STANDARD) are the gate's own.
    With `old_versions` what is copied from stays and stays billed.
    """
    objects = sum(one.objects for one in moved.values())
    lines = [
        request_cost(card, to, Operation.TRANSITION, objects),
        request_cost(card, STANDARD, Operation.LIST, list_requests),
        replace(request_cost(card, STANDARD, Operation.HEAD, head_requests), name="HEAD to look"),
        *_heads(card, to, moved),
        *_stored(card, to, moved),
        *(_kept(card, moved) if old_versions else _left_early(card, moved)),
    ]
    return Estimate(lines=tuple(line for line in lines if line.quantity), card=card.name, as_of=card.as_of)


def saving_per_month(card: Card, *, to: str, moved: Mapping[Origin, Sized], old_versions: bool = False) -> Decimal:
    """How much less a month's storage costs afterwards; negative where it costs more, as beside old versions."""
    after = total(_stored(card, to, moved), Period.MONTHLY)
    return -after if old_versions else monthly_before(card, moved) - after


def monthly_before(card: Card, moved: Mapping[Origin, Sized]) -> Decimal:
    """What the objects cost a month where they are; afterwards the bill of the old versions, where they are kept."""
    return total(_kept(card, moved), Period.MONTHLY)


def payback_months(one_off: Decimal, saving: Decimal) -> Decimal | None:
    """After how many months the saving has paid what was paid once; None for never."""
    return one_off / saving if saving > 0 else None


def break_even_bytes(card: Card, *, source: Origin, to: str, stay_days: int) -> int | None:
    """The smallest object from which on a move pays if it stays so long; None where none does.

    Counted are the transition, the months in either class (in `to` at least its minimum days) with overhead and
    smallest billable sizes, and leaving `source` early.
    """
    # Between the sizes where billing changes its slope the gain is a straight line.
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
    """The smallest whole number that is larger."""
    ceiling = int(size.to_integral_value(ROUND_CEILING))
    return ceiling + 1 if ceiling == size else ceiling


def _gain(card: Card, source: Origin, to: str, stay_days: int, size: int) -> Decimal:
    one = Sized(objects=1, size=size)
    kept = total(_storage(card, source.storage_class, one), Period.MONTHLY) * stay_days
    moved = total(_storage(card, to, one), Period.MONTHLY) * max(stay_days, card.of(to).minimum_days)
    once = request_cost(card, to, Operation.TRANSITION, 1).amount
    return (kept - moved) / DAYS_A_MONTH - once - total(_early(card, source, one), Period.ONE_OFF)


def _heads(card: Card, to: str, moved: Mapping[Origin, Sized]) -> tuple[Line, ...]:
    heads: dict[str, int] = {}
    for source, sized in moved.items():
        for name in (source.storage_class, to):
            heads[name] = heads.get(name, 0) + sized.objects
    costs = ((name, request_cost(card, name, Operation.HEAD, count)) for name, count in heads.items())
    return tuple(replace(line, name=f"HEAD in {name}") for name, line in costs)


def _stored(card: Card, to: str, moved: Mapping[Origin, Sized]) -> tuple[Line, ...]:
    bands = tuple(moved.values())
    objects, size = sum(one.objects for one in bands), sum(one.size for one in bands)
    return monthly_storage(card, storage_class=to, objects=objects, size=size, bands=bands)


def _kept(card: Card, moved: Mapping[Origin, Sized]) -> tuple[Line, ...]:
    lines: list[Line] = []
    for name in dict.fromkeys(source.storage_class for source in moved):
        bands = tuple(sized for source, sized in moved.items() if source.storage_class == name)
        objects, size = sum(one.objects for one in bands), sum(one.size for one in bands)
        lines += monthly_storage(card, storage_class=name, objects=objects, size=size, bands=bands)
    return tuple(replace(line, name=f"{line.name} in old versions") for line in lines)


def _left_early(card: Card, moved: Mapping[Origin, Sized]) -> tuple[Line, ...]:
    """A line for each class that is left early, whatever the ages in it."""
    found: dict[str, list[Line]] = {}
    for source, sized in moved.items():
        found.setdefault(source.storage_class, []).extend(_early(card, source, sized))
    return tuple(_merged(name, lines) for name, lines in found.items() if lines)


def _merged(name: str, lines: list[Line]) -> Line:
    if len(lines) == 1:
        return lines[0]
    quantity, amount = sum(line.quantity for line in lines), sum(line.amount for line in lines)
    formula = " + ".join(line.formula for line in lines[:3]) + (" + …" if len(lines) > 3 else "")
    told = replace(lines[0], name=f"{name} left early", quantity=Decimal(quantity), amount=Decimal(amount))
    return replace(told, unit_price=told.amount / told.quantity, formula=formula)


def _early(card: Card, source: Origin, sized: Sized) -> tuple[Line, ...]:
    return early_delete(
        card, storage_class=source.storage_class, objects=sized.objects, size=sized.size, age_days=source.age_days
    )


def _storage(card: Card, storage_class: str, sized: Sized) -> tuple[Line, ...]:
    # At the price of the first tier: what else lies in the account is not known here.
    return monthly_storage(card, storage_class=storage_class, objects=sized.objects, size=sized.size)
