"""Promising rows before their bytes are written, and confirming them after (law 1)."""

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

from imgctl.model import Status
from imgctl.store.catalog import batch, promising
from imgctl.store.catalog.names import ENDED_CHANNEL, POSTGRES, WORK_CHANNEL
from imgctl.store.catalog.promising import NewImage, Promised, Rows
from imgctl.store.catalog.schema import digest, images
from imgctl.store.catalog.types import Id, UtcTime, status_literal

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


class Asked:
    """An open transaction that is asked by SQLAlchemy's statements; `promising.Asking`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect.name

    def insert(self, rows: Rows) -> set[UUID]:
        """Insert rows as `uploading` where nothing stands in the way; returns the ids inserted."""
        return set(self._connection.execute(_insert(self._dialect), self._batch(_NEW, rows)).scalars())

    def find(self, rows: Rows) -> Iterable[tuple[UUID, str | None, Status, UUID, bytes]]:
        """Id, key and status of the images with these contents, and the contents themselves."""
        return self._connection.execute(_find(self._dialect), self._batch(_CONTENT, rows))

    def stand(self, rows: Rows) -> Iterable[tuple[UUID, UUID, Status]]:
        """Id, owner and status of those of the ids that exist."""
        return self._connection.execute(_stand(self._dialect), self._batch(_ID, rows))

    def confirm(self, rows: Rows) -> set[UUID]:
        """Turn `uploading` into `processing`; returns the ids that changed."""
        return set(self._connection.execute(_confirm(self._dialect), self._batch(_ID, rows)).scalars())

    def announce_work(self) -> None:
        """Tell workers that wait for something to do."""
        announce_work(self._connection)

    def _batch(self, columns: batch.Columns, rows: Rows) -> dict[str, str]:
        return batch.parameters(self._dialect, columns, rows)


def promise(connection: Connection, rows: Sequence[NewImage]) -> list[Promised]:
    """See `promising.promise`."""
    return promising.promise(Asked(connection), rows)


def standing(connection: Connection, ids: Iterable[UUID]) -> dict[UUID, tuple[UUID, Status]]:
    """See `promising.standing`."""
    return promising.standing(Asked(connection), ids)


def confirm(connection: Connection, ids: Iterable[UUID]) -> set[UUID]:
    """See `promising.confirm`."""
    return promising.confirm(Asked(connection), ids)


def keep(connection: Connection, arrived: Mapping[UUID, Callable[[], NewImage]]) -> None:
    """See `promising.keep`."""
    promising.keep(Asked(connection), arrived)


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


@cache
def _insert(dialect: str) -> Insert:
    rows = batch.source(dialect, _NEW)
    # SQLite needs the WHERE to tell ON CONFLICT from a join's ON.
    chosen = select(*(rows.c[name] for name in _NEW), status_literal(Status.UPLOADING)).where(true())
    return (
        _insert_of(dialect)(images)
        .from_select([*_NEW, "status"], chosen)
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
def _stand(dialect: str) -> Select[UUID, UUID, Status]:
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
