"""Tables for people: columns as wide as their cells, cut to the terminal's width."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from imgctl.cli.base import printable

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
