"""What is left of images that are erased: rows that moved from `images` to `erased`, and became tombstones there."""

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
    insert,
    null,
    select,
    update,
)
from sqlalchemy.sql.dml import Delete

from imgctl.keys import FIRST
from imgctl.model import Image
from imgctl.store.catalog import batch
from imgctl.store.catalog.lookups import PAGE_ROWS, begins_with
from imgctl.store.catalog.schema import COLUMNS, erased, images, now


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """An image that is being erased, or was: `erased_at` says so, and `blobs` and `bytes` what was deleted of it.

    `owner` is a keyed hash of the user's id, `notes` (JSON) what is known of its blobs while any is left. Whoever held its
    row, or was to put its original, has let go of it at `settles_at`.
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
        """That it is erased, and since when, for people."""
        how = "is being erased" if self.erased_at is None else f"was erased at {self.erased_at:%Y-%m-%d %H:%M}"
        return f"image {self.id} {how}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """An image that is to be erased."""

    id: UUID
    owner: bytes
    settles_at: datetime
    notes: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the store was seen to have of an image before it is deleted: noted first, so that a kill loses no count."""

    id: UUID
    notes: str
    blobs: int
    bytes: int


_COLUMNS = tuple(erased.c[field.name] for field in fields(Erasure))
_ERASING = erased.c.erased_at.is_(None)


def locked(connection: Connection, ids: Iterable[UUID]) -> list[Image]:
    """These images as they are, in the order of ids; nobody else changes them until the transaction ends."""
    rows = batch.run(connection, _locked, batch.Ref, batch.refs(ids))
    return [Image(**row._asdict()) for row in rows]


def _locked(rows: FromClause) -> Select[*tuple[object, ...]]:
    found = select(*COLUMNS).join(rows, images.c.id == rows.c.id).order_by(images.c.id)
    return found.with_for_update(of=images)


def mark(connection: Connection, marks: Sequence[Mark]) -> None:
    """Let images be erased: their rows go from `images`; one that was erased before is to be looked at again."""
    batch.run(connection, _reopen, Mark, marks)
    batch.run(connection, _insert, Mark, marks)
    batch.run(connection, _forget, Mark, marks)


def _reopen(rows: FromClause) -> Update:
    again = {"erased_at": null(), "settles_at": rows.c.settles_at, "notes": rows.c.notes}
    return update(erased).where(erased.c.id == rows.c.id, erased.c.erased_at.is_not(None)).values(**again)


def _insert(rows: FromClause) -> Insert:
    names = [field.name for field in fields(Mark)]
    absent = ~exists().where(erased.c.id == rows.c.id)
    return insert(erased).from_select(names, select(*(rows.c[name] for name in names)).where(absent))


def _forget(rows: FromClause) -> Delete:
    return delete(images).where(images.c.id.in_(select(rows.c.id)))


def erasures(connection: Connection, ids: Iterable[UUID]) -> dict[UUID, Erasure]:
    """Those of the images that are erased, or being erased."""
    return {row.id: Erasure(**row._asdict()) for row in batch.run(connection, _erasures, batch.Ref, batch.refs(ids))}


def _erasures(rows: FromClause) -> Select[*tuple[object, ...]]:
    return select(*_COLUMNS).where(erased.c.id == rows.c.id)


def find_erased(connection: Connection, text: str) -> list[Erasure]:
    """Those that are erased, or being erased, whose id begins with a text, two at most: more than one is ambiguous."""
    query = select(*_COLUMNS).where(begins_with(erased.c.id, text)).order_by(erased.c.id).limit(2)
    return [Erasure(**row._asdict()) for row in connection.execute(query)]


def page(
    connection: Connection, *, owner: bytes | None, erasing: bool, after: UUID = FIRST, limit: int = PAGE_ROWS
) -> list[Erasure]:
    """The next images behind `after` that are being erased, or (not `erasing`) were: of one owner, or of all."""
    wanted: list[ColumnElement[bool]] = [erased.c.id > after, _ERASING if erasing else ~_ERASING]
    if owner is not None:
        wanted.append(erased.c.owner == owner)
    rows = connection.execute(select(*_COLUMNS).where(*wanted).order_by(erased.c.id).limit(limit))
    return [Erasure(**row._asdict()) for row in rows]


def count_of_owner(connection: Connection, owner: bytes, *, erasing: bool = False) -> int:
    """How many images of an owner are erased, or being erased; with `erasing` the latter alone."""
    query = select(func.count()).select_from(erased).where(erased.c.owner == owner)
    return connection.execute(query.where(_ERASING) if erasing else query).scalar_one()


def erasing_since(connection: Connection, before: datetime) -> int:
    """How many images have been erased since before then, without an end."""
    query = select(func.count()).select_from(erased).where(_ERASING, erased.c.erasing_since < before)
    return connection.execute(query).scalar_one()


def note_found(connection: Connection, found: Iterable[Found]) -> None:
    """Note what was seen of images that are being erased."""
    batch.run(connection, _note_found, Found, found)


def _note_found(rows: FromClause) -> Update:
    seen = {name: rows.c[name] for name in ("notes", "blobs", "bytes")}
    return update(erased).where(erased.c.id == rows.c.id, _ERASING).values(**seen)


def conclude(connection: Connection, ids: Iterable[UUID]) -> set[UUID]:
    """Leave tombstones of images of which the store has nothing and that nobody can hold; returns those that changed."""
    return batch.changed(connection, _conclude, batch.Ref, batch.refs(ids))


def _conclude(rows: FromClause) -> Update:
    settled = update(erased).where(erased.c.id == rows.c.id, _ERASING, erased.c.settles_at <= now())
    return settled.values(erased_at=now(), notes=null()).returning(erased.c.id)
