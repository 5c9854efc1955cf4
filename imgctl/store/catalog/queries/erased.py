"""Rows of erased images: they move from `images` to `erased` and become tombstones there."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Insert,
    Select,
    Update,
    delete,
    exists,
    func,
    null,
    select,
    update,
)
from sqlalchemy.sql.dml import Delete

from imgctl.keys import FIRST
from imgctl.model import Image
from imgctl.store.catalog import batch
from imgctl.store.catalog.queries.lookups import PAGE_ROWS, begins_with
from imgctl.store.catalog.schema import COLUMNS, erased, images, now


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """An image that is being erased (`erased_at` is None) or was; `blobs` and `bytes` count the deleted blobs.

    `owner` is a keyed hash of the user's id, `notes` (JSON) describes the blobs while any is left, and has the id of
    the hash's key. After `settles_at` no lease on the row and no pending put of its original can exist.
    """

    id: UUID
    owner: bytes
    erasing_since: datetime
    settles_at: datetime
    erased_at: datetime | None
    blobs: int
    bytes: int
    notes: str | None

    @property
    def line(self) -> str:
        """The state of the erasure and its time, for display."""
        how = "is being erased" if self.erased_at is None else f"was erased at {self.erased_at:%Y-%m-%d %H:%M}"
        return f"image {self.id} {how}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """An image to erase."""

    id: UUID
    owner: bytes
    settles_at: datetime
    notes: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The blobs found for an image; written before they are deleted, so that a kill loses no count."""

    id: UUID
    notes: str
    blobs: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """An erasure to conclude, and the notes that stay."""

    id: UUID
    notes: str


_COLUMNS = tuple(erased.c[field.name] for field in fields(Erasure))
_ERASING = erased.c.erased_at.is_(None)


def locked(connection: Connection, ids: Iterable[UUID]) -> list[Image]:
    """Lock these images until the transaction ends, and return their rows in the order of ids."""
    rows = batch.run(connection, _locked, batch.Ref, batch.refs(ids))
    return [Image(**row._asdict()) for row in rows]


def _locked(rows: FromClause) -> Select[*tuple[object, ...]]:
    found = select(*COLUMNS).join(rows, images.c.id == rows.c.id).order_by(images.c.id)
    return found.with_for_update(of=images)


def mark(connection: Connection, marks: Sequence[Mark]) -> None:
    """Start the erasure of images: delete their rows from `images`; reopen earlier erasures of the same ids."""
    batch.run(connection, _reopen, Mark, marks)
    batch.run(connection, _insert, Mark, marks, connection.dialect.name)
    batch.run(connection, _forget, Mark, marks)


def _reopen(rows: FromClause) -> Update:
    again = {"erased_at": null(), **{name: rows.c[name] for name in ("owner", "settles_at", "notes")}}
    return update(erased).where(erased.c.id == rows.c.id, erased.c.erased_at.is_not(None)).values(**again)


def _insert(rows: FromClause, dialect: str) -> Insert:
    names = [field.name for field in fields(Mark)]
    absent = ~exists().where(erased.c.id == rows.c.id)
    chosen = select(*(rows.c[name] for name in names)).where(absent)
    # Another run may insert the same ids meanwhile: without a row in `images` nothing is locked.
    return batch.insert_absent(erased, names, chosen, dialect)


def _forget(rows: FromClause) -> Delete:
    return delete(images).where(images.c.id.in_(select(rows.c.id)))


def erasures(connection: Connection, ids: Iterable[UUID]) -> dict[UUID, Erasure]:
    """Return the erasures, finished or not, of these images."""
    return {row.id: Erasure(**row._asdict()) for row in batch.run(connection, _erasures, batch.Ref, batch.refs(ids))}


def _erasures(rows: FromClause) -> Select[*tuple[object, ...]]:
    return select(*_COLUMNS).where(erased.c.id == rows.c.id)


def find_erased(connection: Connection, text: str) -> list[Erasure]:
    """Return erasures, finished or not, whose id begins with a text; two at most: more than one is ambiguous."""
    query = select(*_COLUMNS).where(begins_with(erased.c.id, text)).order_by(erased.c.id).limit(2)
    return [Erasure(**row._asdict()) for row in connection.execute(query)]


def page(
    connection: Connection, *, owner: bytes | None, erasing: bool, after: UUID = FIRST, limit: int = PAGE_ROWS
) -> list[Erasure]:
    """Return the next page of erasures after `after`: unfinished (`erasing`) or finished, of one owner or of all."""
    wanted: list[ColumnElement[bool]] = [erased.c.id > after, _ERASING if erasing else ~_ERASING]
    if owner is not None:
        wanted.append(erased.c.owner == owner)
    rows = connection.execute(select(*_COLUMNS).where(*wanted).order_by(erased.c.id).limit(limit))
    return [Erasure(**row._asdict()) for row in rows]


def count_of_owner(connection: Connection, owner: bytes, *, erasing: bool = False) -> int:
    """Count the erasures of an owner; with `erasing` only the unfinished ones."""
    query = select(func.count()).select_from(erased).where(erased.c.owner == owner)
    return connection.execute(query.where(_ERASING) if erasing else query).scalar_one()


def erased_since(connection: Connection, owner: bytes, at: datetime) -> int:
    """Count the erasures of an owner that ended at this time or later."""
    query = select(func.count()).select_from(erased).where(erased.c.owner == owner, erased.c.erased_at >= at)
    return connection.execute(query).scalar_one()


def erasing_since(connection: Connection, before: datetime) -> int:
    """Count the unfinished erasures that began before this time."""
    query = select(func.count()).select_from(erased).where(_ERASING, erased.c.erasing_since < before)
    return connection.execute(query).scalar_one()


def note_found(connection: Connection, found: Iterable[Found]) -> None:
    """Write the blobs found for images that are being erased."""
    batch.run(connection, _note_found, Found, found)


def _note_found(rows: FromClause) -> Update:
    seen = {name: rows.c[name] for name in ("notes", "blobs", "bytes")}
    return update(erased).where(erased.c.id == rows.c.id, _ERASING).values(**seen)


def conclude(connection: Connection, some: Iterable[Tombstone]) -> set[UUID]:
    """Turn settled erasures whose blobs are all deleted into tombstones; returns the changed ids."""
    return batch.changed(connection, _conclude, Tombstone, some)


def _conclude(rows: FromClause) -> Update:
    settled = update(erased).where(erased.c.id == rows.c.id, _ERASING, erased.c.settles_at <= now())
    return settled.values(erased_at=now(), notes=rows.c.notes).returning(erased.c.id)
