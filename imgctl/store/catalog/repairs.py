"""What `repair` writes: every statement says again what was seen, so that a row that changed since stays as it is."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TypeVar
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    Select,
    Text,
    Update,
    delete,
    func,
    null,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.sql.dml import ReturningDelete

from imgctl.model import Status, Variant
from imgctl.store.catalog import batch
from imgctl.store.catalog.desk import within
from imgctl.store.catalog.reservations import announce_work
from imgctl.store.catalog.schema import images
from imgctl.store.catalog.scope import Scope
from imgctl.store.catalog.types import Id, UtcTime, now, status_literal

_SEEN: batch.Columns = {"id": Id, "attempts": Integer}
_KEYED: batch.Columns = {**_SEEN, "key": Text}
_LOST: batch.Columns = {**_KEYED, "error": Text}
_CLASS: batch.Columns = {**_SEEN, "storage_class": Text, "restored_until": UtcTime}
_PROMISE: batch.Columns = {"id": Id, "key": Text}
_SETTLED = (Status.READY, Status.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A row as it was looked at: its fencing token tells whether anybody worked on it since."""

    id: UUID
    attempts: int


SeenT = TypeVar("SeenT", bound=Seen)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenKey(Seen):
    """A row and one of its keys."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost(SeenKey):
    """A row whose original is gone, and what to say of it."""

    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Class(Seen):
    """A row and the storage class its original was found in."""

    storage_class: str
    restored_until: datetime | None


def requeue_seen(connection: Connection, rows: Iterable[Seen]) -> set[UUID]:
    """Put images that nobody holds back to `processing`, their attempts forgiven; returns those that changed."""
    changed = _run(connection, _requeue, _SEEN, rows)
    if changed:
        announce_work(connection)
    return changed


def name_variant(connection: Connection, variant: Variant, rows: Iterable[SeenKey]) -> set[UUID]:
    """Let settled rows that name no such variant name this one; returns those that changed."""
    return _run(connection, lambda dialect: _name(dialect, variant), _KEYED, rows)


def unname_variant(connection: Connection, variant: Variant, rows: Iterable[SeenKey]) -> set[UUID]:
    """Let settled rows that name this variant name none; returns those that changed."""
    return _run(connection, lambda dialect: _unname(dialect, variant), _KEYED, rows)


def mark_lost(connection: Connection, rows: Iterable[Lost]) -> set[UUID]:
    """Turn images whose original is gone `failed`, their variants kept; returns those that changed."""
    return _run(connection, _lose, _LOST, rows)


def reclass(connection: Connection, rows: Iterable[Class]) -> set[UUID]:
    """Let rows say the storage class that their original is in; returns those that changed."""
    return _run(connection, _reclass, _CLASS, rows)


def drop_promises(connection: Connection, rows: Iterable[SeenKey]) -> set[UUID]:
    """Delete rows that are still `uploading`; returns those that are gone."""
    dialect = connection.dialect.name
    values = batch.parameters(dialect, _PROMISE, ([row.id, row.key] for row in _ordered(rows)))
    return set(connection.execute(_drop(dialect), values).scalars())


def named_keys(connection: Connection, scope: Scope) -> int:
    """How many keys the rows of a scope name together; reads all of them."""
    counted = [func.count(images.c[f"{role}_key"]) for role in ("original", *Variant)]
    query: Select[int] = select(sum(counted[1:], start=counted[0])).where(*within(scope))
    return connection.execute(query).scalar_one()


def _run(
    connection: Connection, statement: Callable[[str], Update], columns: batch.Columns, rows: Iterable[Seen]
) -> set[UUID]:
    dialect = connection.dialect.name
    values = batch.parameters(dialect, columns, ([getattr(row, name) for name in columns] for row in _ordered(rows)))
    return set(connection.execute(statement(dialect), values).scalars())


def _ordered(rows: Iterable[SeenT]) -> list[SeenT]:
    # In one order everywhere, so that two batches that share rows wait for each other and don't deadlock.
    return sorted(rows, key=lambda row: row.id)


@cache
def _requeue(dialect: str) -> Update:
    rows = batch.source(dialect, _SEEN)
    settled = images.c.status.in_([status_literal(one) for one in (*_SETTLED, Status.PROCESSING)])
    fresh = {
        "status": status_literal(Status.PROCESSING),
        "forgiven": images.c.attempts,
        "leased_until": null(),
        "error": null(),
    }
    return _still(rows).where(settled).values(**fresh).returning(images.c.id)


@cache
def _name(dialect: str, variant: Variant) -> Update:
    rows, column = batch.source(dialect, _KEYED), images.c[f"{variant}_key"]
    return _settled(rows).where(column.is_(None)).values({column: rows.c.key}).returning(images.c.id)


@cache
def _unname(dialect: str, variant: Variant) -> Update:
    rows, column = batch.source(dialect, _KEYED), images.c[f"{variant}_key"]
    return _settled(rows).where(column == rows.c.key).values({column: null()}).returning(images.c.id)


@cache
def _lose(dialect: str) -> Update:
    rows = batch.source(dialect, _LOST)
    safe = images.c.status != status_literal(Status.UPLOADING)
    gone = {"status": status_literal(Status.FAILED), "leased_until": null(), "error": rows.c.error}
    return _still(rows).where(safe, images.c.original_key == rows.c.key).values(**gone).returning(images.c.id)


@cache
def _reclass(dialect: str) -> Update:
    rows = batch.source(dialect, _CLASS)
    found = {name: rows.c[name] for name in ("storage_class", "restored_until")}
    return _still(rows).values(**found).returning(images.c.id)


@cache
def _drop(dialect: str) -> ReturningDelete[UUID]:
    rows = batch.source(dialect, _PROMISE)
    # Not DELETE … USING, which SQLite does not know.
    named = tuple_(images.c.id, images.c.original_key).in_(select(rows.c.id, rows.c.key))
    promised = images.c.status == status_literal(Status.UPLOADING)
    return delete(images).where(promised, named).returning(images.c.id)


def _settled(rows: FromClause) -> Update:
    return _still(rows).where(images.c.status.in_([status_literal(one) for one in _SETTLED]))


def _still(rows: FromClause) -> Update:
    """Rows that nobody holds, and that nobody took since they were seen."""
    free: ColumnElement[bool] = or_(images.c.leased_until.is_(None), images.c.leased_until < now())
    return update(images).where(images.c.id == rows.c.id, images.c.attempts == rows.c.attempts, free)
