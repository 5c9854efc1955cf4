"""The lease of a row: taken by the database's clock, renewed by its holder, and fenced by `attempts` (law 3).

Whoever takes a row raises `attempts`, and nothing lowers it: it is the fencing token. A holder with an older one has
lost the row, and changes nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, Double, FromClause, Update, bindparam, func, or_, select, true, update

from imgctl.model import Status
from imgctl.store.catalog import batch
from imgctl.store.catalog.schema import POSTGRES, images, in_status, now, now_plus

FREE = or_(images.c.leased_until.is_(None), images.c.leased_until < now())
"""Rows that nobody holds."""
LEASE = now_plus(bindparam("lease_seconds", type_=Double()))
"""When the lease of a statement that is executed with `lease_seconds` ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A row that a worker took, or saw, when it had these `attempts`."""

    id: UUID
    attempts: int


def fenced(rows: FromClause, *statuses: Status) -> Update:
    """An update of those of a batch that have one of these states (any, if none is given) and the same `attempts`."""
    # Not by the lease's time: what lapsed but was taken by nobody else is still good work.
    same = update(images).where(images.c.id == rows.c.id, images.c.attempts == rows.c.attempts)
    return same.where(in_status(*statuses)) if statuses else same


def held(rows: FromClause, status: Status) -> Update:
    """The same of those that are still leased."""
    return fenced(rows, status).where(images.c.leased_until.is_not(None))


def renew(
    connection: Connection, holds: Iterable[Hold], *, lease_seconds: float, status: Status = Status.PROCESSING
) -> set[UUID]:
    """Extend leases; returns the ids still held: the others were taken by another worker, or given back."""
    return batch.changed(connection, _renew, Hold, holds, status, lease_seconds=float(lease_seconds))


def _renew(rows: FromClause, status: Status) -> Update:
    return held(rows, status).values(leased_until=LEASE).returning(images.c.id)


def end_if_frozen(connection: Connection, *, seconds: float) -> None:
    """End this transaction when its process is idle for so long: a frozen worker must not keep rows locked."""
    if connection.dialect.name == POSTGRES:
        milliseconds = str(max(1, round(seconds * 1000)))
        connection.execute(select(func.set_config("idle_in_transaction_session_timeout", milliseconds, true())))
