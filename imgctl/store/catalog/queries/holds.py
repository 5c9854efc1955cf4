"""Legal holds: users whose images must not be deleted, with start, reason and author."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    FromClause,
    Index,
    Row,
    Select,
    Table,
    Text,
    exists,
    insert,
    select,
    text,
    update,
)

from imgctl.store.catalog import batch
from imgctl.store.catalog.schema import POSTGRES, Id, UtcTime, metadata, now

# Legal holds on users, in force until released.
holds = Table(
    "holds",
    metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", Id, nullable=False),
    Column("held_at", UtcTime, nullable=False, server_default=now()),
    Column("released_at", UtcTime),
    Column("object_lock", Boolean(create_constraint=False), nullable=False, server_default=text("FALSE")),
    Column("reason", Text, nullable=False),
    Column("held_by", Text, nullable=False),
    Column("released_by", Text),
)
Index("idx_held", holds.c.user_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class LegalHold:
    """A hold on all images of a user, in force until released; with `object_lock` the store locks the blobs, too."""

    id: UUID
    user_id: UUID
    held_at: datetime
    held_by: str
    reason: str
    object_lock: bool
    released_at: datetime | None
    released_by: str | None

    @property
    def line(self) -> str:
        """Start, author and reason, for display."""
        return f"{self.brief} by {self.held_by}: {self.reason}"

    @property
    def brief(self) -> str:
        """The start only, for readers who may not see the reason."""
        return f"held since {self.held_at:%Y-%m-%d}"


_COLUMNS = tuple(holds.c[field.name] for field in fields(LegalHold))
_IN_FORCE = holds.c.released_at.is_(None)


def lock_holds(connection: Connection) -> None:
    """Block new holds until this transaction ends, so that it deletes nothing that is under a hold."""
    # In SQLite no other transaction writes meanwhile.
    if connection.dialect.name == POSTGRES:
        connection.execute(text("LOCK TABLE holds IN SHARE MODE"))


def hold(connection: Connection, hold_id: UUID, user_id: UUID, *, reason: str, by: str) -> None:
    """Hold a user's images from now on."""
    connection.execute(insert(holds).values(id=hold_id, user_id=user_id, reason=reason, held_by=by))


def note_object_lock(connection: Connection, hold_id: UUID) -> None:
    """Record that the store is about to lock the blobs, too."""
    connection.execute(update(holds).where(holds.c.id == hold_id).values(object_lock=True))


def release(connection: Connection, hold_id: UUID, *, by: str) -> None:
    """End a hold that is in force."""
    ended = update(holds).where(holds.c.id == hold_id, _IN_FORCE)
    connection.execute(ended.values(released_at=now(), released_by=by))


def in_force(connection: Connection, user_id: UUID | None = None) -> list[LegalHold]:
    """Return the holds in force, oldest first: on one user, or on all."""
    query = select(*_COLUMNS).where(_IN_FORCE).order_by(holds.c.held_at, holds.c.id)
    rows = connection.execute(query if user_id is None else query.where(holds.c.user_id == user_id))
    return [_hold(row) for row in rows]


def held_among(connection: Connection, users: Iterable[UUID]) -> dict[UUID, LegalHold]:
    """Return the oldest hold in force for each of these users that has one; one statement for any number."""
    found = batch.run(connection, _held_among, batch.Ref, batch.refs(set(users)))
    holds_found = [_hold(row) for row in found]
    return {one.user_id: one for one in sorted(holds_found, key=lambda one: one.held_at, reverse=True)}


def is_held(user_id: ColumnElement[UUID]) -> ColumnElement[bool]:
    """Whether a hold on the user of a row is in force."""
    return exists().where(holds.c.user_id == user_id, _IN_FORCE)


def _held_among(rows: FromClause) -> Select[*tuple[object, ...]]:
    return select(*_COLUMNS).where(holds.c.user_id == rows.c.id, _IN_FORCE)


def _hold(row: Row[*tuple[object, ...]]) -> LegalHold:
    return LegalHold(**row._asdict())
