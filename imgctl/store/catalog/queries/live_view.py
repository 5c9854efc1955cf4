"""Queries of a live view, run every few seconds: the head of the queue and the newest rows, never the whole table.

Each statement reads at most 10,000 rows, by the primary key or by the index of the queue, for any table size.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, and_, case, func, select

from imgctl.model import Status
from imgctl.store.catalog.queries.claims import HEAD_ROWS, READABLE, inline
from imgctl.store.catalog.schema import POSTGRES, images, in_status, now, seconds_until

_PROCESSING = in_status(Status.PROCESSING)
RECENT_SECONDS = 60.0
# Limited before filtering: in a queue of millions no row may be leased, or all may be archived.
_HEAD = (
    select(
        images.c.id,
        images.c.leased_until,
        images.c.attempts,
        images.c.promised_at,
        case((READABLE, 0), else_=1).label("archived"),
    )
    .where(_PROCESSING)
    .order_by(images.c.id)
    .limit(inline(HEAD_ROWS))
    .subquery("head")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueHead:
    """The oldest 10,000 rows that are processing; times in seconds, None where there is no such row.

    `stuck` rows are older than the requested age and not leased; `archived` rows wait for a restore.
    """

    processing: int
    leased: int
    retried: int
    archived: int
    stuck: int
    oldest_seconds: float | None
    next_free_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Newest:
    """Counts of the newest 10,000 rows: by state, promised in the last minute (`recent`), and stuck uploads."""

    states: Mapping[Status, int]
    recent: int
    stuck: int
    oldest_seconds: float | None

    @property
    def a_second(self) -> float:
        """Promised images per second over the last minute; over a shorter time if more than 10,000 arrived."""
        full = sum(self.states.values()) >= HEAD_ROWS and self.oldest_seconds is not None
        seconds = min(self.oldest_seconds or 0.0, RECENT_SECONDS) if full else RECENT_SECONDS
        return self.recent / max(seconds, 1.0)


def queue_head(connection: Connection, *, stuck_seconds: float) -> QueueHead:
    """Read the head of the queue, by its index."""
    head = _HEAD
    leased = head.c.leased_until > now()
    waiting = and_(head.c.archived == 0, func.coalesce(head.c.leased_until, now()) <= now())
    age = -seconds_until(head.c.promised_at)
    count, held, retried, archived, stuck, oldest, free = connection.execute(
        select(
            func.count(),
            func.count(case((leased, 1))),
            func.count(case((and_(waiting, head.c.attempts > 0), 1))),
            func.sum(head.c.archived),
            func.count(case((and_(waiting, age > stuck_seconds), 1))),
            -seconds_until(func.min(head.c.promised_at)),
            seconds_until(func.min(case((leased, head.c.leased_until)))),
        ).select_from(head)
    ).one()
    return QueueHead(
        processing=count,
        leased=held,
        retried=retried,
        archived=archived or 0,
        stuck=stuck,
        oldest_seconds=oldest,
        next_free_seconds=free,
    )


def newest_rows(connection: Connection, *, stuck_seconds: float) -> Newest:
    """Read the newest rows, by the primary key."""
    columns = select(images.c.status, images.c.promised_at).order_by(images.c.id.desc()).limit(inline(HEAD_ROWS))
    head = columns.subquery("newest")
    age = -seconds_until(head.c.promised_at)
    found = connection.execute(
        select(
            head.c.status,
            func.count(),
            func.count(case((age < RECENT_SECONDS, 1))),
            func.count(case((age > stuck_seconds, 1))),
            -seconds_until(func.min(head.c.promised_at)),
        ).group_by(head.c.status)
    ).all()
    return Newest(
        states={status: count for status, count, *_ in found},
        recent=sum(recent for _, _, recent, _, _ in found),
        stuck=sum(stuck for status, _, _, stuck, _ in found if status is Status.UPLOADING),
        oldest_seconds=max((oldest for *_, oldest in found), default=None),
    )


def frontier(connection: Connection) -> UUID | None:
    """Return the id up to which workers have claimed: of the oldest waiting image, else of the newest image."""
    free = and_(_HEAD.c.archived == 0, func.coalesce(_HEAD.c.leased_until, now()) <= now())
    waiting = connection.execute(select(_HEAD.c.id).where(free).order_by(_HEAD.c.id).limit(inline(1))).scalar()
    return waiting or connection.execute(select(images.c.id).order_by(images.c.id.desc()).limit(inline(1))).scalar()


def leased_now(connection: Connection) -> set[UUID]:
    """Return the leased images at the head of the queue."""
    return set(connection.execute(select(_HEAD.c.id).where(_HEAD.c.leased_until > now())).scalars())


def ended_between(connection: Connection, after: UUID, until: UUID) -> set[UUID]:
    """Return the first 10,000 ready or failed images with `after` <= id < `until`."""
    ended = in_status(Status.READY, Status.FAILED)
    rows = select(images.c.id).where(images.c.id >= after, images.c.id < until, ended).order_by(images.c.id)
    return set(connection.execute(rows.limit(inline(HEAD_ROWS))).scalars())


def rows_about(connection: Connection) -> int:
    """Estimate the number of rows without counting: from the last ANALYZE (Postgres) or the last rowid (SQLite)."""
    if connection.dialect.name == POSTGRES:
        query = "SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = 'images'::regclass"
    else:
        query = "SELECT coalesce(max(rowid), 0) FROM images"
    return int(connection.exec_driver_sql(query).scalar_one())
