"""Tables for people, and what every bill shows: the card, who bills, lines with their formulas."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from imgctl.cli.base import Session, printable
from imgctl.pricing.estimate import Billing, billing
from imgctl.pricing.lines import Line, dollars
from imgctl.pricing.prices import Card

PAGE = 200


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table; widths are taken from each page of 200 rows, so that any number streams."""
    stream = iter(rows)
    page = list(islice(stream, PAGE))
    header: Sequence[str] | None = headers
    limit = shutil.get_terminal_size((160, 24)).columns
    while page:
        cells = [[printable(cell) for cell in row] for row in page]
        shown = [list(headers), *cells] if header else cells
        widths = [max(len(row[index]) for row in [list(headers), *cells]) for index in range(len(headers))]
        for row in shown:
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            yield line if len(line) <= limit else line[: limit - 1] + "…"
        header = None
        page = list(islice(stream, PAGE))


def card_record(card: Card) -> dict[str, object]:
    """The card, its date and its source, for every summary."""
    return {"card": card.name, "as_of": card.as_of, "source": card.source, "currency": "USD"}


def show_card(session: Session, card: Card) -> None:
    """One line that says where the prices come from."""
    session.text(f"prices: {card.name} as of {card.as_of}")


def show_billing(session: Session) -> None:
    """Who bills this store, where it is not AWS."""
    bill = billing(session.settings.store.url, session.endpoint_url)
    if bill is Billing.NONE:
        session.text("- this store is a directory, which bills nothing: these are the prices of AWS for the same")
    elif bill is Billing.OTHER:
        session.text("- price unknown for this endpoint: AWS would charge the following")


def show_lines(session: Session, lines: Iterable[Line], *, title: str) -> None:
    """Lines with their formulas, without those of nothing."""
    session.text("")
    session.text(title)
    rows = [(line.name, line.formula, dollars(line.amount)) for line in lines if line.quantity]
    show_table(session, ("LINE", "FORMULA", "AMOUNT"), rows)


def show_table(session: Session, headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table whose amounts (cells that begin with $) stand to the right of their column."""
    found = [list(row) for row in rows]
    for at in range(len(headers)):
        column = [row[at] for row in found]
        if column and all(_is_amount(cell) for cell in column):
            width = max(map(len, (headers[at], *column)))
            for row in found:
                row[at] = row[at].rjust(width)
    for line in table(headers, found):
        session.text(line)


def _is_amount(cell: str) -> bool:
    return cell.lstrip("-−+").startswith("$") or not cell
