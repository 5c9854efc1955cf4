"""The monthly bill of the existing archive: its lines, its growth, and its shares by owner."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from imgctl.model import Variant
from imgctl.ops.cost.survey import Part, Survey
from imgctl.pricing.archive_bill import ROWS, Archive, archive_bill, archive_lines, shares
from imgctl.pricing.costs import Operation, request_cost
from imgctl.pricing.lines import Line, total
from imgctl.pricing.prices import STANDARD, Card

OTHERS = "others"
ORIGINAL = "original"


class By(StrEnum):
    """The ways to divide a bill."""

    CLASS = "class"
    USER = "user"
    MONTH = "month"
    VARIANT = "variant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A named part of the bill: number of blobs, their bytes (assumed for variants), dollars a month."""

    name: str
    objects: int
    size: int
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """Growth over the last 30 days: photos, the monthly cost they add, and the cost of their requests."""

    photos: int
    monthly: Decimal
    requests: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Actual:
    """The bill by parts, its total, and its growth."""

    lines: Mapping[str, tuple[Line, ...]]
    total: Decimal
    growth: Growth
    shares: tuple[Share, ...]
    dearest: tuple[Share, ...]


def actual(card: Card, survey: Survey, by: By) -> Actual:
    """Compute the bill of a survey, divided by `by`; the shares add up to the total."""
    lines = archive_lines(card, survey.archive)
    whole = sum((total(some) for some in lines.values()), Decimal(0))
    users = _of_parts(card, survey.archive, survey.users, lines)
    dearest = tuple(sorted(users, key=lambda one: (-one.amount, one.name)))
    divided = {
        By.CLASS: lambda: _by_class(survey.archive, lines),
        By.VARIANT: lambda: _by_variant(survey.archive, lines),
        By.MONTH: lambda: _of_parts(card, survey.archive, survey.months, lines),
        By.USER: lambda: (*dearest, *_others(survey.archive, dearest, whole)),
    }[by]()
    return Actual(lines=lines, total=whole, growth=_growth(card, survey), shares=divided, dearest=dearest)


def _growth(card: Card, survey: Survey) -> Growth:
    recent, whole = survey.recent, survey.archive
    originals = {name: held - recent.originals[name] for name, held in whole.originals.items()}
    variants = {name: count - recent.variants[name] for name, count in whole.variants.items()}
    unpriced = {name: held - recent.unpriced[name] for name, held in whole.unpriced.items()}
    before = replace(whole, originals=originals, variants=variants, unpriced=unpriced)
    puts = recent.rows + sum(recent.variants.values())
    requests = (
        request_cost(card, STANDARD, Operation.PUT, puts),
        request_cost(card, STANDARD, Operation.GET, recent.rows),
    )
    monthly = archive_bill(card, whole) - archive_bill(card, before)
    return Growth(photos=recent.rows, monthly=max(Decimal(0), monthly), requests=requests)


def _by_class(archive: Archive, lines: Mapping[str, tuple[Line, ...]]) -> tuple[Share, ...]:
    originals = tuple(
        Share(name=f"{name} originals", objects=held.both.objects, size=held.both.size, amount=total(lines[name]))
        for name, held in archive.originals.items()
    )
    amount = sum((total(lines[name]) for name in archive.variants), Decimal(0))
    count = sum(archive.variants.values())
    variants = Share(name=f"{STANDARD} variants", objects=count, size=archive.variant_size, amount=amount)
    return (*originals, variants, _rows(archive, lines))


def _by_variant(archive: Archive, lines: Mapping[str, tuple[Line, ...]]) -> tuple[Share, ...]:
    amount = sum((total(lines[name]) for name in archive.originals), Decimal(0))
    variants = tuple(
        Share(
            name=name,
            objects=archive.variants[name],
            size=archive.variants[name] * archive.sizes[name],
            amount=total(lines[name]),
        )
        for name in (one.value for one in Variant)
    )
    original = Share(name=ORIGINAL, objects=archive.rows, size=archive.size, amount=amount)
    return (original, *variants, _rows(archive, lines))


def _rows(archive: Archive, lines: Mapping[str, tuple[Line, ...]]) -> Share:
    return Share(name=ROWS, objects=archive.rows, size=0, amount=total(lines[ROWS]))


def _of_parts(
    card: Card, archive: Archive, parts: tuple[Part, ...], lines: Mapping[str, tuple[Line, ...]]
) -> tuple[Share, ...]:
    mean = shares(card, archive, lines)
    return tuple(
        Share(
            name=part.name,
            objects=part.archive.rows + sum(part.archive.variants.values()),
            size=part.archive.size + part.archive.variant_size,
            amount=mean.of(part.archive),
        )
        for part in parts
    )


def _others(archive: Archive, named: tuple[Share, ...], total: Decimal) -> tuple[Share, ...]:
    objects = archive.rows + sum(archive.variants.values()) - sum(one.objects for one in named)
    size = archive.size + archive.variant_size - sum(one.size for one in named)
    rest = total - sum((one.amount for one in named), Decimal(0))
    return (Share(name=OTHERS, objects=objects, size=size, amount=rest),) if objects else ()
