"""The monthly bill of an archive that exists: its originals by class, its variants at stated sizes, its rows."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from imgctl.model import Variant
from imgctl.pricing.costs import Sized, monthly_storage
from imgctl.pricing.lines import PER_THOUSAND, Line, Period, tiered, total
from imgctl.pricing.model import database_lines
from imgctl.pricing.plan import Group
from imgctl.pricing.prices import STANDARD, Card, ClassPrices

# What is assumed of a photo's variants where nobody said better; the catalog knows the originals' bytes only.
TYPICAL_SIZES: Mapping[str, int] = {
    Variant.THUMB.value: 20_000,
    Variant.MEDIUM.value: 150_000,
    Variant.FULL.value: 500_000,
}
ROWS = "rows"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Originals of one class: how many, their bytes in all, and those of them below 128 KiB."""

    objects: int = 0
    size: int = 0
    small: int = 0
    small_size: int = 0

    def plus(self, other: "Held") -> "Held":
        """Both together."""
        return Held(
            objects=self.objects + other.objects,
            size=self.size + other.size,
            small=self.small + other.small,
            small_size=self.small_size + other.small_size,
        )

    def minus(self, other: "Held") -> "Held":
        """What is left without the others."""
        return self.plus(
            Held(objects=-other.objects, size=-other.size, small=-other.small, small_size=-other.small_size)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """What is stored: originals by class, how many of each variant, and what is assumed of a variant's bytes."""

    originals: Mapping[str, Held]
    variants: Mapping[str, int]
    sizes: Mapping[str, int]

    @property
    def rows(self) -> int:
        """How many images there are."""
        return sum(held.objects for held in self.originals.values())

    @property
    def size(self) -> int:
        """Bytes of all originals."""
        return sum(held.size for held in self.originals.values())

    @property
    def variant_size(self) -> int:
        """Bytes of all variants, as assumed."""
        return sum(count * self.sizes[name] for name, count in self.variants.items())


def archive_lines(card: Card, archive: Archive) -> dict[str, tuple[Line, ...]]:
    """A month's lines by what they keep: each class of originals, each variant, and `rows`; ConfigError for a class unknown."""
    found: dict[str, tuple[Line, ...]] = {}
    stored = 0
    for name, held in archive.originals.items():
        lines = _originals(card, name, held)
        found[name] = tuple(replace(line, name=f"{line.name} originals") for line in lines)
        stored += held.size if name == STANDARD else 0
    for name, count in archive.variants.items():
        size = count * archive.sizes[name]
        lines = monthly_storage(card, STANDARD, Sized(objects=count, size=size), stored_bytes=stored)
        found[name] = tuple(replace(line, name=f"{line.name} {name}") for line in lines)
        stored += size
    return {**found, ROWS: database_lines(card, archive.rows)}


def archive_bill(card: Card, archive: Archive) -> Decimal:
    """What keeping the archive costs a month."""
    return sum((total(lines) for lines in archive_lines(card, archive).values()), Decimal(0))


def group_of(name: str) -> Group:
    """What the lines of a part are paid for."""
    return Group.DATABASE if name == ROWS else Group.STORAGE


def shares(card: Card, archive: Archive, lines: Mapping[str, tuple[Line, ...]]) -> "Shares":
    """The archive's bill (`archive_lines`) as mean prices, to say what of it falls to a part."""
    classes = {}
    for name, held in archive.originals.items():
        prices = card.of(name)
        size = total(tiered(card, name, _billed(prices, held), prices.storage, period=Period.MONTHLY))
        watch = _watched(prices, held) * prices.monitoring / PER_THOUSAND
        classes[name] = (
            _mean(size, _billed(prices, held)),
            _mean(total(lines[name]) - size - watch, held.objects),
            prices.monitoring / PER_THOUSAND,
        )
    variants = {name: _mean(total(lines[name]), count) for name, count in archive.variants.items()}
    return Shares(card=card, classes=classes, variants=variants, row=_mean(total(lines[ROWS]), archive.rows))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Mean prices of an archive: by class of a billed byte, an object and a watched one; of a variant; of a row."""

    card: Card
    classes: Mapping[str, tuple[Decimal, Decimal, Decimal]]
    variants: Mapping[str, Decimal]
    row: Decimal

    def of(self, part: Archive) -> Decimal:
        """What falls to a part; the shares of all parts add up to the bill."""
        share = part.rows * self.row
        for name, held in part.originals.items():
            prices, (byte, one, watched) = self.card.of(name), self.classes[name]
            share += _billed(prices, held) * byte + held.objects * one + _watched(prices, held) * watched
        return share + sum((count * self.variants[name] for name, count in part.variants.items()), Decimal(0))


def _billed(prices: ClassPrices, held: Held) -> int:
    large, large_size = held.objects - held.small, held.size - held.small_size
    least = prices.minimum_bytes
    return max(held.small_size, held.small * least) + max(large_size, large * least)


def _watched(prices: ClassPrices, held: Held) -> int:
    return held.objects - held.small if prices.monitoring else 0


def _mean(amount: Decimal, count: int) -> Decimal:
    return amount / count if count else Decimal(0)


def _originals(card: Card, name: str, held: Held) -> tuple[Line, ...]:
    small = Sized(objects=held.small, size=held.small_size)
    large = Sized(objects=held.objects - held.small, size=held.size - held.small_size)
    return monthly_storage(card, name, small, large)
