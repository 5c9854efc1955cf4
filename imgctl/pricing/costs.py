"""The cost of requests, retrieval, months of storage, and delivery to viewers."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from enum import StrEnum

from imgctl.errors import ConfigError
from imgctl.model import NONE, Sized
from imgctl.pricing.lines import Line, Period, Unit, counted, tiered, total, weighed
from imgctl.pricing.prices import STANDARD, Card, CdnPlan, ClassPrices, Retrieval
from imgctl.units import count_of


class Operation(StrEnum):
    """The operation of a request; a copy costs the price of its target class."""

    PUT = "PUT"
    COPY = "COPY"
    POST = "POST"
    LIST = "LIST"
    GET = "GET"
    HEAD = "HEAD"
    DELETE = "DELETE"
    TRANSITION = "transition"


INSTANT = "INSTANT"
"""The tier of classes that are readable at once, for a price per GB."""

_PUTS = {Operation.PUT, Operation.COPY, Operation.POST}


def request_cost(
    card: Card,
    storage_class: str,
    operation: Operation,
    count: int,
    *,
    name: str = "",
    period: Period = Period.ONE_OFF,
) -> Line:
    """Return the line of `count` requests, named `name` or after the operation; ConfigError if the card has no price."""
    price = _price(card, card.of(storage_class), operation)
    if price is None:
        raise ConfigError(f"price card {card.name} has no price of {operation} into or from {storage_class}")
    return counted(name or operation.value, count, price, period=period)


def retrieval(card: Card, storage_class: str, tier: str) -> Retrieval:
    """Return the prices and hours of reading from a class by a tier; ConfigError if the class lacks that tier."""
    tiers = card.of(storage_class).retrieval
    found = tiers.get(tier)
    if found is None:
        known = f"it has {', '.join(tiers)}" if tiers else "reading it needs no retrieval"
        raise ConfigError(f"price card {card.name}: {storage_class} has no retrieval tier {tier}", hint=known)
    return found


def retrieval_cost(card: Card, storage_class: str, tier: str, sized: "Sized") -> tuple[Line, ...]:
    """Return the lines of retrieving objects by a tier; without the storage of restored copies and GET requests."""
    prices = retrieval(card, storage_class, tier)
    name = f"{storage_class} {tier}"
    return (
        counted(f"{name} restored", sized.objects, prices.requests, unit=Unit.OBJECTS, period=Period.ONE_OFF),
        weighed(card, f"{name} retrieved", sized.size, prices.gb, period=Period.ONE_OFF),
    )


def _price(card: Card, prices: ClassPrices, operation: Operation) -> Decimal | None:
    if operation is Operation.DELETE:
        return Decimal(0)
    if operation is Operation.LIST:
        return card.requests.list
    if operation is Operation.TRANSITION:
        return prices.transition
    return prices.put if operation in _PUTS else prices.get


DAYS_A_MONTH = 30


def monthly_storage(
    card: Card, storage_class: str, *bands: Sized, stored_bytes: int = 0, of: str = ""
) -> tuple[Line, ...]:
    """Return the monthly lines of objects on top of `stored_bytes` in the class's lower tiers; `of` describes them.

    The objects of a band count as equally large. If a class has a smallest billable size, the result is too low for bands
    that mix smaller and larger objects.
    """
    prices, every, billed = card.of(storage_class), sum(bands, NONE), billed_bytes(card, storage_class, *bands)
    name = storage_class if billed == every.size else f"{storage_class} (with the smallest billable size)"
    lines = (
        *tiered(card, name, billed, prices.storage, before=stored_bytes, period=Period.MONTHLY),
        *_overhead(card, storage_class, every.objects),
        *_monitoring(prices, bands),
    )
    return tuple(replace(line, name=f"{line.name} {of}") for line in lines) if of else lines


def billed_bytes(card: Card, storage_class: str, *bands: Sized) -> int:
    """Return the bytes that a class bills: each object at least at the smallest billable size."""
    least = card.of(storage_class).minimum_bytes
    return sum(max(band.size, band.objects * least) for band in bands)


def early_delete(card: Card, storage_class: str, sized: Sized, *, age_days: int) -> tuple[Line, ...]:
    """Return the cost of leaving a class before its minimum days: the storage of the remaining days (30 a month)."""
    prices = card.of(storage_class)
    left = max(0, prices.minimum_days - age_days)
    billed = billed_bytes(card, storage_class, sized) + sized.objects * prices.overhead_bytes
    if not left or not billed:
        return ()
    price = prices.storage[0].price * left / DAYS_A_MONTH
    name = f"{storage_class} left {count_of(left, 'day')} early"
    return (weighed(card, name, billed, price, period=Period.ONE_OFF),)


def left_early(card: Card, parts: Iterable[tuple[str, int, Sized]]) -> tuple[Line, ...]:
    """Return a line per class that parts (class, age in days, objects) leave early; its unit price is the mean."""
    found: dict[str, list[Line]] = {}
    for name, age_days, sized in parts:
        found.setdefault(name, []).extend(early_delete(card, name, sized, age_days=age_days))
    return tuple(_merged(name, lines) for name, lines in found.items() if lines)


def _merged(name: str, lines: list[Line]) -> Line:
    if len(lines) == 1:
        return lines[0]
    quantity, amount = sum((line.quantity for line in lines), Decimal(0)), total(lines)
    formula = " + ".join(line.formula for line in lines[:3]) + (" + …" if len(lines) > 3 else "")
    merged = replace(lines[0], name=f"{name} left early", quantity=quantity, amount=amount, formula=formula)
    return replace(merged, unit_price=amount / quantity)


def _overhead(card: Card, storage_class: str, objects: int) -> tuple[Line, ...]:
    prices = card.of(storage_class)
    if not objects or not prices.overhead_bytes + prices.overhead_standard_bytes:
        return ()
    own, standard = objects * prices.overhead_bytes, objects * prices.overhead_standard_bytes
    rate = card.of(STANDARD).storage[0].price
    return (
        weighed(card, f"{storage_class} overhead", own, prices.storage[0].price, period=Period.MONTHLY),
        weighed(card, f"{storage_class} overhead at {STANDARD}", standard, rate, period=Period.MONTHLY),
    )


def _monitoring(prices: ClassPrices, sized: Sequence[Sized]) -> tuple[Line, ...]:
    if not prices.monitoring:
        return ()
    monitored = sum(band.objects for band in sized if band.size >= band.objects * prices.monitored_bytes)
    if not monitored:
        return ()
    return (counted("objects monitored", monitored, prices.monitoring, unit=Unit.OBJECTS, period=Period.MONTHLY),)


def monthly_internet(card: Card, size: int) -> tuple[Line, ...]:
    """Return the lines of `size` bytes a month to the internet, less the free allowance; without GET requests."""
    paid = max(0, size - int(card.transfer.internet_free_gb * card.gb_bytes))
    return tiered(card, "to the internet", paid, card.transfer.internet, period=Period.MONTHLY)


def monthly_cdn(card: Card, *, size: int, requests: int) -> tuple[Line, ...]:
    """Return the lines of `size` bytes in `requests` HTTPS requests a month from the CDN to viewers.

    Free allowances are deducted; GETs from the bucket are not included.
    """
    paid = max(0, size - int(card.cdn.free_gb * card.gb_bytes))
    billed_requests = max(0, requests - card.cdn.free_requests)
    lines = tiered(card, "from the CDN", paid, card.cdn.internet, period=Period.MONTHLY)
    return (*lines, counted("CDN requests", billed_requests, card.cdn.https, period=Period.MONTHLY))


def flat_plan(card: Card, *, size: int, requests: int) -> CdnPlan | None:
    """Return the cheapest flat plan whose monthly allowance covers these bytes and requests, or None."""
    fitting = [one for one in card.cdn.plans if one.requests >= requests and one.gb * card.gb_bytes >= size]
    return min(fitting, key=lambda one: one.monthly, default=None)
