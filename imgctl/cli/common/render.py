"""Tables for people, and the parts of every bill: the price card, the provider, lines with their formulas."""

import shutil
from collections.abc import Iterable, Sequence
from itertools import islice

from imgctl.cli.common.session import Running, Session
from imgctl.model import Sized
from imgctl.ops.common.spend import Terms
from imgctl.pricing.archive_bill import Archive
from imgctl.pricing.estimate import Billing, caveat
from imgctl.pricing.lines import Line, dollars
from imgctl.pricing.prices import Card
from imgctl.run.progress import printable
from imgctl.units import count_of, format_bytes

PAGE = 200


def show_table(session: Session, headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table, amounts aligned right. Widths are computed per page of 200 rows, so that any number streams."""
    stream, shown = iter(rows), [list(headers)]
    limit = shutil.get_terminal_size((160, 24)).columns
    while page := list(islice(stream, PAGE)):
        cells = [[printable(cell) for cell in row] for row in page]
        columns = list(zip(headers, *cells, strict=True))
        widths = [max(map(len, column)) for column in columns]
        for at, (column, width) in enumerate(zip(columns, widths, strict=True)):
            if all(map(_is_amount, column[1:])):
                for row in cells:
                    row[at] = row[at].rjust(width)
        for row in [*shown, *cells]:
            line = "  ".join(map(str.ljust, row, widths)).rstrip()
            session.text(line if len(line) <= limit else line[: limit - 1] + "…")
        shown = []


def card_record(card: Card) -> dict[str, object]:
    """Return the card's name, date and source for a summary."""
    return {"card": card.name, "as_of": card.as_of, "source": card.source, "currency": "USD"}


def show_card(session: Session, card: Card) -> None:
    """Print which card the prices come from."""
    session.text(f"prices: {card.name} as of {card.as_of}")


def show_billing(session: Session) -> None:
    """Print whose prices are shown if AWS does not bill this store."""
    terms = session.terms
    if terms.bill is Billing.NONE:
        session.text("- this store is a directory and costs nothing: the prices are AWS's for the same data")
    elif unknown := caveat(terms.card.name, terms.bill):
        session.text(f"- {unknown}the following")


def say_unpriced(session: Session, card: Card, archive: Archive) -> bool:
    """Print which classes the card has no price for, also with -q; returns whether there are any."""
    found = _unpriced(archive)
    for name, one in found.items():
        what = f"{count_of(one.objects, 'original')} in {name} ({format_bytes(one.size)})"
        session.error(f"not in the total: {what}: price card {card.name} has no price of it; --card takes another")
    return bool(found)


def unpriced_record(archive: Archive) -> dict[str, object]:
    """Return the originals without a price, by class, for a summary."""
    return {name: {"originals": one.objects, "bytes": one.size} for name, one in _unpriced(archive).items()}


def _unpriced(archive: Archive) -> dict[str, Sized]:
    return {name: held.both for name, held in archive.unpriced.items() if held.both.objects}


def show_lines(session: Session, lines: Iterable[Line], *, title: str) -> None:
    """Print a title and the lines with their formulas; lines of quantity 0 are left out."""
    session.text("")
    session.text(title)
    rows = [(line.name, line.formula, dollars(line.amount)) for line in lines if line.quantity]
    show_table(session, ("LINE", "FORMULA", "AMOUNT"), rows)


def _is_amount(cell: str) -> bool:
    return cell.lstrip("-−+").startswith("$") or not cell


# How many images need variants is known at the end.
_IMAGES = 1000


def say_price(run: Running, terms: Terms, *, puts: int) -> None:
    """Print the price of the requests for a thousand images, each a GET and `puts`; nothing if they are free."""
    if terms.bill is not Billing.NONE:
        price = terms.price(terms.requests(gets=_IMAGES, puts=puts * _IMAGES))
        run.say(f"requests for {count_of(_IMAGES, 'image')}: {price}")
