"""The monthly bill of an existing archive: originals by class, variants at assumed sizes, catalog rows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain

from imgctl.model import NONE, Sized, Variant
from imgctl.pricing.costs import billed_bytes, monthly_storage
from imgctl.pricing.lines import PER_THOUSAND, Line, Period, tiered, total
from imgctl.pricing.model import database_lines
from imgctl.pricing.plan import Group
from imgctl.pricing.prices import STANDARD, Card, ClassPrices

# The default sizes of a photo's variants; the catalog holds the bytes of originals only.
TYPICAL_SIZES: Mapping[str, int] = {
    Variant.THUMB.value: 20_000,
    Variant.MEDIUM.value: 150_000,
    Variant.FULL.value: 500_000,
}
ROWS = "rows"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Originals of one class: those of 128 KiB or more, and the smaller ones."""

    large: Sized = NONE
    small: Sized = NONE

    @property
    def both(self) -> Sized:
        """All of them."""
        return self.large + self.small

    def __add__(self, other: "Held") -> "Held":
        return Held(large=self.large + other.large, small=self.small + other.small)

    def __sub__(self, other: "Held") -> "Held":
        return Held(large=self.large - other.large, small=self.small - other.small)


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """The stored objects: originals by class, the number of each variant, and a variant's assumed bytes.

    Originals of classes without a price are `unpriced`: they count among the images and bytes and not in the bill.
    """

    originals: Mapping[str, Held]
    variants: Mapping[str, int]
    sizes: Mapping[str, int]
    unpriced: Mapping[str, Held] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """The number of images."""
        return sum(held.both.objects for held in self._every())

    @property
    def size(self) -> int:
        """Bytes of all originals."""
        return sum(held.both.size for held in self._every())

    @property
    def variant_size(self) -> int:
        """Bytes of all variants, from the assumed sizes."""
        return sum(count * self.sizes[name] for name, count in self.variants.items())

    def _every(self) -> Iterable[Held]:
        return chain(self.originals.values(), self.unpriced.values())


def archive_lines(card: Card, archive: Archive) -> dict[str, tuple[Line, ...]]:
    """Return a month's lines for each class of originals, each variant, and `rows`; ConfigError for an unknown class."""
    found: dict[str, tuple[Line, ...]] = {}
    stored = 0
    for name, held in archive.originals.items():
        found[name] = monthly_storage(card, name, held.small, held.large, of="originals")
        stored += held.both.size if name == STANDARD else 0
    for name, count in archive.variants.items():
        size = count * archive.sizes[name]
        sized = Sized(objects=count, size=size)
        found[name] = monthly_storage(card, STANDARD, sized, stored_bytes=stored, of=name)
        stored += size
    return {**found, ROWS: database_lines(card, archive.rows)}


def archive_bill(card: Card, archive: Archive) -> Decimal:
    """Return the archive's monthly cost."""
    return sum((total(lines) for lines in archive_lines(card, archive).values()), Decimal(0))


def group_of(name: str) -> Group:
    """Return the group of a part's lines."""
    return Group.DATABASE if name == ROWS else Group.STORAGE


def shares(card: Card, archive: Archive, lines: Mapping[str, tuple[Line, ...]]) -> "Shares":
    """Return mean prices from the archive's bill (`archive_lines`), to compute the share of a part."""
    classes = {}
    for name, held in archive.originals.items():
        prices, billed = card.of(name), billed_bytes(card, name, held.small, held.large)
        size = total(tiered(card, name, billed, prices.storage, period=Period.MONTHLY))
        watch = _watched(prices, held) * prices.monitoring / PER_THOUSAND
        classes[name] = (
            _mean(size, billed),
            _mean(total(lines[name]) - size - watch, held.both.objects),
            prices.monitoring / PER_THOUSAND,
        )
    variants = {name: _mean(total(lines[name]), count) for name, count in archive.variants.items()}
    return Shares(card=card, classes=classes, variants=variants, row=_mean(total(lines[ROWS]), archive.rows))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Mean prices of an archive: by class per billed byte, object and monitored object; per variant; per row."""

    card: Card
    classes: Mapping[str, tuple[Decimal, Decimal, Decimal]]
    variants: Mapping[str, Decimal]
    row: Decimal

    def of(self, part: Archive) -> Decimal:
        """Return the cost of a part; the shares of all parts add up to the bill."""
        share = part.rows * self.row
        for name, held in part.originals.items():
            prices, (byte, one, watched) = self.card.of(name), self.classes[name]
            billed = billed_bytes(self.card, name, held.small, held.large)
            share += billed * byte + held.both.objects * one + _watched(prices, held) * watched
        return share + sum((count * self.variants[name] for name, count in part.variants.items()), Decimal(0))


def _watched(prices: ClassPrices, held: Held) -> int:
    return held.large.objects if prices.monitoring else 0


def _mean(amount: Decimal, count: int) -> Decimal:
    return amount / count if count else Decimal(0)
