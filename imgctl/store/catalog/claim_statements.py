"""The SQL of the queue: built once, with the same text every time."""

from functools import cache

from sqlalchemy import (
    ColumnElement,
    Double,
    FromClause,
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
    update,
)
from sqlalchemy import cast as sql_cast

from imgctl.model import ARCHIVE_CLASSES, Status, StorageClass
from imgctl.store.catalog import batch
from imgctl.store.catalog.schema import images
from imgctl.store.catalog.types import Id, now, now_plus, seconds_until, status_literal

# Queues of millions are looked at from their head: the oldest rows are the ones that were tried.
HEAD_ROWS = 10_000

CLAIMED = ("id", "original_key", "attempts", "forgiven", "bytes", "content_type", "width", "height", "storage_class")
ID: batch.Columns = {"id": Id}
HOLD: batch.Columns = {"id": Id, "attempts": Integer}
FAILED: batch.Columns = {**HOLD, "error": Text}
GIVEN_BACK: batch.Columns = {**FAILED, "delay_seconds": Double, "refund": Integer}
FINISHED: batch.Columns = {
    **FAILED,
    "thumb_key": Text,
    "medium_key": Text,
    "full_key": Text,
    "width": Integer,
    "height": Integer,
    "recipe": Text,
}

_PROCESSING = images.c.status == status_literal(Status.PROCESSING)
_FREE = or_(images.c.leased_until.is_(None), images.c.leased_until < now())
_TRIED = images.c.attempts - images.c.forgiven
_MAX_ATTEMPTS = bindparam("max_attempts", type_=Integer())
_ARCHIVED = images.c.storage_class.in_([literal_column(f"'{name}'") for name in ARCHIVE_CLASSES])
# What lies in an archive cannot be rendered: it waits, and costs no attempt, until somebody restores it.
READABLE = or_(images.c.storage_class.is_(None), ~_ARCHIVED, images.c.restored_until > now())
_LEASE = now_plus(bindparam("lease_seconds", type_=Double()))


@cache
def claim(limit: int) -> Update:
    """Lease the oldest free rows past `after`."""
    beyond = images.c.id > bindparam("after", type_=Id())
    unspent = _TRIED < _MAX_ATTEMPTS
    free = select(images.c.id).where(_PROCESSING, beyond, _FREE, READABLE, unspent).order_by(images.c.id)
    # A CTE: Postgres may run a LIMIT subquery more than once. The limit stands in the SQL, for a plan that knows it.
    picked = free.limit(_inline(limit)).with_for_update(skip_locked=True).cte("picked")
    return (
        update(images)
        .where(images.c.id == picked.c.id)
        .values(attempts=images.c.attempts + 1, leased_until=_LEASE)
        .returning(*(images.c[name] for name in CLAIMED))
    )


@cache
def bury(limit: int) -> Update:
    """Fail free rows whose attempts are used up."""
    readable = select(images.c.id).where(_PROCESSING, READABLE).order_by(images.c.id)
    head = readable.limit(_inline(HEAD_ROWS)).cte("head")
    spent = select(images.c.id).join(head, head.c.id == images.c.id).where(_PROCESSING, _FREE, _TRIED >= _MAX_ATTEMPTS)
    picked = spent.limit(_inline(limit)).with_for_update(skip_locked=True, of=images).cte("picked")
    reason = func.coalesce(images.c.error, "the worker died each time")
    error = literal("gave up after ", Text()) + sql_cast(_TRIED, Text) + literal(" attempts: ", Text()) + reason
    return (
        update(images)
        .where(images.c.id == picked.c.id)
        .values(status=status_literal(Status.FAILED), leased_until=null(), error=error)
        .returning(images.c.id)
    )


@cache
def renew(dialect: str) -> Update:
    """Lengthen the leases of a batch of holds."""
    rows = batch.source(dialect, HOLD)
    held = _fenced(rows).where(images.c.leased_until.is_not(None))
    return held.values(leased_until=_LEASE).returning(images.c.id)


@cache
def finish(dialect: str) -> Update:
    """Turn a batch ready."""
    rows = batch.source(dialect, FINISHED)
    changes = {name: rows.c[name] for name in ("thumb_key", "medium_key", "full_key", "recipe", "error")}
    seen = {name: func.coalesce(rows.c[name], images.c[name]) for name in ("width", "height")}
    ready = {"status": status_literal(Status.READY), "leased_until": null()}
    return _fenced(rows).values(**changes, **seen, **ready).returning(images.c.id)


@cache
def fail(dialect: str) -> Update:
    """Turn a batch failed."""
    rows = batch.source(dialect, FAILED)
    changes = {"status": status_literal(Status.FAILED), "leased_until": null(), "error": rows.c.error}
    return _fenced(rows).values(**changes).returning(images.c.id)


@cache
def shelve(dialect: str) -> Update:
    """Let go of a batch that turned out to be archived, unblamed; it waits for a restore then."""
    rows = batch.source(dialect, FAILED)
    held = _fenced(rows).where(images.c.leased_until.is_not(None))
    # Which archive class it is nobody said: the next look at the store writes it down.
    storage_class = case((_ARCHIVED, images.c.storage_class), else_=literal(StorageClass.GLACIER.value))
    unreadable = {"storage_class": storage_class, "restored_until": null()}
    free = {"leased_until": null(), "forgiven": images.c.forgiven + 1, "error": rows.c.error}
    return held.values(**unreadable, **free).returning(images.c.id)


@cache
def give_back(dialect: str) -> Update:
    """Let go of a batch; a second time changes nothing where the row is free already."""
    rows = batch.source(dialect, GIVEN_BACK)
    held = _fenced(rows).where(images.c.leased_until.is_not(None))
    free_at = case((rows.c.delay_seconds > 0, now_plus(rows.c.delay_seconds)), else_=null())
    error = func.coalesce(rows.c.error, images.c.error)
    forgiven = images.c.forgiven + rows.c.refund
    return held.values(leased_until=free_at, error=error, forgiven=forgiven).returning(images.c.id)


@cache
def requeue(dialect: str) -> Update:
    """Put a batch back to processing with every attempt so far forgiven."""
    rows = batch.source(dialect, ID)
    settled = images.c.status.in_([status_literal(Status.READY), status_literal(Status.FAILED)])
    fresh = {"status": status_literal(Status.PROCESSING), "forgiven": images.c.attempts, "error": null()}
    return update(images).where(images.c.id == rows.c.id, settled).values(**fresh).returning(images.c.id)


@cache
def backlog() -> Select[int, int, float]:
    """Count the head of the queue and find its next lease to run out; what waits for a restore is not in it."""
    columns = select(images.c.leased_until).where(_PROCESSING, READABLE).order_by(images.c.id)
    head = columns.limit(_inline(HEAD_ROWS)).subquery("head")
    leased = case((head.c.leased_until > now(), head.c.leased_until))
    return select(func.count(), func.count(leased), seconds_until(func.min(leased))).select_from(head)


@cache
def awaiting_restore() -> Select[int]:
    """Count those at the head of the queue that wait for a restore."""
    # Not `NOT readable`: that is NULL, not true, where nothing was ever restored.
    columns = select(case((READABLE, None), else_=1).label("waits")).where(_PROCESSING).order_by(images.c.id)
    head = columns.limit(_inline(HEAD_ROWS)).subquery("head")
    return select(func.count(head.c.waits)).select_from(head)


def _fenced(rows: FromClause) -> Update:
    # Not by the lease's time: what lapsed but was claimed by nobody else is still good work.
    return update(images).where(images.c.id == rows.c.id, images.c.attempts == rows.c.attempts, _PROCESSING)


def _inline(number: int) -> ColumnElement[int]:
    return literal(number, Integer(), literal_execute=True)
