"""What a model answers: months of lines in groups, their sums, and the figures people quote."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from imgctl.pricing.lines import Line
from imgctl.pricing.plan import Plan, Profile
from imgctl.pricing.prices import Card, CdnPlan


class Group(StrEnum):
    """What a line is paid for."""

    STORAGE = "storage"
    REQUESTS = "requests"
    TRANSITIONS = "transitions"
    DELIVERY = "delivery"
    TAGS = "tags"
    DATABASE = "database"


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """One month's bill: its lines by what they are paid for."""

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
        """What the month comes to."""
        return added(self.lines)

    def of(self, group: Group) -> Decimal:
        """What one group comes to."""
        return added(self.groups.get(group, ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The figures people quote: bytes stored in 365 days and viewed in 30, delivery of those 30 both ways, in dollars.

    `flat_plan` is the cheapest flat rate of a CDN that would hold it; None where none does, or nobody asked.
    """

    year_bytes: int
    view_bytes: int
    without_cdn: Decimal
    with_cdn: Decimal
    flat_plan: CdnPlan | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Modelled:
    """A plan's bill, month by month, the card it was computed with, and what had to be assumed."""

    plan: Plan
    profile: Profile
    card: Card
    months: tuple[Month, ...]
    figures: Figures
    assumptions: tuple[str, ...]

    @property
    def total(self) -> Decimal:
        """What all months come to."""
        return sum((month.total for month in self.months), Decimal(0))


def added(lines: tuple[Line, ...]) -> Decimal:
    """What lines come to, once and monthly alike."""
    return sum((line.amount for line in lines), Decimal(0))
