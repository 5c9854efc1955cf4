"""The rows as a queue: claiming work, and what is left of it (law 3).

Attempts that were not the image's fault are counted in `forgiven`; `attempts - forgiven` is what `max_attempts` limits.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
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
    cast,
    func,
    literal,
    null,
    or_,
    select,
    update,
)

from imgctl.model import Status
from imgctl.store.catalog.lease import FREE, LEASE
from imgctl.store.catalog.schema import Id, archived, images, in_status, now, seconds_until, status_literal

# Queues of millions are looked at from their head: the oldest rows are the ones that were tried.
HEAD_ROWS = 10_000

_HEAD = UUID(int=0)
_PROCESSING = in_status(Status.PROCESSING)
_TRIED = images.c.attempts - images.c.forgiven
_MAX_ATTEMPTS = bindparam("max_attempts", type_=Integer())
# What lies in an archive cannot be rendered: it waits, and costs no attempt, until somebody restores it.
READABLE = or_(images.c.storage_class.is_(None), ~archived(images.c.storage_class), images.c.restored_until > now())


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An image leased to a worker; `attempts` is the fencing token, `forgiven` of them were not the image's fault."""

    id: UUID
    original_key: str | None
    attempts: int
    forgiven: int
    bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How much is to be done, counted up to 10,000, and when the next lease or back-off runs out."""

    processing: int
    leased: int
    next_free_seconds: float | None


class Position:
    """How far a worker's claims have come: the next one begins there and not at the head of the queue.

    The head holds the index entries of rows already done, until a vacuum; skipping a million takes 14 ms (measured on
    Postgres 18). The position returns to the head every few seconds and whenever the queue ends, for rows that were
    given back, lapsed or came late. Not thread-safe.
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

    With a Position repeated claims are as fast in a queue of millions as in a short one.
    """
    position = position or Position()

    def lease(after: UUID, most: int) -> list[Claim]:
        values = {"lease_seconds": float(lease_seconds), "max_attempts": max_attempts, "after": after}
        claims = (Claim(**row._asdict()) for row in connection.execute(_claim(most), values))
        return sorted(claims, key=attrgetter("id"))

    after = position.after()
    claims = lease(after, limit)
    if len(claims) == limit:
        position.move(claims)
        return claims
    position.rewind()
    return claims if after == _HEAD else lease(_HEAD, limit - len(claims)) + claims


@cache
def _claim(limit: int) -> Update:
    """Lease the oldest free rows past `after`."""
    beyond = images.c.id > bindparam("after", type_=Id())
    unspent = _TRIED < _MAX_ATTEMPTS
    free = select(images.c.id).where(_PROCESSING, beyond, FREE, READABLE, unspent).order_by(images.c.id)
    # A CTE: Postgres may run a LIMIT subquery more than once. The limit stands in the SQL, for a plan that knows it.
    picked = free.limit(inline(limit)).with_for_update(skip_locked=True).cte("picked")
    return (
        update(images)
        .where(images.c.id == picked.c.id)
        .values(attempts=images.c.attempts + 1, leased_until=LEASE)
        .returning(*(images.c[field.name] for field in fields(Claim)))
    )


def fail_spent(connection: Connection, *, max_attempts: int, limit: int) -> list[UUID]:
    """Fail images at the head of the queue that used up their attempts and that nobody holds; returns their ids."""
    return sorted(connection.execute(_fail_spent(limit), {"max_attempts": max_attempts}).scalars())


@cache
def _fail_spent(limit: int) -> Update:
    """Fail free rows whose attempts are used up."""
    readable = select(images.c.id).where(_PROCESSING, READABLE).order_by(images.c.id)
    head = readable.limit(inline(HEAD_ROWS)).cte("head")
    spent = select(images.c.id).join(head, head.c.id == images.c.id).where(_PROCESSING, FREE, _TRIED >= _MAX_ATTEMPTS)
    picked = spent.limit(inline(limit)).with_for_update(skip_locked=True, of=images).cte("picked")
    reason = func.coalesce(images.c.error, "the worker died each time")
    error = literal("gave up after ", Text()) + cast(_TRIED, Text) + literal(" attempts: ", Text()) + reason
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
    columns = select(images.c.leased_until).where(_PROCESSING, READABLE).order_by(images.c.id)
    head = columns.limit(inline(HEAD_ROWS)).subquery("head")
    leased = case((head.c.leased_until > now(), head.c.leased_until))
    return select(func.count(), func.count(leased), seconds_until(func.min(leased))).select_from(head)


def awaiting_restore(connection: Connection) -> int:
    """How many of the first 10,000 processing images wait for their originals to be restored."""
    return connection.execute(_awaiting_restore()).scalar_one()


@cache
def _awaiting_restore() -> Select[int]:
    """Count those at the head of the queue that wait for a restore."""
    # Not `NOT readable`: that is NULL, not true, where nothing was ever restored.
    columns = select(case((READABLE, None), else_=1).label("waits")).where(_PROCESSING).order_by(images.c.id)
    head = columns.limit(inline(HEAD_ROWS)).subquery("head")
    return select(func.count(head.c.waits)).select_from(head)


def inline(number: int) -> ColumnElement[int]:
    """A number that stands in the SQL, for a plan that knows it."""
    return literal(number, Integer(), literal_execute=True)
