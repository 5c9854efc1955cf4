"""What asking costs: requests by class, retrieval by class and tier."""

from decimal import Decimal
from enum import StrEnum

from imgctl.errors import ConfigError
from imgctl.pricing.lines import Line, Period, Unit, counted, weighed
from imgctl.pricing.prices import Card, ClassPrices, Retrieval


class Operation(StrEnum):
    """What a request does; a copy is paid at the price of the class it puts into."""

    PUT = "PUT"
    COPY = "COPY"
    POST = "POST"
    LIST = "LIST"
    GET = "GET"
    HEAD = "HEAD"
    DELETE = "DELETE"
    TRANSITION = "transition"


INSTANT = "INSTANT"
"""The tier of classes that can be read at once, for a price a GB."""

_PUTS = {Operation.PUT, Operation.COPY, Operation.POST}


def request_cost(card: Card, storage_class: str, operation: Operation, count: int) -> Line:
    """`count` requests of one kind, once; ConfigError where the card has no price for them."""
    price = _price(card, card.of(storage_class), operation)
    if price is None:
        raise ConfigError(f"price card {card.name} has no price of {operation} into or from {storage_class}")
    return counted(operation.value, count, price, period=Period.ONE_OFF)


def retrieval(card: Card, storage_class: str, tier: str) -> Retrieval:
    """The prices and hours of reading from a class by a tier; ConfigError where there is no such tier."""
    tiers = card.of(storage_class).retrieval
    found = tiers.get(tier)
    if found is None:
        known = f"it has {', '.join(tiers)}" if tiers else "reading it needs no retrieval"
        raise ConfigError(f"price card {card.name}: {storage_class} has no retrieval tier {tier}", hint=known)
    return found


def retrieval_cost(card: Card, storage_class: str, tier: str, *, objects: int, size: int) -> tuple[Line, ...]:
    """Bringing `objects` of `size` bytes in all back by a tier; without the storage of restored copies and GET requests."""
    prices = retrieval(card, storage_class, tier)
    name = f"{storage_class} {tier}"
    return (
        counted(f"{name} restored", objects, prices.requests, unit=Unit.OBJECTS, period=Period.ONE_OFF),
        weighed(card, f"{name} retrieved", size, prices.gb, period=Period.ONE_OFF),
    )


def _price(card: Card, prices: ClassPrices, operation: Operation) -> Decimal | None:
    if operation is Operation.DELETE:
        return Decimal(0)
    if operation is Operation.LIST:
        return card.list_requests
    if operation is Operation.TRANSITION:
        return prices.transition
    return prices.put if operation in _PUTS else prices.get
