"""The rows as a work queue: claims, exhausted attempts and the backlog (law 3).

`forgiven` counts attempts that were not the image's fault; `max_attempts` limits `attempts - forgiven`.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache, lru_cache
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

# Only the head of a long queue is read: the oldest rows are the ones with attempts.
HEAD_ROWS = 10_000

_HEAD = UUID(int=0)
_PROCESSING = in_status(Status.PROCESSING)
_TRIED = images.c.attempts - images.c.forgiven
_MAX_ATTEMPTS = bindparam("max_attempts", type_=Integer())
# An archived original cannot be rendered: the row waits for a restore and uses up no attempts.
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
class Renderable:
    """The images that a worker can render: smaller than `below_bytes` (None: of any size), without these key endings."""

    below_bytes: int | None = None
    without: tuple[str, ...] = ()


EVERYTHING = Renderable()


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """The number of unfinished rows, counted up to 10,000, and when the next lease or back-off ends."""

    processing: int
    leased: int
    next_free_seconds: float | None


class Position:
    """The position of a worker in the queue: its next claim starts there and not at the head.

    The head contains index entries of finished rows until a vacuum; skipping a million takes 14 ms (measured on
    Postgres 18). The position returns to the head every few seconds and whenever the queue ends, for rows that were
    given back, lost their lease or arrived late. Not thread-safe.
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
        """The id after which the next claim starts."""
        if time.monotonic() - self._began >= self._rewind_seconds:
            self.rewind()
        return self._after

    def move(self, claims: Sequence[Claim]) -> None:
        """Advance past the claimed rows."""
        self._after = max(self._after, *(one.id for one in claims))


def claim(
    connection: Connection,
    *,
    limit: int,
    lease_seconds: float,
    max_attempts: int,
    position: Position | None = None,
    renderable: Renderable = EVERYTHING,
) -> list[Claim]:
    """Lease up to `limit` free images, oldest first, by the database's clock.

    With a Position, repeated claims are as fast in a queue of millions as in a short one.
    """
    position = position or Position()

    def lease(after: UUID, most: int) -> list[Claim]:
        values = {"lease_seconds": float(lease_seconds), "max_attempts": max_attempts, "after": after}
        claims = (Claim(**row._asdict()) for row in connection.execute(_claim(most, renderable), values))
        return sorted(claims, key=attrgetter("id"))

    after = position.after()
    claims = lease(after, limit)
    if len(claims) == limit:
        position.move(claims)
        return claims
    position.rewind()
    return claims if after == _HEAD else lease(_HEAD, limit - len(claims)) + claims


@lru_cache
def _claim(limit: int, renderable: Renderable) -> Update:
    """Lease the oldest free rows past `after`."""
    beyond = images.c.id > bindparam("after", type_=Id())
    unspent = _TRIED < _MAX_ATTEMPTS
    free = select(images.c.id).where(_PROCESSING, beyond, FREE, READABLE, unspent, *_within(renderable))
    free = free.order_by(images.c.id)
    # A CTE: Postgres may run a LIMIT subquery more than once. The limit is a literal in the SQL, visible to the planner.
    picked = free.limit(inline(limit)).with_for_update(skip_locked=True).cte("picked")
    return (
        update(images)
        .where(images.c.id == picked.c.id)
        .values(attempts=images.c.attempts + 1, leased_until=LEASE)
        .returning(*(images.c[field.name] for field in fields(Claim)))
    )


def _within(renderable: Renderable) -> list[ColumnElement[bool]]:
    """Return the conditions for rows that a worker can render; a row of unknown size may be of any."""
    smaller = [] if renderable.below_bytes is None else [images.c.bytes.between(1, renderable.below_bytes - 1)]
    return smaller + [~images.c.original_key.endswith(one, autoescape=True) for one in renderable.without]


def fail_spent(connection: Connection, *, max_attempts: int, limit: int) -> list[UUID]:
    """Fail free images at the head of the queue that have no attempts left; returns their ids."""
    return sorted(connection.execute(_fail_spent(limit), {"max_attempts": max_attempts}).scalars())


@cache
def _fail_spent(limit: int) -> Update:
    """Fail free rows that have no attempts left."""
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


def backlog(connection: Connection, renderable: Renderable = EVERYTHING) -> Backlog:
    """Return the unfinished work and the time until a leased row is free again; reads only the head of the queue."""
    processing, leased, seconds = connection.execute(_backlog(renderable)).one()
    return Backlog(processing=processing, leased=leased, next_free_seconds=seconds)


@lru_cache
def _backlog(renderable: Renderable) -> Select[int, int, float]:
    """Count the head of the queue and find the next lease to end; rows that wait for a restore are left out."""
    columns = select(images.c.leased_until).where(_PROCESSING, READABLE, *_within(renderable)).order_by(images.c.id)
    head = columns.limit(inline(HEAD_ROWS)).subquery("head")
    leased = case((head.c.leased_until > now(), head.c.leased_until))
    return select(func.count(), func.count(leased), seconds_until(func.min(leased))).select_from(head)


def awaiting_restore(connection: Connection) -> int:
    """Count the images that wait for a restore of their original, among the first 10,000 that are processing."""
    return connection.execute(_awaiting_restore()).scalar_one()


@cache
def _awaiting_restore() -> Select[int]:
    """Count the rows at the head of the queue that wait for a restore."""
    # Not `NOT readable`: that is NULL, not true, for rows that were never restored.
    columns = select(case((READABLE, None), else_=1).label("waits")).where(_PROCESSING).order_by(images.c.id)
    head = columns.limit(inline(HEAD_ROWS)).subquery("head")
    return select(func.count(head.c.waits)).select_from(head)


def inline(number: int) -> ColumnElement[int]:
    """Return a number as a literal in the SQL, visible to the planner."""
    return literal(number, Integer(), literal_execute=True)
