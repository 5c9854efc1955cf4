"""`imgctl cost actual`: the monthly bill of the archive as it is now."""

from dataclasses import dataclass

import click

from imgctl.cli.common.options import RangeOptions, flag, option
from imgctl.cli.common.render import (
    card_record,
    say_unpriced,
    show_billing,
    show_card,
    show_lines,
    show_table,
    unpriced_record,
)
from imgctl.cli.common.session import Session, subcommand
from imgctl.cli.common.types import SIZES
from imgctl.errors import ExitCode
from imgctl.ops.common.open import catalog_of
from imgctl.ops.common.spend import card_in_force
from imgctl.ops.cost.actual import Actual, By, Share, actual
from imgctl.ops.cost.survey import Question, Survey, survey
from imgctl.pricing.archive_bill import group_of
from imgctl.pricing.lines import dollars, total
from imgctl.pricing.prices import Card
from imgctl.units import count_of, format_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class BillOptions(RangeOptions):
    """Options that choose the rows and the detail of a bill; shared with `cost what-if`."""

    sizes: dict[str, int] | None = option(
        None, "Average sizes of variants: thumb=20KB,medium=150KB,full=500KB.", kind=SIZES
    )
    explain: bool = flag("Show every line with its formula.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(BillOptions):
    by: str = option("class", "Split the bill by this.", kind=click.Choice(["class", "user", "month", "variant"]))
    top: int = option(10, "Show the N users who cost most.", kind=click.IntRange(0, 10_000))


@subcommand(
    Args,
    examples="""
imgctl cost actual
imgctl cost actual --by user --top 50
imgctl cost actual --by month --json
imgctl cost actual --by variant --sizes thumb=18KB,full=600KB --explain
""",
    main="--by --top --user --since --sizes --explain",
    settings={"cost.card": ""},
)
def command(session: Session, args: Args) -> ExitCode:
    """Show the monthly cost of the archive, its growth, and the users who cost most.

    All figures come from one statement on the catalog, without requests to the store. The catalog holds the sizes of
    originals; variants are counted, and their sizes estimated by --sizes. Originals of a class that the price card lacks
    are named and not in the total; the exit code is then 3.
    """
    card = card_in_force(session.settings)
    by = args.by
    question = Question(scope=args.scope, sizes=args.sizes, top=args.top, by_month=by == By.MONTH)
    with catalog_of(session.settings) as catalog:
        found = survey(catalog, card, question)
    bill = actual(card, found, By(by))
    _data(session, card, found, bill, by=by)
    _show(session, found, bill, by=by)
    if args.explain:
        show_lines(session, [line for lines in bill.lines.values() for line in lines], title="every line of a month")
    for one in found.assumptions:
        session.text(f"- {one}")
    show_billing(session)
    show_card(session, card)
    return ExitCode.PARTLY if say_unpriced(session, card, found.archive) else ExitCode.DONE


def _data(session: Session, card: "Card", found: "Survey", bill: "Actual", *, by: str) -> None:
    for part, lines in bill.lines.items():
        for line in lines:
            session.data({"type": "line", "part": part, "group": group_of(part), **line.record()})
    for share in bill.shares:
        session.data({"type": "share", "by": by, **_record(share)})
    growth = bill.growth
    session.summary(
        total=bill.total,
        images=found.archive.rows,
        bytes=found.archive.size,
        unpriced=unpriced_record(found.archive),
        variant_bytes_assumed=found.archive.variant_size,
        promised=found.promised,
        of_unknown_size=found.unknown,
        photos_of_30_days=growth.photos,
        grows_by=growth.monthly,
        requests_of_30_days=total(growth.requests),
        dearest_users=[_record(share) for share in bill.dearest],
        assumptions=found.assumptions,
        **card_record(card),
    )


def _record(share: Share) -> dict[str, object]:
    return {"name": share.name, "objects": share.objects, "bytes": share.size, "amount": share.amount}


def _show(session: Session, found: "Survey", bill: "Actual", *, by: str) -> None:
    _show_shares(session, bill.shares, by)
    growth = bill.growth
    session.text("")
    session.text(f"{dollars(bill.total)} a month for {count_of(found.archive.rows, 'image')}")
    session.text(
        f"the last 30 days brought {count_of(growth.photos, 'photo')}: {dollars(growth.monthly)} more each month, "
        f"and {dollars(total(growth.requests))} of requests once"
    )
    if found.promised:
        session.text(f"{count_of(found.promised, 'image is', 'images are')} still uploading and not counted")
    if found.unknown:
        session.text(
            f"{count_of(found.unknown, 'image has no size and counts', 'images have no size and count')} as empty"
        )
    if bill.dearest and by != "user":
        session.text("")
        _show_shares(session, bill.dearest, "top users by cost")


def _show_shares(session: Session, shares: "tuple[Share, ...]", title: str) -> None:
    rows = [(one.name, f"{one.objects:,}", format_bytes(one.size), dollars(one.amount)) for one in shares]
    show_table(session, (title.upper(), "BLOBS", "SIZE", "A MONTH"), rows)
