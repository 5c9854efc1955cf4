"""The rows that a command processes: a scope of the catalog or a list of ids, page by page; outages are retried."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from uuid import UUID

from sqlalchemy import ColumnElement

from imgctl.errors import usable
from imgctl.jsontext import parse_json
from imgctl.keys import FIRST
from imgctl.model import Image
from imgctl.ops.common.retry import StopSignal, read
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.lookups import PAGE_ROWS, Scope, named, page

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Which rows to process: those of a scope, and if `ids` or a file of ids is given, only these of them."""

    scope: Scope = field(default_factory=Scope)
    ids_from: Path | None = None
    # Left out of the repr, which determines the state file of an unfinished run.
    ids: tuple[UUID, ...] = field(default=(), repr=False)

    @property
    def is_few(self) -> bool:
        """Whether only given ids or one user's rows are chosen, whose blobs lie far apart in a listing."""
        return bool(self.ids) or self.ids_from is not None or self.scope.user_id is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class BadId:
    """A line of an ids file that matches no row, and why."""

    where: str
    detail: str


def pages(
    catalog: Catalog,
    chosen: Chosen,
    *,
    stop: StopSignal,
    after: UUID = FIRST,
    where: ColumnElement[bool] | None = None,
    bad: list[BadId] | None = None,
) -> Iterator[list[Image]]:
    """Yield rows in the order of ids (with an ids file in its order), a page at a time; no page is empty.

    `where` filters a scope's rows in the database, but not those of an ids file. Lines of an ids file that match no row
    of the scope are added to `bad`.
    """
    if chosen.ids:
        if found := read(catalog, partial(named, ids=chosen.ids, scope=chosen.scope), stop=stop):
            yield found
        return
    if chosen.ids_from is not None:
        yield from _listed(catalog, chosen.scope, chosen.ids_from, stop=stop, bad=[] if bad is None else bad)
        return
    while not stop.is_set():
        found = read(catalog, partial(page, scope=chosen.scope, after=after, where=where), stop=stop)
        if not found:
            return
        yield found
        after = found[-1].id


def read_ids(file: Path, bad: list[BadId]) -> Iterator[tuple[int, UUID]]:
    """Yield line numbers and ids of a file with one a line: an id, a key, a URL, or a JSON object with an `id`."""
    with usable(file, "check --ids-from"):
        lines = file.open(encoding="utf-8", errors="replace")
    with lines:
        for number, line in enumerate(lines, start=1):
            text = line.strip()
            if not text:
                continue
            found = _id_in(text)
            if isinstance(found, UUID):
                yield number, found
            elif found:
                bad.append(BadId(where=f"{file}:{number}", detail=found))


def _id_in(text: str) -> UUID | str | None:
    if text.startswith("{"):
        try:
            record = parse_json(text)
        except ValueError:
            return "is not JSON"
        # The output of `--json` ends in a summary, which has no image.
        if record.get("type") == "summary":
            return None
        text = str(record.get("id", ""))
    found = _ID.search(text)
    return UUID(found[0]) if found else "has no id of an image"


def _listed(catalog: Catalog, scope: Scope, file: Path, *, stop: StopSignal, bad: list[BadId]) -> Iterator[list[Image]]:
    numbered = read_ids(file, bad)
    while not stop.is_set() and (some := {one: number for number, one in islice(numbered, PAGE_ROWS)}):
        found = read(catalog, partial(named, ids=tuple(some), scope=scope), stop=stop)
        known = {image.id for image in found}
        bad += [
            BadId(where=f"{file}:{number}", detail=f"no row has the id {one} (or it lies outside the scope)")
            for one, number in some.items()
            if one not in known
        ]
        if found:
            yield found
