"""Rows whose originals move to another storage class: promised first, settled when the store has been looked at.

While a move is under way its row is leased and names the class it goes to: so at no instant is an original unreadable
whose row says that it can be read. `attempts` fences, as in claims.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from imgctl.store.catalog import batch
from imgctl.store.catalog import move_statements as sql
from imgctl.store.catalog.claims import Hold


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
    values = {**batch.of_images(dialect, sql.SEEN, rows), "to": to, "lease_seconds": float(lease_seconds)}
    return {row.id: row.attempts for row in connection.execute(sql.promise(dialect), values)}


def settle_moves(connection: Connection, rows: Iterable[Settled]) -> set[UUID]:
    """Confirm moves, or put back what did not happen; returns the ids that were still held with these `attempts`."""
    dialect = connection.dialect.name
    return set(connection.execute(sql.settle(dialect), batch.of_images(dialect, sql.SETTLED, rows)).scalars())


def correct_classes(connection: Connection, rows: Iterable[Settled]) -> set[UUID]:
    """Write classes that the store was seen to have, on rows that nobody holds; returns the ids that changed."""
    dialect = connection.dialect.name
    return set(connection.execute(sql.correct(dialect), batch.of_images(dialect, sql.SETTLED, rows)).scalars())


def renew_moves(connection: Connection, holds: Iterable[Hold], *, lease_seconds: float) -> set[UUID]:
    """Lengthen the leases of moves under way; returns the ids still held."""
    dialect = connection.dialect.name
    values = {**batch.of_images(dialect, sql.HELD, holds), "lease_seconds": float(lease_seconds)}
    return set(connection.execute(sql.renew(dialect), values).scalars())
