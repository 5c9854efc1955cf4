"""The lease of a row: taken by the database's clock, renewed by who holds it, and fenced by `attempts` (law 3).

Whoever takes a row raises `attempts`, and nothing lowers it: it is the fencing token. Whoever brings an older one has
lost the row to somebody else, and changes nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Double, FromClause, Integer, Update, bindparam, or_, update

from imgctl.model import Status
from imgctl.store.catalog import batch
from imgctl.store.catalog.schema import images
from imgctl.store.catalog.types import Id, now, now_plus, status_literal

HOLD: batch.Columns = {"id": Id, "attempts": Integer}
FREE = or_(images.c.leased_until.is_(None), images.c.leased_until < now())
"""Rows that nobody holds."""
LEASE = now_plus(bindparam("lease_seconds", type_=Double()))
"""Until when a row is leased by a statement that is executed with `lease_seconds`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What a worker believes to hold."""

    id: UUID
    attempts: int


def in_status(status: Status) -> ColumnElement[bool]:
    """Rows of one state, said so that the planner sees it."""
    return images.c.status == status_literal(status)


def fenced(rows: FromClause, status: Status) -> Update:
    """An update of those of a batch that have this state and this `attempts`."""
    # Not by the lease's time: what lapsed but was taken by nobody else is still good work.
    return update(images).where(images.c.id == rows.c.id, images.c.attempts == rows.c.attempts, in_status(status))


def held(rows: FromClause, status: Status) -> Update:
    """The same of those that are leased still."""
    return fenced(rows, status).where(images.c.leased_until.is_not(None))


def renew(
    connection: Connection, holds: Iterable[Hold], *, lease_seconds: float, status: Status = Status.PROCESSING
) -> set[UUID]:
    """Lengthen leases; returns the ids still held: whoever is missing was lost to another worker, or given back."""
    dialect = connection.dialect.name
    values = {**batch.of_images(dialect, HOLD, holds), "lease_seconds": float(lease_seconds)}
    return batch.changed(connection, _renew(dialect, status), values)


@cache
def _renew(dialect: str, status: Status) -> Update:
    return held(batch.source(dialect, HOLD), status).values(leased_until=LEASE).returning(images.c.id)
