"""`imgctl cost cards`: shows the price card in use, or writes a new one from the public price list."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import click

from imgctl.cli.common.options import Options, argument, option
from imgctl.cli.common.render import card_record, show_table
from imgctl.cli.common.session import Session, subcommand
from imgctl.errors import ExitCode, UsageError
from imgctl.ops.common.spend import card_in_force
from imgctl.ops.cost.refresh import PRICE_LIST_URL, refresh_card
from imgctl.pricing.lines import plain
from imgctl.pricing.prices import Card, ClassPrices
from imgctl.units import count_of, format_bytes

HEADERS = ("CLASS", "GB-MONTH", "PUT", "GET", "MOVE IN", "DAYS", "LEAST", "OVERHEAD")


@dataclass(frozen=True, slots=True, kw_only=True)
class Args(Options):
    action: str = argument("[refresh]", kind=click.Choice(["show", "refresh"]))
    out: Path | None = option(None, "The file to which refresh writes the new card.")
    region: str | None = option(None, "The region of the new prices (default: the card's).", metavar="NAME")
    url: str | None = option(None, "The bulk price list, or a mirror of it.", metavar="URL")


@subcommand(
    Args,
    examples="""
imgctl cost cards
imgctl cost cards --card ours.toml --json
imgctl cost cards refresh --out today.toml
imgctl cost cards refresh --out frankfurt.toml --region eu-central-1
""",
    settings={"cost.card": ""},
)
def command(session: Session, args: Args) -> ExitCode:
    """Show the price card in use, its date and its source; `refresh` writes one with today's prices.

    `refresh` reads AWS's public bulk price list or Azure's Retail Prices API, without credentials. All other prices (the
    CDN, retrieval, requests of some classes) and all minimums are copied from the card in use, also for another --region;
    the copied prices are listed. Use the new card with --card or [cost] card.
    """
    card = card_in_force(session.settings)
    if args.action == "refresh":
        return _refresh(session, card, args)
    if args.out or args.region or args.url:
        raise UsageError(
            "--out, --region and --url work only with refresh", hint="imgctl cost cards refresh --out FILE"
        )
    _show(session, card)
    return ExitCode.DONE


def _refresh(session: Session, card: "Card", args: Args) -> ExitCode:
    out = args.out
    if out is None:
        raise UsageError("refresh needs --out", hint="imgctl cost cards refresh --out today.toml")
    found = refresh_card(card, out=out, region=args.region or card.region, url=args.url or PRICE_LIST_URL)
    for name, before, after in found.changed:
        session.data({"type": "price", "name": name, "before": before, "after": after})
        session.text(f"{name}: {before} -> {after}")
    counts = {"changed": len(found.changed), "confirmed": len(found.confirmed)}
    session.data({"type": "summary", "out": out, **counts, "kept": found.kept, **card_record(found.card)})
    session.text(
        f"{count_of(len(found.changed), 'price')} changed, confirmed: {len(found.confirmed)}; {out} is written"
    )
    if found.kept:
        session.note(f"not in the price list and kept: {', '.join(found.kept)}")
    session.text(f"prices: {found.card.name} as of {found.card.as_of}")
    return ExitCode.DONE


def _show(session: Session, card: "Card") -> None:
    rows = []
    for name, prices in card.classes.items():
        session.data(_record(name, prices))
        rows.append(_row(name, prices))
    show_table(session, HEADERS, rows)
    session.text("")
    session.text(
        f"{card.name} as of {card.as_of}; 1 GB is {count_of(card.gb_bytes, 'byte')}; requests are priced per 1,000"
    )
    session.text(f"source: {card.source}")
    for one in card.not_counted:
        session.text(f"not in these figures: {one}")
    session.data({"type": "summary", "region": card.region, "gb_bytes": card.gb_bytes, **card_record(card)})


def _record(name: str, prices: ClassPrices) -> dict[str, object]:
    columns = ("storage", "put", "get", "transition", "minimum_days", "minimum_bytes")
    overhead = prices.overhead_bytes + prices.overhead_standard_bytes
    same = {column: getattr(prices, column) for column in columns}
    return {"type": "class", "class": name, **same, "overhead_bytes": overhead}


def _row(name: str, prices: ClassPrices) -> tuple[str, ...]:
    def shown(price: "Decimal | None") -> str:
        return "" if price is None else f"${plain(price)}"

    overhead = prices.overhead_bytes + prices.overhead_standard_bytes
    return (
        name,
        " / ".join(f"${plain(tier.price)}" for tier in prices.storage),
        shown(prices.put),
        shown(prices.get),
        shown(prices.transition),
        str(prices.minimum_days or ""),
        format_bytes(prices.minimum_bytes) if prices.minimum_bytes else "",
        format_bytes(overhead) if overhead else "",
    )
