"""The plan of a product: uploads, views, sizes, the class of its originals, and the profile of the arithmetic."""

from calendar import monthrange
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Final

from imgctl.errors import UsageError
from imgctl.keys import ORIGINAL, ROLES
from imgctl.model import Variant
from imgctl.pricing.lines import Line, total
from imgctl.pricing.prices import STANDARD, Card, CdnPlan

# The lesson's assumed sizes of an average photo, in bytes.
LESSON_SIZES: Mapping[str, int] = {
    Variant.THUMB.value: 50_000,
    Variant.MEDIUM.value: 200_000,
    Variant.FULL.value: 1_000_000,
    ORIGINAL: 3_000_000,
}
# A view shows a picture in a list and then opens it; `full` is loaded only on request.
VIEWED = (Variant.THUMB.value, Variant.MEDIUM.value)
MOST_MONTHS = 240
# The largest object of S3 (since December 2025).
MOST_BYTES = 50 * 2**40
# The catalog's budget for a row with its indexes.
ROW_BYTES = 600
_MOST = {
    "uploads_per_day": 10**9,
    "views_per_upload": 10**6,
    "archive_after_days": 36_500,
    "hit_ratio": 1,
    "tags": 10,
    "audits": 1000,
    "stock": 10**12,
}


class Profile(StrEnum):
    """The arithmetic: AWS's billing rules, or the lesson's rough calculation."""

    AWS = "aws"
    LESSON = "lesson"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A planned product; `sizes` are bytes by role, and variants not listed there are not built.

    `stock` photos exist before the first day, their originals in `stock_class`; they move in the first month.
    Raises UsageError for invalid values.
    """

    uploads_per_day: int = 100_000
    views_per_upload: Decimal = Decimal(10)
    sizes: Mapping[str, int] = field(default_factory=lambda: dict(LESSON_SIZES))
    originals: str = STANDARD
    archive_after_days: int = 0
    cdn: bool = True
    hit_ratio: Decimal = Decimal("0.9")
    months: int = 12
    tags: int = 0
    audits: int = 0
    stock: int = 0
    stock_class: str = STANDARD
    start: date | None = None

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            value = Decimal(getattr(self, name))
            if not value.is_finite() or not 0 <= value <= most:
                raise UsageError(f"--{name.replace('_', '-')} {value} is out of range", hint=f"write 0 to {most:,}")
        if not 1 <= self.months <= MOST_MONTHS:
            raise UsageError(f"--months {self.months} is out of range", hint=f"write 1 to {MOST_MONTHS}")
        if self.start is not None and self.start.year > date.max.year - MOST_MONTHS // 12 - 1:
            raise UsageError(f"--start {self.start:%Y-%m} is out of range", hint="write a month such as 2026-11")
        for name, size in self.sizes.items():
            if name not in ROLES or not 0 <= size <= MOST_BYTES:
                raise UsageError(f"--sizes {name}={size} is not the size of a photo", hint=f"name {', '.join(ROLES)}")
        if ORIGINAL not in self.sizes:
            raise UsageError("--sizes has no original", hint="original=3MB")

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants to build, smallest first."""
        return tuple(one.value for one in Variant if one.value in self.sizes)

    @property
    def variant_size(self) -> int:
        """Bytes of all variants of one photo."""
        return sum(self.sizes[name] for name in self.variants)

    @property
    def original_size(self) -> int:
        """Bytes of one original."""
        return self.sizes[ORIGINAL]

    @property
    def photo_size(self) -> int:
        """Bytes of one photo with all its variants."""
        return self.variant_size + self.original_size

    @property
    def viewed(self) -> tuple[str, ...]:
        """The variants that one view loads: thumb and medium, or their replacements."""
        return tuple(name for name in (stand_in(self.variants, wanted) for wanted in VIEWED) if name)

    @property
    def view_size(self) -> int:
        """Bytes that one view loads."""
        return sum(self.sizes[name] for name in self.viewed)

    def views(self, days: int) -> Decimal:
        """The number of views in a number of days."""
        return self.uploads_per_day * days * self.views_per_upload


def stand_in(variants: tuple[str, ...], wanted: str) -> str | None:
    """Return the variant to show for `wanted`: itself, else the next larger, else the next smaller."""
    order = [one.value for one in Variant]
    at = order.index(wanted)
    return next((name for name in (*order[at:], *reversed(order[:at])) if name in variants), None)


def month_lengths(start: date, months: int) -> Iterator[tuple[date, int]]:
    """Yield the first day and the length of each of `months` months, beginning with the month of `start`."""
    first = start.replace(day=1)
    for _ in range(months):
        days = monthrange(first.year, first.month)[1]
        yield first, days
        # Day 32 always lies in the next month, whatever the month's length.
        first = date.fromordinal(first.toordinal() + days)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A named change of a plan; unset fields stay."""

    name: str
    label: str
    cdn: bool = True
    originals: str = "STANDARD"
    drop: tuple[str, ...] = ()

    def of(self, plan: Plan) -> Plan:
        """Return the plan with this change."""
        sizes = {name: size for name, size in plan.sizes.items() if name not in self.drop}
        return replace(plan, cdn=self.cdn, originals=self.originals, sizes=sizes)


PRESETS: Final = (
    Preset(name="baseline", label="Baseline"),
    Preset(name="cdn-off", label="CDN off", cdn=False),
    Preset(name="glacier", label="Originals to Glacier", originals="GLACIER"),
    Preset(name="skip-medium", label="Skip medium", drop=(Variant.MEDIUM.value,)),
)


class Group(StrEnum):
    """The purpose of a line."""

    STORAGE = "storage"
    REQUESTS = "requests"
    TRANSITIONS = "transitions"
    DELIVERY = "delivery"
    TAGS = "tags"
    DATABASE = "database"


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """One month's bill: its lines by group."""

    number: int
    first: date
    days: int
    groups: Mapping[Group, tuple[Line, ...]]

    @property
    def lines(self) -> tuple[Line, ...]:
        """All lines."""
        return tuple(line for lines in self.groups.values() for line in lines)

    @property
    def total(self) -> Decimal:
        """The month's total."""
        return total(self.lines)

    def of(self, group: Group) -> Decimal:
        """Return the total of one group."""
        return total(self.groups.get(group, ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Headline figures: bytes stored in 365 days and viewed in 30, and the delivery of those 30 both ways, in dollars.

    `flat_plan` is the cheapest flat CDN rate that covers the delivery; None if none does, or if not computed.
    """

    year_bytes: int
    view_bytes: int
    without_cdn: Decimal
    with_cdn: Decimal
    flat_plan: CdnPlan | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Modelled:
    """A plan's bill, month by month, with its card and assumptions."""

    plan: Plan
    profile: Profile
    card: Card
    months: tuple[Month, ...]
    figures: Figures
    assumptions: tuple[str, ...]

    @property
    def total(self) -> Decimal:
        """The total of all months."""
        return sum((month.total for month in self.months), Decimal(0))
