"""Rows whose originals move to another storage class: promised first, settled when the store has been looked at.

While a move is under way its row is leased and names the class it goes to: so at no instant is an original unreadable
whose row says that it can be read. `attempts` fences, as in claims.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Integer, Text, Update, bindparam, case, func, null

from imgctl.model import Status
from imgctl.store.catalog import batch
from imgctl.store.catalog.lease import FREE, HOLD, LEASE, fenced
from imgctl.store.catalog.schema import images

_SEEN: batch.Columns = {**HOLD, "original_key": Text, "storage_class": Text}
_SETTLED: batch.Columns = {**HOLD, "storage_class": Text, "moved": Integer}
_TO = bindparam("to", type_=Text())


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A row as it was when its move was decided."""

    id: UUID
    attempts: int
    original_key: str
    storage_class: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Where an original lies; `moved` ends the restore of its old class."""

    id: UUID
    attempts: int
    storage_class: str | None
    moved: bool


def promise_moves(connection: Connection, rows: Iterable[Seen], *, to: str, lease_seconds: float) -> dict[UUID, int]:
    """Promise that these originals lie in class `to`; returns the new `attempts` of those that were as they were seen.

    Left alone are rows that are no longer `ready`, that changed, or that somebody holds by the database's clock.
    """
    dialect = connection.dialect.name
    values = {**batch.of_images(dialect, _SEEN, rows), "to": to, "lease_seconds": float(lease_seconds)}
    return {row.id: row.attempts for row in connection.execute(_promise(dialect), values)}


@cache
def _promise(dialect: str) -> Update:
    """Say of free rows, still as they were seen, that their originals lie in the class they are about to move to."""
    rows = batch.source(dialect, _SEEN)
    as_seen = (images.c.original_key == rows.c.original_key, _same(images.c.storage_class, rows.c.storage_class))
    # No try of a rendering: forgiven at once.
    counted = {"attempts": images.c.attempts + 1, "forgiven": images.c.forgiven + 1}
    promised = fenced(rows, Status.READY).where(FREE, *as_seen)
    return promised.values(storage_class=_TO, leased_until=LEASE, **counted).returning(images.c.id, images.c.attempts)


def settle_moves(connection: Connection, rows: Iterable[Settled]) -> set[UUID]:
    """Confirm moves, or put back what did not happen; returns the ids that were still held with these `attempts`."""
    dialect = connection.dialect.name
    return set(connection.execute(_settle(dialect), batch.of_images(dialect, _SETTLED, rows)).scalars())


@cache
def _settle(dialect: str) -> Update:
    """Write the class where originals are found to lie, and let go of their rows."""
    rows = batch.source(dialect, _SETTLED)
    restored_until = case((rows.c.moved == 0, images.c.restored_until), else_=null())
    settled = {"storage_class": rows.c.storage_class, "leased_until": null(), "restored_until": restored_until}
    return fenced(rows, Status.READY).values(**settled).returning(images.c.id)


def correct_classes(connection: Connection, rows: Iterable[Settled]) -> set[UUID]:
    """Write classes that the store was seen to have, on rows that nobody holds; returns the ids that changed."""
    dialect = connection.dialect.name
    return set(connection.execute(_correct(dialect), batch.of_images(dialect, _SETTLED, rows)).scalars())


@cache
def _correct(dialect: str) -> Update:
    """Write the class of originals that somebody else moved, on rows that nobody holds."""
    return _settle(dialect).where(FREE)


def _same(one: ColumnElement[str | None], other: ColumnElement[str | None]) -> ColumnElement[bool]:
    # No class has an empty name; a join compares these faster than IS NOT DISTINCT FROM.
    return func.coalesce(one, "") == func.coalesce(other, "")
