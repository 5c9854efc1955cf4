"""`imgctl cost model`: the bill of a product that does not exist yet."""

from typing import TYPE_CHECKING, Unpack

import click

from imgctl.cli.base import Json, Session, subcommand
from imgctl.cli.cost_render import card_record, show_card, show_lines, show_table
from imgctl.cli.cost_types import PlanOptions, plan_of, plan_options
from imgctl.errors import ExitCode

if TYPE_CHECKING:
    from imgctl.pricing.plan import Modelled


@subcommand(
    examples="""
imgctl cost model
imgctl cost model --uploads-per-day 5000 --views-per-upload 40 --originals GLACIER --archive-after 90d
imgctl cost model --sizes original=8MB --drop-variant full --no-cdn --explain
imgctl cost model --profile lesson --explain
imgctl cost model --months 36 --json
""",
    flags={"card": "cost.card"},
)
@plan_options
@click.option(
    "--profile", type=click.Choice(["aws", "lesson"]), default="aws", show_default=True, help="Whose arithmetic."
)
@click.option("--explain", is_flag=True, help="Show every line of the first and last month with its formula.")
@click.option("--card", metavar="FILE", help="The price card. [cost] card")
def command(session: Session, *, profile: str, explain: bool, **options: Unpack[PlanOptions]) -> ExitCode:
    """Show what a planned product will cost, month by month and in all.

    Profile `aws` bills as AWS does: GiB, tiers, free tiers, smallest billable sizes, overhead, every request, months of
    their true length. Profile `lesson` is the arithmetic on the back of an envelope; --explain says where it is wrong.
    """
    from imgctl.ops.cost.cards import card_in_force
    from imgctl.pricing.model import model
    from imgctl.pricing.plan import Profile

    found = model(card_in_force(session.settings), plan_of(**options), profile=Profile(profile))
    _data(session, found)
    _show_months(session, found)
    _show_figures(session, found)
    if explain:
        for month in dict.fromkeys((found.months[0].number, found.months[-1].number)):
            show_lines(session, found.months[month - 1].lines, title=f"month {month}")
        _show_words(session, found)
    show_card(session, found.card)
    return ExitCode.DONE


def _data(session: Session, found: "Modelled") -> None:
    from imgctl.pricing.lines import plain

    for month in found.months:
        for group, lines in month.groups.items():
            for line in lines:
                about: dict[str, Json] = {"type": "line", "month": month.number, "group": group.value}
                session.data(about | line.record())
    months: list[Json] = [
        {"month": month.number, "first": month.first.isoformat(), "days": month.days, "total": plain(month.total)}
        for month in found.months
    ]
    figures: dict[str, Json] = {
        "stored_in_a_year_bytes": found.figures.year_bytes,
        "viewed_in_a_month_bytes": found.figures.view_bytes,
        "delivery_without_cdn": plain(found.figures.without_cdn),
        "delivery_with_cdn": plain(found.figures.with_cdn),
        "flat_cdn_plan": found.figures.flat_plan.name if found.figures.flat_plan else None,
        "first_month": plain(found.months[0].total),
    }
    session.data(
        {
            "type": "summary",
            "profile": found.profile.value,
            "total": plain(found.total),
            "months": months,
            **figures,
            "assumptions": list(found.assumptions),
            **card_record(found.card),
        }
    )


def _show_months(session: Session, found: "Modelled") -> None:
    from imgctl.pricing.lines import dollars
    from imgctl.pricing.plan import Group

    groups = [group for group in Group if any(month.of(group) for month in found.months)]
    rows, so_far = [], found.total * 0
    for month in found.months:
        so_far += month.total
        cells = (dollars(month.of(group)) for group in groups)
        rows.append((f"{month.number}", f"{month.days}", *cells, dollars(month.total), dollars(so_far)))
    show_table(session, ("MONTH", "DAYS", *(group.upper() for group in groups), "TOTAL", "SO FAR"), rows)


def _show_figures(session: Session, found: "Modelled") -> None:
    from imgctl.pricing.lesson import terabytes
    from imgctl.pricing.lines import dollars

    figures = found.figures
    session.text("")
    session.text(f"stored in a year of 365 days: {terabytes(figures.year_bytes)}")
    session.text(f"viewed in a month of 30 days: {terabytes(figures.view_bytes)}")
    session.text(f"delivering that: {dollars(figures.without_cdn)} without a CDN, {dollars(figures.with_cdn)} with one")
    flat = figures.flat_plan
    if flat is not None:
        session.text(f"a CDN's flat plan would hold it: {flat.name}, {dollars(flat.monthly)} a month, throttled beyond")
    session.text(f"first month: {dollars(found.months[0].total)}; all {len(found.months)}: {dollars(found.total)}")


def _show_words(session: Session, found: "Modelled") -> None:
    from imgctl.ops.cost.words import wrong_words

    session.text("")
    session.text(f"profile {found.profile} assumes:")
    for one in found.assumptions:
        session.text(f"- {one}")
    for one in wrong_words(found):
        session.text(f"- but {one}")
    session.text("")
