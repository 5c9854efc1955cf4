"""Updates the storage class in rows: for moves to another class, and corrections from the store.

During a move the row is leased and already has the target class, so that no row ever marks an unreadable original as
readable. `attempts` fences, as in claims.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Text,
    Update,
    bindparam,
    case,
    func,
    null,
    or_,
    update,
)

from imgctl.model import Status
from imgctl.store.catalog import batch
from imgctl.store.catalog.lease import FREE, LEASE, fenced
from imgctl.store.catalog.queries.reservations import announce
from imgctl.store.catalog.schema import archived, images


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A row as it was when the move was planned."""

    id: UUID
    attempts: int
    original_key: str
    storage_class: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """The class of an original; `moved` ends the restore in its old class."""

    id: UUID
    attempts: int
    storage_class: str | None
    moved: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """Class and restore of an original in the store; `row_class` is the row's class when it was read. None is STANDARD."""

    id: UUID
    row_class: str | None
    storage_class: str | None
    restored_until: datetime | None


def promise_moves(connection: Connection, rows: Iterable[Seen], *, to: str, lease_seconds: float) -> dict[UUID, int]:
    """Lease these rows and set their class to `to` before the move; returns the new `attempts` of the updated rows.

    Rows that are no longer `ready`, changed since they were read, or are leased by the database's clock are skipped.
    """
    found = batch.run(connection, _promise, Seen, rows, to=to, lease_seconds=float(lease_seconds))
    return {row.id: row.attempts for row in found}


def _promise(rows: FromClause) -> Update:
    as_seen = (images.c.original_key == rows.c.original_key, _same(images.c.storage_class, rows.c.storage_class))
    promised = {"storage_class": bindparam("to", type_=Text()), "leased_until": LEASE}
    # Not a rendering attempt, so it is forgiven at once.
    counted = {"attempts": images.c.attempts + 1, "forgiven": images.c.forgiven + 1}
    free = fenced(rows, Status.READY).where(FREE, *as_seen)
    return free.values(**promised, **counted).returning(images.c.id, images.c.attempts)


def settle_moves(connection: Connection, rows: Iterable[Settled]) -> set[UUID]:
    """Confirm moves, or set the class back if a move failed; returns the ids still held with these `attempts`."""
    return batch.changed(connection, _settle, Settled, rows)


def correct_classes(connection: Connection, rows: Iterable[Settled]) -> set[UUID]:
    """Write the classes found in the store to free rows; returns the changed ids."""
    return batch.changed(connection, _correct, Settled, rows)


def _settle(rows: FromClause) -> Update:
    restored_until = case((rows.c.moved == 0, images.c.restored_until), else_=null())
    settled = {"storage_class": rows.c.storage_class, "leased_until": null(), "restored_until": restored_until}
    return fenced(rows, Status.READY).values(**settled).returning(images.c.id)


def _correct(rows: FromClause) -> Update:
    return _settle(rows).where(FREE)


def set_truths(connection: Connection, truths: Iterable[Truth]) -> set[UUID]:
    """Write class and restore expiry of originals, and notify workers if a row changed; returns the changed ids.

    A row whose class changed since it was read is skipped: it is being moved. A leased row whose class would change to
    a readable one is skipped too: a transition writes the target class before it moves the original.
    """
    changed = batch.changed(connection, _set_truths, Truth, truths)
    if changed:
        announce(connection)
    return changed


def _set_truths(rows: FromClause) -> Update:
    same = rows.c.storage_class.is_not_distinct_from(rows.c.row_class)
    return (
        update(images)
        .where(
            images.c.id == rows.c.id,
            images.c.storage_class.is_not_distinct_from(rows.c.row_class),
            or_(same, archived(rows.c.storage_class), images.c.leased_until.is_(None)),
        )
        .values(storage_class=rows.c.storage_class, restored_until=rows.c.restored_until)
        .returning(images.c.id)
    )


def _same(one: ColumnElement[str | None], other: ColumnElement[str | None]) -> ColumnElement[bool]:
    # No class has an empty name, and a join is faster with this than with IS NOT DISTINCT FROM.
    return func.coalesce(one, "") == func.coalesce(other, "")
