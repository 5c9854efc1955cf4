"""The metadata tables in Apple's copy of an iCloud library: `Photo Details.csv`, `-1.csv` …

Columns as seen in exports: imgName, fileChecksum, favorite, hidden, deleted, originalCreationDate, viewCount, importDate.
"""

import csv
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice

from imgctl.imaging.metadata.facts import Facts, dates_of

LONGEST = 2**25
MOST_ROWS = 100_000
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
# `Saturday June 4,2022 12:11 PM GMT`, quoted or not: unquoted, its comma splits it in two.
_DATE = r"(?i)\w+\s+([A-Za-z]+)\s+(\d{1,2}),\s*(\d{4})\s+(\d{1,2}):(\d\d)(?:\s*([AP])M)?\s+GMT"


def read_photo_details(data: bytes) -> Iterator[tuple[str, Facts]]:
    """Yield each photo's name with its row's facts; a table is read up to any damage, another table yields none."""
    rows = csv.reader(io.StringIO(data.decode("utf-8-sig", "replace"), newline=""))
    try:
        header = next(rows, [])
        if "imgName" not in header:
            return
        for row in islice(rows, MOST_ROWS):
            values = dict(zip(header, row, strict=False))
            if name := values.get("imgName"):
                yield name, _facts_of(values, row)
    except csv.Error:
        return


def agreed(one: Facts, other: Facts) -> Facts:
    """Return the facts that two rows of one name share: they describe different photos, and no row shows which."""
    if one == other:
        return one
    return Facts(
        dates=one.dates if one.dates == other.dates else (),
        trashed=one.trashed and other.trashed,
        hidden=one.hidden and other.hidden,
    )


def _facts_of(values: dict[str, str], row: list[str]) -> Facts:
    date = values.get("originalCreationDate", "")
    at = row.index(date) if date else 0
    dates = dates_of(_moment(",".join(row[at : at + 2]))) if date else ()
    return Facts(dates=dates, trashed=_is_yes(values, "deleted"), hidden=_is_yes(values, "hidden"))


def _is_yes(values: dict[str, str], column: str) -> bool:
    return values.get(column, "").strip().lower() in {"yes", "true", "1"}


def _moment(text: str) -> datetime | None:
    found = re.match(_DATE, text.strip())
    if found is None or found[1][:3].lower() not in _MONTHS:
        return None
    month, hour = _MONTHS.index(found[1][:3].lower()) + 1, int(found[4])
    if found[6] and 1 <= hour <= 12:
        hour = hour % 12 + (12 if found[6] in "pP" else 0)
    try:
        return datetime(int(found[3]), month, int(found[2]), hour, int(found[5]), tzinfo=UTC)
    except ValueError:
        return None
