"""The lease of a row: taken by the database's clock, renewed by its holder, and fenced by `attempts` (law 3).

Each lease of a row raises `attempts`, and nothing lowers it: it is the fencing token. A holder with an older value has
lost the row and cannot change it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, Double, FromClause, Update, bindparam, func, literal, or_, select, true, update

from imgctl.model import Status
from imgctl.store.catalog import batch
from imgctl.store.catalog.schema import POSTGRES, images, in_status, now, now_plus

# Of a run on this or another machine; a job at AWS leases its rows for a day.
LONGEST_LEASE_SECONDS = 3600.0

FREE = or_(images.c.leased_until.is_(None), images.c.leased_until < now())
"""Condition for rows without a current lease."""
LEASE = now_plus(bindparam("lease_seconds", type_=Double()))
"""The end of a new lease; the statement needs the parameter `lease_seconds`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A row that a worker leased or read, with its `attempts` at that time."""

    id: UUID
    attempts: int


def fenced(rows: FromClause, *statuses: Status) -> Update:
    """Return an update of the batch's rows with one of these states (any, if none is given) and unchanged `attempts`."""
    # The lease's time is not checked: work on an expired lease is valid until another worker takes the row.
    same = update(images).where(images.c.id == rows.c.id, images.c.attempts == rows.c.attempts)
    return same.where(in_status(*statuses)) if statuses else same


def held(rows: FromClause, status: Status) -> Update:
    """Like `fenced`, for rows that are still leased."""
    return fenced(rows, status).where(images.c.leased_until.is_not(None))


def renew(
    connection: Connection, holds: Iterable[Hold], *, lease_seconds: float, status: Status = Status.PROCESSING
) -> set[UUID]:
    """Extend leases; returns the ids still held; the others were taken by another worker, or given back."""
    return batch.changed(connection, _renew, Hold, holds, status, lease_seconds=float(lease_seconds))


def _renew(rows: FromClause, status: Status) -> Update:
    return held(rows, status).values(leased_until=LEASE).returning(images.c.id)


def end_if_frozen(connection: Connection, *, seconds: float) -> None:
    """Abort this transaction if its process is idle this long, so that a frozen worker does not keep rows locked."""
    if connection.dialect.name == POSTGRES:
        milliseconds = str(max(1, round(seconds * 1000)))
        connection.execute(select(func.set_config("idle_in_transaction_session_timeout", milliseconds, true())))


def leased_of(connection: Connection, user_id: UUID, *, limit: int) -> list[Hold]:
    """Return a user's ready images that a transition moves or a backfill builds: it may delete blobs of them.

    Not those of a job at AWS, which deletes nothing.
    """
    soon = images.c.leased_until.between(now(), now_plus(literal(LONGEST_LEASE_SECONDS, Double())))
    leased = select(images.c.id, images.c.attempts).where(images.c.user_id == user_id, in_status(Status.READY), soon)
    return [Hold(id=row.id, attempts=row.attempts) for row in connection.execute(leased.limit(limit))]


def still_leased(connection: Connection, some: Sequence[Hold]) -> list[Hold]:
    """Return those of `some` that the same run has not released, even if it died since, or their leases expired."""
    known = {one.id: one.attempts for one in some}
    leased = select(images.c.id, images.c.attempts)
    leased = leased.where(images.c.id.in_(known), images.c.leased_until.is_not(None))
    found = (Hold(id=row.id, attempts=row.attempts) for row in connection.execute(leased))
    return [one for one in found if one.attempts == known[one.id]]
