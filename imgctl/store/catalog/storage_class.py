"""The storage class that rows give for their originals: moved to another one, and corrected by what the store shows.

While a move is under way its row is leased and names the target class: so at no instant is an original unreadable
whose row says that it can be read. `attempts` fences, as in claims.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, FromClause, Text, Update, bindparam, case, func, null, or_, update

from imgctl.model import Status
from imgctl.store.catalog import batch
from imgctl.store.catalog.lease import FREE, LEASE, fenced
from imgctl.store.catalog.reservations import announce
from imgctl.store.catalog.schema import archived, images


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A row as it was when its move was decided."""

    id: UUID
    attempts: int
    original_key: str
    storage_class: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """The class an original is in; `moved` ends the restore of its old class."""

    id: UUID
    attempts: int
    storage_class: str | None
    moved: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What the store says of an original whose row said `row_class` when it was read; None is STANDARD."""

    id: UUID
    row_class: str | None
    storage_class: str | None
    restored_until: datetime | None


def promise_moves(connection: Connection, rows: Iterable[Seen], *, to: str, lease_seconds: float) -> dict[UUID, int]:
    """Promise that these originals are in class `to`; returns the new `attempts` of those still as they were seen.

    Left alone are rows that are no longer `ready`, that changed, or that somebody holds by the database's clock.
    """
    found = batch.run(connection, _promise, Seen, rows, to=to, lease_seconds=float(lease_seconds))
    return {row.id: row.attempts for row in found}


def _promise(rows: FromClause) -> Update:
    as_seen = (images.c.original_key == rows.c.original_key, _same(images.c.storage_class, rows.c.storage_class))
    promised = {"storage_class": bindparam("to", type_=Text()), "leased_until": LEASE}
    # Not an attempt to render: forgiven at once.
    counted = {"attempts": images.c.attempts + 1, "forgiven": images.c.forgiven + 1}
    free = fenced(rows, Status.READY).where(FREE, *as_seen)
    return free.values(**promised, **counted).returning(images.c.id, images.c.attempts)


def settle_moves(connection: Connection, rows: Iterable[Settled]) -> set[UUID]:
    """Confirm moves, or put back what did not happen; returns the ids that were still held with these `attempts`."""
    return batch.changed(connection, _settle, Settled, rows)


def correct_classes(connection: Connection, rows: Iterable[Settled]) -> set[UUID]:
    """Write classes that the store was seen to have, on rows that nobody holds; returns the ids that changed."""
    return batch.changed(connection, _correct, Settled, rows)


def _settle(rows: FromClause) -> Update:
    restored_until = case((rows.c.moved == 0, images.c.restored_until), else_=null())
    settled = {"storage_class": rows.c.storage_class, "leased_until": null(), "restored_until": restored_until}
    return fenced(rows, Status.READY).values(**settled).returning(images.c.id)


def _correct(rows: FromClause) -> Update:
    return _settle(rows).where(FREE)


def set_truths(connection: Connection, truths: Iterable[Truth]) -> set[UUID]:
    """Write class and expiry of originals, and wake workers where one became readable; returns the ids that changed.

    A row that says another class than when it was read is left alone: it is being moved. So is a leased one that would
    no longer say archived: a transition promises the class before it moves, and its row must not say otherwise.
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
    # No class has an empty name; a join compares these faster than IS NOT DISTINCT FROM.
    return func.coalesce(one, "") == func.coalesce(other, "")
