"""What originals say of themselves, written into rows that exist already: nothing else of a row is touched."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Integer, Text, Update, func, or_, true, update

from imgctl.model import Status
from imgctl.store.catalog import batch
from imgctl.store.catalog.schema import images
from imgctl.store.catalog.types import Id, UtcTime, status_literal


class Fact(StrEnum):
    """What a row may be told anew."""

    CAPTION = "caption"
    TAKEN_AT = "taken_at"
    SIZE = "size"


COLUMNS: Mapping[Fact, tuple[str, ...]] = {
    Fact.CAPTION: ("caption",),
    Fact.TAKEN_AT: ("taken_at",),
    Fact.SIZE: ("width", "height"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is to be written of one image; None leaves what the row says."""

    id: UUID
    caption: str | None = None
    taken_at: datetime | None = None
    width: int | None = None
    height: int | None = None


_TOLD: batch.Columns = {"id": Id, "caption": Text, "taken_at": UtcTime, "width": Integer, "height": Integer}


def tell(connection: Connection, told: Iterable[Told], *, overwrite: Collection[Fact] = ()) -> dict[UUID, Told]:
    """Fill what is empty, and replace the facts to `overwrite`; returns what the rows say then, of those that exist.

    Rows whose bytes are not safe are left alone: whoever confirms them notes these facts.
    """
    dialect = connection.dialect.name
    values = batch.of_images(dialect, _TOLD, told)
    rows = connection.execute(_tell(dialect, frozenset(overwrite)), values)
    return {row.id: Told(**row._asdict()) for row in rows}


def incomplete(overwrite: Collection[Fact] = ()) -> ColumnElement[bool]:
    """Rows whose bytes are safe and that lack a fact; all of them where one is to be overwritten."""
    safe = images.c.status != status_literal(Status.UPLOADING)
    empty = or_(*(images.c[name].is_(None) for names in COLUMNS.values() for name in names))
    return safe & (true() if overwrite else empty)


@cache
def _tell(dialect: str, overwrite: frozenset[Fact]) -> Update:
    rows = batch.source(dialect, _TOLD)
    changes = {}
    for fact, names in COLUMNS.items():
        for name in names:
            first, second = (rows, images) if fact in overwrite else (images, rows)
            changes[name] = func.coalesce(first.c[name], second.c[name])
    safe = images.c.status != status_literal(Status.UPLOADING)
    return (
        update(images).where(images.c.id == rows.c.id, safe).values(**changes).returning(*(images.c[n] for n in _TOLD))
    )
