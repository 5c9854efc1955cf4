"""Lines of an estimate: the billed item, its quantity and its amount."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

from imgctl.pricing.prices import Card, Tiers
from imgctl.units import format_bytes

Json: TypeAlias = "str | int | float | bool | list[Json] | Mapping[str, Json] | None"

PER_THOUSAND = 1000


class Period(StrEnum):
    """When a line is paid: once, or every month."""

    ONE_OFF = "one_off"
    MONTHLY = "monthly"


class Unit(StrEnum):
    """The unit of a line; prices are per GB (2^30 or 10^9 bytes, by the card) or per 1,000 of any other unit."""

    GIB = "GiB"
    GB = "GB"
    REQUESTS = "requests"
    OBJECTS = "objects"


_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One billed item; amounts are exact US dollars, rounded only when shown."""

    name: str
    quantity: Decimal
    unit: Unit
    unit_price: Decimal
    amount: Decimal
    formula: str
    period: Period

    @property
    def brief(self) -> str:
        """Quantity and name for display: `10,000 PUT`, `100 GiB STANDARD`."""
        if self.unit in (Unit.GIB, Unit.GB):
            return f"{_weight(self.quantity, self.unit)} {self.name}"
        return f"{self.quantity:,.0f} {self.name}"

    def record(self) -> dict[str, Json]:
        """Return the line for JSON; numbers as text, so that no reader rounds them."""
        return {
            "name": self.name,
            "quantity": plain(self.quantity),
            "unit": self.unit.value,
            "unit_price": plain(self.unit_price),
            "amount": plain(self.amount),
            "formula": self.formula,
            "period": self.period.value,
        }


def counted(name: str, count: int, price: Decimal, *, unit: Unit = Unit.REQUESTS, period: Period) -> Line:
    """Return the line of `count` items at `price` per 1,000."""
    return Line(
        name=name,
        quantity=Decimal(count),
        unit=unit,
        unit_price=price,
        amount=count * price / PER_THOUSAND,
        formula=f"{count:,} / 1,000 × ${plain(price)}",
        period=period,
    )


def weighed(card: Card, name: str, size: Decimal | int, price: Decimal, *, period: Period) -> Line:
    """Return the line of `size` bytes at `price` per GB."""
    quantity, unit = Decimal(size) / card.gb_bytes, Unit.GIB if card.gb_bytes == 2**30 else Unit.GB
    return Line(
        name=name,
        quantity=quantity,
        unit=unit,
        unit_price=price,
        amount=size * price / card.gb_bytes,
        formula=f"{quantity:,.6f} {unit} × ${plain(price)}",
        period=period,
    )


def tiered(card: Card, name: str, size: int, tiers: Tiers, *, before: int = 0, period: Period) -> tuple[Line, ...]:
    """Return a line per tier for `size` bytes on top of `before` bytes, which already fill the lower tiers."""
    lines = []
    begin, end, floor = Decimal(before), Decimal(before + size), Decimal(0)
    for tier in tiers:
        top = end if tier.up_to_gb is None else tier.up_to_gb * card.gb_bytes
        share = min(end, top) - max(begin, floor)
        if share > 0:
            lines.append(weighed(card, name, share, tier.price, period=period))
        floor = top
    return tuple(lines)


def total(lines: Iterable[Line], period: Period | None = None) -> Decimal:
    """Return the sum of the lines of one period, or of all."""
    return sum((line.amount for line in lines if period in (None, line.period)), Decimal(0))


def dollars(amount: Decimal) -> str:
    """Format an amount: to the cent, `$1,234.50`; below a dollar to three significant digits, `$0.00132`."""
    if abs(amount) >= 1 or not amount:
        return f"${amount.quantize(_CENT):,}"
    # Half up: half even would show some amounts that differ by 1 % as equal.
    shown = amount.quantize(Decimal(1).scaleb(amount.adjusted() - 2), rounding=ROUND_HALF_UP)
    whole, _, fraction = f"{shown:f}".partition(".")
    return f"${whole}.{fraction.rstrip('0').ljust(2, '0')}"


def plain(value: Decimal) -> str:
    """Format a number without exponent and trailing zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def as_json(value: object) -> object:
    """Convert types that JSON lacks: amounts and ids to exact text, times to ISO 8601, a dataclass to its fields.

    For `json.dumps(…, default=as_json)`; TypeError for any other type.
    """
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, date):
        return value.isoformat()
    if is_dataclass(value):
        return {one.name: getattr(value, one.name) for one in fields(value)}
    if not isinstance(value, UUID | Path):
        raise TypeError(f"{value!r} cannot be written as JSON")
    return str(value)


def _weight(quantity: Decimal, unit: Unit) -> str:
    return format_bytes(float(quantity) * 2**30) if unit is Unit.GIB else f"{quantity:,.1f} {unit}"
