"""The rows as a queue: claiming work, and what is left of it (law 3).

What was not the image's fault is counted beside `attempts`, in `forgiven`; `attempts - forgiven` is what `max_attempts`
limits.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    Text,
    Update,
    bindparam,
    case,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    true,
    update,
)
from sqlalchemy import cast as sql_cast

from imgctl.model import ARCHIVE_CLASSES, Status
from imgctl.store.catalog import batch
from imgctl.store.catalog.lease import FREE, LEASE, in_status
from imgctl.store.catalog.names import POSTGRES
from imgctl.store.catalog.reservations import announce_work
from imgctl.store.catalog.schema import images
from imgctl.store.catalog.types import Id, now, seconds_until, status_literal

# Queues of millions are looked at from their head: the oldest rows are the ones that were tried.
HEAD_ROWS = 10_000

_HEAD = UUID(int=0)
_CLAIMED = ("id", "original_key", "attempts", "forgiven", "bytes", "content_type", "width", "height", "storage_class")
_ID: batch.Columns = {"id": Id}
_PROCESSING = in_status(Status.PROCESSING)
_TRIED = images.c.attempts - images.c.forgiven
_MAX_ATTEMPTS = bindparam("max_attempts", type_=Integer())
ARCHIVED = images.c.storage_class.in_([literal_column(f"'{name}'") for name in ARCHIVE_CLASSES])
# What lies in an archive cannot be rendered: it waits, and costs no attempt, until somebody restores it.
_READABLE = or_(images.c.storage_class.is_(None), ~ARCHIVED, images.c.restored_until > now())


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An image that is this worker's until its lease runs out; `attempts` is its fencing token,
    `forgiven` of them were not the image's fault.
    """

    id: UUID
    original_key: str | None
    attempts: int
    forgiven: int
    bytes: int | None
    content_type: str | None
    width: int | None
    height: int | None
    storage_class: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How much is to be done, counted up to 10,000, and when the next lease or back-off runs out."""

    processing: int
    leased: int
    next_free_seconds: float | None


class Position:
    """How far a worker's claims have come: the next one begins there and not at the head of the queue.

    There lie the index entries of rows already done, until a vacuum; passing by a million takes 14 ms (measured on
    Postgres 18). It goes back to the head every few seconds and whenever the queue ends, for what was given back,
    what lapsed, and what came late. One thread's own.
    """

    __slots__ = ("_after", "_began", "_rewind_seconds")

    def __init__(self, *, rewind_seconds: float = 5.0) -> None:
        self._rewind_seconds = rewind_seconds
        self.rewind()

    def rewind(self) -> None:
        """Go back to the head of the queue."""
        self._after = _HEAD
        self._began = time.monotonic()

    def after(self) -> UUID:
        """The id behind which to look."""
        if time.monotonic() - self._began >= self._rewind_seconds:
            self.rewind()
        return self._after

    def move(self, claims: Sequence[Claim]) -> None:
        """Go on behind what was claimed."""
        self._after = max(self._after, *(one.id for one in claims))


def claim(
    connection: Connection, *, limit: int, lease_seconds: float, max_attempts: int, position: Position | None = None
) -> list[Claim]:
    """Up to `limit` images that nobody holds, oldest first, leased by the database's clock.

    Who claims again and again hands in a Position, and stays as fast in a queue of millions as in a short one.
    """
    values = {"lease_seconds": float(lease_seconds), "max_attempts": max_attempts}
    if position is None:
        return _claim(connection, limit, {**values, "after": _HEAD})
    after = position.after()
    claims = _claim(connection, limit, {**values, "after": after})
    if len(claims) == limit:
        position.move(claims)
        return claims
    position.rewind()
    if after == _HEAD:
        return claims
    return _claim(connection, limit - len(claims), {**values, "after": _HEAD}) + claims


def _claim(connection: Connection, limit: int, values: Mapping[str, object]) -> list[Claim]:
    claims = (Claim(**row._asdict()) for row in connection.execute(_claim_statement(limit), values))
    return sorted(claims, key=attrgetter("id"))


@cache
def _claim_statement(limit: int) -> Update:
    """Lease the oldest free rows past `after`."""
    beyond = images.c.id > bindparam("after", type_=Id())
    unspent = _TRIED < _MAX_ATTEMPTS
    free = select(images.c.id).where(_PROCESSING, beyond, FREE, _READABLE, unspent).order_by(images.c.id)
    # A CTE: Postgres may run a LIMIT subquery more than once. The limit stands in the SQL, for a plan that knows it.
    picked = free.limit(_inline(limit)).with_for_update(skip_locked=True).cte("picked")
    return (
        update(images)
        .where(images.c.id == picked.c.id)
        .values(attempts=images.c.attempts + 1, leased_until=LEASE)
        .returning(*(images.c[name] for name in _CLAIMED))
    )


def end_if_frozen(connection: Connection, *, seconds: float) -> None:
    """End this transaction when its process says nothing for so long: a frozen worker must not keep rows locked."""
    if connection.dialect.name == POSTGRES:
        milliseconds = str(max(1, round(seconds * 1000)))
        connection.execute(select(func.set_config("idle_in_transaction_session_timeout", milliseconds, true())))


def requeue(connection: Connection, ids: Iterable[UUID]) -> set[UUID]:
    """Put `ready` or `failed` images back to `processing` with all their attempts; returns those that changed."""
    dialect = connection.dialect.name
    values = batch.parameters(dialect, _ID, ([one] for one in sorted(ids)))
    changed = batch.changed(connection, _requeue(dialect), values)
    if changed:
        announce_work(connection)
    return changed


@cache
def _requeue(dialect: str) -> Update:
    """Put a batch back to processing with every attempt so far forgiven."""
    rows = batch.source(dialect, _ID)
    settled = images.c.status.in_([status_literal(Status.READY), status_literal(Status.FAILED)])
    fresh = {"status": status_literal(Status.PROCESSING), "forgiven": images.c.attempts, "error": null()}
    return update(images).where(images.c.id == rows.c.id, settled).values(**fresh).returning(images.c.id)


def fail_spent(connection: Connection, *, max_attempts: int, limit: int) -> list[UUID]:
    """Fail images at the head of the queue that used up their attempts and that nobody holds; returns their ids."""
    return sorted(batch.changed(connection, _fail_spent(limit), {"max_attempts": max_attempts}))


@cache
def _fail_spent(limit: int) -> Update:
    """Fail free rows whose attempts are used up."""
    readable = select(images.c.id).where(_PROCESSING, _READABLE).order_by(images.c.id)
    head = readable.limit(_inline(HEAD_ROWS)).cte("head")
    spent = select(images.c.id).join(head, head.c.id == images.c.id).where(_PROCESSING, FREE, _TRIED >= _MAX_ATTEMPTS)
    picked = spent.limit(_inline(limit)).with_for_update(skip_locked=True, of=images).cte("picked")
    reason = func.coalesce(images.c.error, "the worker died each time")
    error = literal("gave up after ", Text()) + sql_cast(_TRIED, Text) + literal(" attempts: ", Text()) + reason
    return (
        update(images)
        .where(images.c.id == picked.c.id)
        .values(status=status_literal(Status.FAILED), leased_until=null(), error=error)
        .returning(images.c.id)
    )


def backlog(connection: Connection) -> Backlog:
    """What is left to do, and how long until some of it is free again; looks at the head of the queue only."""
    processing, leased, seconds = connection.execute(_backlog()).one()
    return Backlog(processing=processing, leased=leased, next_free_seconds=seconds)


@cache
def _backlog() -> Select[int, int, float]:
    """Count the head of the queue and find its next lease to run out; what waits for a restore is not in it."""
    columns = select(images.c.leased_until).where(_PROCESSING, _READABLE).order_by(images.c.id)
    head = columns.limit(_inline(HEAD_ROWS)).subquery("head")
    leased = case((head.c.leased_until > now(), head.c.leased_until))
    return select(func.count(), func.count(leased), seconds_until(func.min(leased))).select_from(head)


def awaiting_restore(connection: Connection) -> int:
    """How many of the first 10,000 processing images wait for their originals to be restored."""
    return connection.execute(_awaiting_restore()).scalar_one()


@cache
def _awaiting_restore() -> Select[int]:
    """Count those at the head of the queue that wait for a restore."""
    # Not `NOT readable`: that is NULL, not true, where nothing was ever restored.
    columns = select(case((_READABLE, None), else_=1).label("waits")).where(_PROCESSING).order_by(images.c.id)
    head = columns.limit(_inline(HEAD_ROWS)).subquery("head")
    return select(func.count(head.c.waits)).select_from(head)


def _inline(number: int) -> ColumnElement[int]:
    return literal(number, Integer(), literal_execute=True)
