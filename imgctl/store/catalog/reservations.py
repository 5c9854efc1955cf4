"""Reservations: rows promised before their bytes are written, and confirmed after (law 1)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Connection,
    Insert,
    Integer,
    LargeBinary,
    Select,
    Text,
    Update,
    func,
    select,
    true,
    update,
)

from imgctl.errors import CatalogError
from imgctl.model import NewImage, Promised, Status
from imgctl.store.catalog import batch
from imgctl.store.catalog.names import ENDED_CHANNEL, POSTGRES, WORK_CHANNEL
from imgctl.store.catalog.schema import digest, images
from imgctl.store.catalog.types import Id, UtcTime, now, status_literal

if TYPE_CHECKING:
    from sqlalchemy.dialects.postgresql import Insert as PostgresInsert
    from sqlalchemy.dialects.sqlite import Insert as SqliteInsert

_NEW: batch.Columns = {
    "id": Id,
    "user_id": Id,
    "uploaded_at": UtcTime,
    "original_key": Text,
    "sha256": LargeBinary,
    "bytes": BigInteger,
    "content_type": Text,
    "width": Integer,
    "height": Integer,
    "caption": Text,
    "taken_at": UtcTime,
}
_CONTENT: batch.Columns = {"user_id": Id, "sha256": LargeBinary}
_ID: batch.Columns = {"id": Id}


def promise(connection: Connection, rows: Sequence[NewImage]) -> list[Promised]:
    """For each row the one that names its content: inserted as `uploading`, or found; the order is kept.

    CatalogError when a row is refused for any other reason than that its content is already there.
    """
    # In one order everywhere, so that two that promise the same contents wait for each other and don't deadlock.
    ordered = sorted(rows, key=lambda row: (row.user_id, row.sha256))
    dialect = connection.dialect.name
    values = batch.parameters(dialect, _NEW, ([getattr(row, name) for name in _NEW] for row in ordered))
    created = set(connection.execute(_insert(dialect), values).scalars())
    known = _known(connection, [row for row in ordered if row.id not in created])
    return [_promised(row, created, known) for row in rows]


def contents(connection: Connection, rows: Sequence[NewImage]) -> list[Promised]:
    """What `promise` would answer, without writing: the row that has this content, or `created` for one that has none."""
    known = _known(connection, rows)
    return [known.get((row.user_id, row.sha256)) or _promised(row, {row.id}, known) for row in rows]


def lookup(connection: Connection, ids: Iterable[UUID]) -> dict[UUID, tuple[UUID, Status]]:
    """Owner and status of each of these images that exists."""
    dialect = connection.dialect.name
    found = connection.execute(_lookup(dialect), batch.parameters(dialect, _ID, ([one] for one in ids)))
    return {image: (user, status) for image, user, status in found}


def confirm(connection: Connection, ids: Iterable[UUID]) -> set[UUID]:
    """Turn `uploading` into `processing` now that the bytes are safe; returns the ids that changed."""
    dialect = connection.dialect.name
    values = batch.parameters(dialect, _ID, ([one] for one in sorted(ids)))
    confirmed = batch.changed(connection, _confirm(dialect), values)
    if confirmed:
        announce_work(connection)
    return confirmed


def keep(connection: Connection, arrived: Mapping[UUID, Callable[[], NewImage]]) -> None:
    """Confirm images whose bytes are safe; one whose promise `repair` dropped meanwhile is promised again, as it was."""
    changed = confirm(connection, arrived)
    others = [one for one in arrived if one not in changed]
    known = lookup(connection, others) if others else {}
    if dropped := [arrived[one]() for one in others if one not in known]:
        confirm(connection, [one.id for one in promise(connection, dropped) if one.created])


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the bytes of a promised image say of it, once they are there."""

    id: UUID
    width: int | None
    height: int | None
    taken_at: datetime | None
    caption: str | None


def note(connection: Connection, seen: Seen) -> None:
    """Write down what was not known when an image was promised; only before it is confirmed, and no caption over one."""
    connection.execute(
        update(images)
        .where(images.c.id == seen.id, images.c.status == status_literal(Status.UPLOADING))
        .values(
            width=seen.width,
            height=seen.height,
            taken_at=seen.taken_at,
            caption=func.coalesce(images.c.caption, seen.caption),
        )
    )


def announce_work(connection: Connection) -> None:
    """Tell workers that wait for something to do; they hear it when this transaction commits."""
    if connection.dialect.name == POSTGRES:
        connection.execute(select(func.pg_notify(WORK_CHANNEL, "")))


def announce_ended(connection: Connection) -> None:
    """Tell those who wait for images to end; they hear it when this transaction commits."""
    if connection.dialect.name == POSTGRES:
        connection.execute(select(func.pg_notify(ENDED_CHANNEL, "")))


def _known(connection: Connection, rows: Sequence[NewImage]) -> dict[tuple[UUID, bytes], Promised]:
    if not rows:
        return {}
    dialect = connection.dialect.name
    values = batch.parameters(dialect, _CONTENT, ((row.user_id, row.sha256) for row in rows))
    found = connection.execute(_find(dialect), values)
    return {
        (user_id, content): Promised(id=image_id, original_key=key, status=status, created=False)
        for image_id, key, status, user_id, content in found
    }


def _promised(row: NewImage, created: set[UUID], known: Mapping[tuple[UUID, bytes], Promised]) -> Promised:
    if row.id in created:
        return Promised(id=row.id, original_key=row.original_key, status=Status.UPLOADING, created=True)
    existing = known.get((row.user_id, row.sha256))
    if existing is None:
        raise CatalogError(f"image {row.id} could not be promised", hint="its row is gone meanwhile; run again")
    return existing


@cache
def _insert(dialect: str) -> Insert:
    rows = batch.source(dialect, _NEW)
    # SQLite needs the WHERE to tell ON CONFLICT from a join's ON.
    chosen = select(*(rows.c[name] for name in _NEW), status_literal(Status.UPLOADING), now()).where(true())
    return (
        _insert_of(dialect)(images)
        .from_select([*_NEW, "status", "promised_at"], chosen)
        .on_conflict_do_nothing()
        .returning(images.c.id)
    )


def _insert_of(dialect: str) -> "type[PostgresInsert | SqliteInsert]":
    # Each dialect takes a tenth of a command's start to import, and a run needs one.
    if dialect == POSTGRES:
        from sqlalchemy.dialects.postgresql import Insert as PostgresInsert

        return PostgresInsert
    from sqlalchemy.dialects.sqlite import Insert as SqliteInsert

    return SqliteInsert


@cache
def _find(dialect: str) -> Select[UUID, str | None, Status, UUID, bytes]:
    rows = batch.source(dialect, _CONTENT)
    same = digest(images.c.sha256) == digest(rows.c.sha256)
    return select(images.c.id, images.c.original_key, images.c.status, rows.c.user_id, rows.c.sha256).where(
        images.c.user_id == rows.c.user_id, same
    )


@cache
def _lookup(dialect: str) -> Select[UUID, UUID, Status]:
    rows = batch.source(dialect, _ID)
    return select(images.c.id, images.c.user_id, images.c.status).where(images.c.id == rows.c.id)


@cache
def _confirm(dialect: str) -> Update:
    rows = batch.source(dialect, _ID)
    return (
        update(images)
        .where(images.c.id == rows.c.id, images.c.status == status_literal(Status.UPLOADING))
        .values(status=status_literal(Status.PROCESSING))
        .returning(images.c.id)
    )
