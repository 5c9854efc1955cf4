"""What storing costs a month: tiers, smallest billable sizes, overhead an object, and leaving early."""

from collections.abc import Sequence
from dataclasses import dataclass

from imgctl.pricing.lines import Line, Period, Unit, counted, tiered, weighed
from imgctl.pricing.prices import STANDARD, Card, ClassPrices
from imgctl.units import count_of

DAYS_A_MONTH = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """So many objects of so many bytes together, all about the same size."""

    objects: int
    size: int


def monthly_storage(
    card: Card, *, storage_class: str, objects: int, size: int, bands: Sequence[Sized] = (), stored_bytes: int = 0
) -> tuple[Line, ...]:
    """What `objects` of `size` bytes in all cost a month, beside `stored_bytes` of the class that fill its lower tiers.

    `bands` tell of some of these objects how large they are; the others count as equally large. Where a class has a
    smallest billable size, bands that mix smaller and larger objects come out too cheap.
    """
    prices, sized = card.of(storage_class), _bands(objects, size, bands)
    billed = sum(max(band.size, band.objects * prices.minimum_bytes) for band in sized)
    name = storage_class if billed == size else f"{storage_class} (with the smallest billable size)"
    lines = tiered(card, name, billed, prices.storage, before=stored_bytes, period=Period.MONTHLY)
    return (*lines, *_overhead(card, prices, objects), *_monitoring(prices, sized))


def early_delete(card: Card, *, storage_class: str, objects: int, size: int, age_days: int) -> tuple[Line, ...]:
    """What leaving a class before its minimum days costs: the storage of the days that are left (30 a month)."""
    prices = card.of(storage_class)
    left = max(0, prices.minimum_days - age_days)
    billed = max(size, objects * prices.minimum_bytes) + objects * prices.overhead_bytes
    if not left or not billed:
        return ()
    price = prices.storage[0].price * left / DAYS_A_MONTH
    return (weighed(card, f"{storage_class} left {count_of(left, 'day')} early", billed, price, period=Period.ONE_OFF),)


def _bands(objects: int, size: int, bands: Sequence[Sized]) -> tuple[Sized, ...]:
    rest = Sized(objects=objects - sum(band.objects for band in bands), size=size - sum(band.size for band in bands))
    if rest.objects < 0 or rest.size < 0:
        raise ValueError("the bands hold more than there is")
    return (*bands, rest)


def _overhead(card: Card, prices: ClassPrices, objects: int) -> tuple[Line, ...]:
    if not objects or not prices.overhead_bytes + prices.overhead_standard_bytes:
        return ()
    own, standard = objects * prices.overhead_bytes, objects * prices.overhead_standard_bytes
    rate = card.of(STANDARD).storage[0].price
    return (
        weighed(card, f"{prices.name} overhead", own, prices.storage[0].price, period=Period.MONTHLY),
        weighed(card, f"{prices.name} overhead at {STANDARD}", standard, rate, period=Period.MONTHLY),
    )


def _monitoring(prices: ClassPrices, sized: Sequence[Sized]) -> tuple[Line, ...]:
    if not prices.monitoring:
        return ()
    monitored = sum(band.objects for band in sized if band.size >= band.objects * prices.monitored_bytes)
    if not monitored:
        return ()
    return (counted("objects monitored", monitored, prices.monitoring, unit=Unit.OBJECTS, period=Period.MONTHLY),)
