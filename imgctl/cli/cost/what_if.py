"""`imgctl cost what-if`: the bill of the archive before and after a change."""

from dataclasses import dataclass
from decimal import Decimal

import click

from imgctl.cli.common.options import option
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
from imgctl.cli.common.types import amount
from imgctl.cli.cost.actual import BillOptions
from imgctl.errors import ExitCode, UsageError
from imgctl.model import Variant, VariantFormat
from imgctl.ops.common.open import catalog_of
from imgctl.ops.common.spend import card_in_force
from imgctl.ops.cost.proposal import Answer, Proposal, parse_move, propose
from imgctl.pricing.card_files import card_names, load_card
from imgctl.pricing.lines import dollars, total
from imgctl.pricing.prices import Card
from imgctl.pricing.whatif import Change, WhatIf

# As many as `cost model` allows: a billion uploads a day and a million views of each.
MOST_VIEWS = 31 * 10**15


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(BillOptions):
    transition: str | None = option(None, "Move originals: older-than=90d,to=GLACIER.", metavar="POLICY")
    drop_variant: tuple[Variant, ...] = option((), "Neither build nor keep it; repeatable.")
    format: str | None = option(
        None, "Render all variants as webp or avif, with RATIO of today's bytes.", metavar="NAME[=RATIO]"
    )
    move_to: str | None = option(
        None, "Move the archive to another provider: gs, az, r2, b2, or a card's name.", metavar="CARD"
    )
    cdn: bool | None = option(None, "Deliver through a CDN, or from the bucket.", name="--cdn/--no-cdn")
    views: int | None = option(
        None, "Views a month (default: 10 of each new photo).", kind=click.IntRange(0, MOST_VIEWS), metavar="N"
    )
    hit_ratio: Decimal = option(Decimal("0.9"), "Share of views that the CDN serves from its cache.")


@subcommand(
    Args,
    examples="""
imgctl cost what-if --transition 'older-than=90d,to=GLACIER'
imgctl cost what-if --drop-variant full --format webp
imgctl cost what-if --move-to gs
imgctl cost what-if --cdn --views 3000000 --explain
imgctl cost what-if --transition 'older-than=1w,to=DEEP_ARCHIVE' --json
""",
    main="--transition --drop-variant --format --cdn --views --sizes --explain",
    settings={"cost.card": ""},
)
def command(session: Session, args: Args) -> ExitCode:
    """Show the bill before and after a change, its one-off cost, when it pays back, and its drawbacks.

    All figures come from the sizes and ages in the catalog; the command sends no request to the store and changes
    nothing.
    """
    card = card_in_force(session.settings)
    proposal = Proposal(
        change=_change(args, card),
        elsewhere=_elsewhere(args),
        scope=args.scope,
        sizes=args.sizes,
        views=args.views,
        hit_ratio=_ratio(args.hit_ratio, "--hit-ratio"),
    )
    with catalog_of(session.settings) as catalog:
        answer = propose(catalog, card, session.settings, proposal)
    _data(session, card, answer)
    _show(session, answer.result, explain=args.explain)
    for one in answer.assumptions:
        session.text(f"- {one}")
    show_billing(session)
    show_card(session, card)
    return ExitCode.PARTLY if say_unpriced(session, card, answer.survey.archive) else ExitCode.DONE


def _change(args: Args, card: Card) -> "Change":
    if args.move_to is not None:
        if args.transition or args.drop_variant or args.format or args.cdn is not None:
            raise UsageError("--move-to excludes the other changes", hint="leave them out")
        return Change()
    if not args.transition and not args.drop_variant and not args.format and args.cdn is None:
        raise UsageError(
            "nothing is proposed", hint="--transition, --drop-variant, --format, --move-to or --cdn/--no-cdn"
        )
    name, _, ratio = (args.format or "").partition("=")
    if args.format and name not in set(VariantFormat):
        raise UsageError(f"unknown --format {name!r}", hint=f"write one of {', '.join(VariantFormat)}")
    return Change(
        move=parse_move(args.transition, card.classes) if args.transition else None,
        drop=args.drop_variant,
        format=name or None,
        ratio=_ratio(amount(ratio), "--format") if ratio else None,
        cdn=args.cdn,
    )


def _elsewhere(args: Args) -> Card | None:
    if args.move_to is None:
        return None
    names = card_names()
    found = next((name for name in names if name == args.move_to or name.startswith(f"{args.move_to}-")), None)
    if found is None:
        raise UsageError(f"unknown price card: {args.move_to}", hint=f"use one of {', '.join(names)}")
    return load_card(found)


def _ratio(value: Decimal, option: str) -> Decimal:
    if value > 1:
        raise UsageError(f"{option} {value} is out of range", hint="write 0 to 1, such as 0.7")
    return value


def _data(session: Session, card: "Card", answer: "Answer") -> None:
    result = answer.result
    for when, parts in (("before", result.before), ("after", result.after), ("once", {"change": result.once})):
        for part, lines in parts.items():
            for line in lines:
                session.data({"type": "line", "when": when, "part": part, **line.record()})
    days = result.payback_days
    session.summary(
        before=result.before_total,
        after=result.after_total,
        one_off=result.one_off,
        payback_days=None if days is None else round(days, 1),
        worse=result.worse,
        images=answer.survey.archive.rows,
        unpriced=unpriced_record(answer.survey.archive),
        assumptions=answer.assumptions,
        **card_record(card),
    )


def _show(session: Session, result: "WhatIf", *, explain: bool) -> None:
    rows = []
    for part in dict.fromkeys((*result.before, *result.after)):
        before, after = total(result.before.get(part, ())), total(result.after.get(part, ()))
        if before or after:
            rows.append((part, dollars(before), dollars(after), _signed(after - before)))
    saved = result.before_total - result.after_total
    rows.append(("a month", dollars(result.before_total), dollars(result.after_total), _signed(-saved)))
    show_table(session, ("PART", "BEFORE", "AFTER", "CHANGE"), rows)
    session.text("")
    session.text(f"once: {dollars(result.one_off)}{_payback(result)}")
    for one in result.worse:
        session.text(f"worse: {one}")
    if explain:
        show_lines(session, result.once, title="once")
        show_lines(session, [line for lines in result.before.values() for line in lines], title="a month before")
        show_lines(session, [line for lines in result.after.values() for line in lines], title="a month after")


def _payback(result: "WhatIf") -> str:
    days = result.payback_days
    if days is None:
        return "; it never pays back: a month gets no cheaper"
    return f"; paid back after {days:,.1f} days" if result.one_off else ""


def _signed(amount: Decimal) -> str:
    return dollars(amount) if amount >= 0 else f"-{dollars(-amount)}"
