"""Option types of `imgctl cost`: amounts, sizes by role, and the options that make a plan."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, TypedDict, TypeVar, Unpack

import click

from imgctl.cli.types import Seconds
from imgctl.errors import UsageError
from imgctl.keys import ROLES
from imgctl.model import Variant
from imgctl.units import parse_bytes

if TYPE_CHECKING:
    from imgctl.pricing.plan import Plan

F = TypeVar("F", bound=Callable[..., object])
DAY_SECONDS = 86_400


class Amount(click.ParamType[Decimal]):
    """A number from 0 on, to the last digit."""

    name = "number"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        try:
            found = Decimal(str(value))
        except InvalidOperation:
            self.fail(f"{value!r} is no number", param, ctx)
        if not found.is_finite() or found < 0:
            self.fail(f"{value!r} is no number from 0 on", param, ctx)
        return found


class Sizes(click.ParamType[dict[str, int]]):
    """Bytes by role: `thumb=50KB,original=3MB`."""

    name = "sizes"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, int]:
        if isinstance(value, dict):
            return value
        found = {}
        for part in str(value).split(","):
            name, _, size = part.partition("=")
            if name.strip() not in ROLES:
                self.fail(f"{name.strip()!r} is none of {', '.join(ROLES)}; write thumb=50KB,original=3MB", param, ctx)
            try:
                found[name.strip()] = parse_bytes(size)
            except UsageError as error:
                self.fail(error.line, param, ctx)
        return found


class MonthDate(click.ParamType[date]):
    """A month: `2026-11`."""

    name = "month"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> date:
        try:
            return value if isinstance(value, date) else date.fromisoformat(f"{value}-01")
        except ValueError:
            self.fail(f"{value!r} is no month; write 2026-11", param, ctx)


class PlanOptions(TypedDict):
    """The options of a plan, named as they are typed."""

    uploads_per_day: int
    views_per_upload: Decimal
    sizes: dict[str, int] | None
    drop_variant: tuple[str, ...]
    originals: str
    archive_after: float
    cdn: bool
    hit_ratio: Decimal
    months: int
    tags: int
    audits: int
    stock: int
    stock_class: str
    start: date | None


def plan_options(function: F) -> F:
    """Add the options that make a plan; `plan_of` makes it."""
    some = click.IntRange(min=0)
    options = (
        click.option("--uploads-per-day", type=some, default=100_000, show_default=True, help="Photos a day."),
        click.option("--views-per-upload", type=Amount(), default="10", show_default=True, help="Views a photo."),
        click.option(
            "--sizes", type=Sizes(), metavar="ROLE=SIZE,…", help="thumb=50KB,medium=200KB,full=1MB,original=3MB."
        ),
        click.option(
            "--drop-variant",
            type=click.Choice([one.value for one in Variant]),
            multiple=True,
            help="Build no such variant.",
        ),
        click.option("--originals", metavar="CLASS", default="STANDARD", show_default=True, help="Class of originals."),
        click.option(
            "--archive-after",
            type=Seconds(),
            metavar="TIME",
            default="0d",
            help="Originals first stay in STANDARD so long: 90d.",
        ),
        click.option("--cdn/--no-cdn", default=True, help="Deliver through a CDN (default) or from the bucket."),
        click.option(
            "--hit-ratio", type=Amount(), default="0.9", show_default=True, help="What the CDN need not fetch."
        ),
        click.option("--months", type=int, default=12, show_default=True, help="How many months."),
        click.option("--tags", type=some, default=0, help="Tags an object."),
        click.option("--audits", type=some, default=0, help="Audits a month, each a LIST of everything."),
        click.option("--stock", type=some, default=0, help="Photos that are there already."),
        click.option("--stock-class", metavar="CLASS", default="STANDARD", help="Where their originals lie."),
        click.option("--start", type=MonthDate(), metavar="MONTH", help="First month: 2026-11 (default: the card's)."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def plan_of(**options: Unpack[PlanOptions]) -> "Plan":
    """The plan that the options describe; UsageError for what can be none."""
    from imgctl.pricing.plan import LESSON_SIZES, Plan

    sizes = {**LESSON_SIZES, **(options["sizes"] or {})}
    return Plan(
        uploads_per_day=options["uploads_per_day"],
        views_per_upload=options["views_per_upload"],
        sizes={name: size for name, size in sizes.items() if name not in options["drop_variant"]},
        originals=options["originals"].upper(),
        archive_after_days=int(options["archive_after"] // DAY_SECONDS),
        cdn=options["cdn"],
        hit_ratio=options["hit_ratio"],
        months=options["months"],
        tags=options["tags"],
        audits=options["audits"],
        stock=options["stock"],
        stock_class=options["stock_class"].upper(),
        start=options["start"],
    )
