"""`imgctl cost model`: the bill of a planned product."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import click

from imgctl.cli.common.options import Options, flag, option, order_of, switch
from imgctl.cli.common.render import card_record, show_card, show_lines, show_table
from imgctl.cli.common.session import Session, subcommand
from imgctl.cli.common.types import ANY_COUNT, MONTH, SIZES
from imgctl.errors import ExitCode
from imgctl.model import Variant
from imgctl.ops.common.spend import card_in_force
from imgctl.pricing.lesson_profile import terabytes
from imgctl.pricing.lines import dollars
from imgctl.pricing.model import model, wrong_words
from imgctl.pricing.plan import LESSON_SIZES, Group, Modelled, Plan, Profile
from imgctl.units import DAY_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions(Options):
    """Options that describe a planned product; shared with `cost lab`."""

    uploads_per_day: int = option(100_000, "Photos a day.", kind=ANY_COUNT)
    views_per_upload: Decimal = option(Decimal(10), "Views a photo.")
    sizes: dict[str, int] | None = option(None, "thumb=50KB,medium=200KB,full=1MB,original=3MB.", kind=SIZES)
    drop_variant: tuple[Variant, ...] = option((), "Leave out this variant; repeatable.")
    originals: str = option("STANDARD", "Storage class of originals.", metavar="CLASS")
    archive_after: float = option(0.0, "Originals stay in STANDARD first, for this long: 90d.")
    cdn: bool = switch("--cdn/--no-cdn", "Deliver through a CDN (default) or from the bucket.")
    hit_ratio: Decimal = option(Decimal("0.9"), "Share of views that the CDN serves from its cache.")
    months: int = option(12, "Number of months.", kind=click.INT, metavar="N")
    tags: int = option(0, "Tags per object.", kind=ANY_COUNT)
    audits: int = option(0, "Audits a month; each lists the whole bucket.", kind=ANY_COUNT)
    stock: int = option(0, "Photos that are already stored.", kind=ANY_COUNT)
    stock_class: str = option("STANDARD", "Storage class of their originals.", metavar="CLASS")
    start: date | None = option(None, "First month: 2026-11 (default: the card's).", kind=MONTH)
    profile: str = option("aws", "AWS's arithmetic, or the lesson's.", kind=click.Choice(["aws", "lesson"]))

    @property
    def plan(self) -> "Plan":
        """The plan that the options describe; raises UsageError for an impossible one."""
        sizes = {**LESSON_SIZES, **(self.sizes or {})}
        return order_of(
            Plan,
            self,
            sizes={name: size for name, size in sizes.items() if name not in self.drop_variant},
            originals=self.originals.upper(),
            archive_after_days=int(self.archive_after // DAY_SECONDS),
            stock_class=self.stock_class.upper(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(PlanOptions):
    explain: bool = flag("Show every line of the first and last month with its formula.")


@subcommand(
    Args,
    examples="""
imgctl cost model
imgctl cost model --uploads-per-day 5000 --originals GLACIER
imgctl cost model --sizes original=8MB --drop-variant full --no-cdn --explain
imgctl cost model --profile lesson --explain
imgctl cost model --months 36 --json
""",
    main="--uploads-per-day --views-per-upload --sizes --originals --archive-after --months --stock --profile --explain",
    settings={"cost.card": ""},
)
def command(session: Session, args: Args) -> ExitCode:
    """Show the cost of a planned product, month by month and in total.

    Profile `aws` computes as AWS bills: GiB, tiers, free tiers, smallest billable sizes, overhead, every request, months
    of their true length. Profile `lesson` is a rough estimate; --explain shows where it is wrong.
    """
    found = model(card_in_force(session.settings), args.plan, profile=Profile(args.profile))
    _data(session, found)
    _show_months(session, found)
    _show_figures(session, found)
    if args.explain:
        for month in dict.fromkeys((found.months[0].number, found.months[-1].number)):
            show_lines(session, found.months[month - 1].lines, title=f"month {month}")
        _show_words(session, found)
    show_card(session, found.card)
    return ExitCode.DONE


def _data(session: Session, found: Modelled) -> None:
    for month in found.months:
        for group, lines in month.groups.items():
            for line in lines:
                session.data({"type": "line", "month": month.number, "group": group, **line.record()})
    figures = found.figures
    session.summary(
        profile=found.profile,
        total=found.total,
        months=[
            {"month": one.number, "first": one.first, "days": one.days, "total": one.total} for one in found.months
        ],
        stored_in_a_year_bytes=figures.year_bytes,
        viewed_in_a_month_bytes=figures.view_bytes,
        delivery_without_cdn=figures.without_cdn,
        delivery_with_cdn=figures.with_cdn,
        flat_cdn_plan=figures.flat_plan.name if figures.flat_plan else None,
        first_month=found.months[0].total,
        assumptions=found.assumptions,
        **card_record(found.card),
    )


def _show_months(session: Session, found: "Modelled") -> None:
    groups = [group for group in Group if any(month.of(group) for month in found.months)]
    rows, so_far = [], found.total * 0
    for month in found.months:
        so_far += month.total
        cells = (dollars(month.of(group)) for group in groups)
        rows.append((f"{month.number}", f"{month.days}", *cells, dollars(month.total), dollars(so_far)))
    show_table(session, ("MONTH", "DAYS", *(group.upper() for group in groups), "TOTAL", "SO FAR"), rows)


def _show_figures(session: Session, found: "Modelled") -> None:
    figures = found.figures
    session.text("")
    session.text(f"stored in a year of 365 days: {terabytes(figures.year_bytes)}")
    session.text(f"viewed in a month of 30 days: {terabytes(figures.view_bytes)}")
    session.text(f"delivering that: {dollars(figures.without_cdn)} without a CDN, {dollars(figures.with_cdn)} with one")
    flat = figures.flat_plan
    if flat is not None:
        session.text(
            f"a CDN's flat plan would cover it: {flat.name}, {dollars(flat.monthly)} a month, throttled beyond"
        )
    session.text(f"first month: {dollars(found.months[0].total)}; all {len(found.months)}: {dollars(found.total)}")


def _show_words(session: Session, found: "Modelled") -> None:
    session.text("")
    session.text(f"profile {found.profile} assumes:")
    for one in found.assumptions:
        session.text(f"- {one}")
    for one in wrong_words(found):
        session.text(f"- but {one}")
    session.text("")
