"""Reads rows for an audit: keys and an expected state to compare with a listing, and random samples of rows."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    literal_column,
    or_,
    select,
    text,
)

from imgctl.dates import AHEAD, FIRST_PHOTOGRAPH
from imgctl.model import Image, Status
from imgctl.store.catalog.queries.lookups import by_ids
from imgctl.store.catalog.schema import SQLITE, archived, images, in_status, now, now_plus

PAGE_ROWS = 2000
# The roles in byte order of their keys: with one prefix for all, and with a separate prefix for originals.
TOGETHER = ("full", "medium", "original", "thumb")
APART = ("full", "medium", "thumb", "original")

# The most rows a page of 8 KiB of Postgres can hold (MaxHeapTuplesPerPage), so that a row in any slot can be drawn.
_SLOTS = 291
_BATCH = 500
_OF_POSTGRES = text("SELECT id FROM images WHERE ctid = ANY(CAST(:places AS tid[]))").columns(images.c.id)
_OF_SQLITE = text("SELECT id FROM images WHERE rowid IN :places").bindparams(bindparam("places", expanding=True))
_BLOCKS = text("SELECT pg_relation_size('images') / current_setting('block_size')::int")
_ROWIDS = text("SELECT coalesce(max(rowid), 0) FROM images")


Line = Row[*tuple[object, ...]]


class State(IntEnum):
    """The keys that the listing must contain for a row."""

    PLAIN = 0
    """Each of its four keys."""
    BUSY = 1
    """None yet: the row is being uploaded or processed."""
    QUEUED = 2
    """The original."""
    LOOK = 3
    """Undetermined: the row itself must be checked, whatever is listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How rows are read: the order of roles, the time before which unfinished rows count as stuck, the required recipe.

    `listed_at` is when the listing was taken (None: it is live); rows promised later are not in it.
    """

    roles: Sequence[str] = TOGETHER
    stuck_before: datetime
    listed_at: datetime | None = None
    recipe: str | None = None


def lines(connection: Connection, reading: Reading, *, after: UUID, until: UUID | None) -> Sequence[Line]:
    """The next rows, `after` < id <= `until`: four keys in the order of roles, bytes, State, class, id as text."""
    query = _lines(reading).where(images.c.id > after).order_by(images.c.id).limit(PAGE_ROWS)
    if until is not None:
        query = query.where(images.c.id <= until)
    return connection.execute(query).all()


def split(connection: Connection, *, after: UUID, until: UUID | None, rows: int) -> UUID | None:
    """Return the id of the `rows`-th row after `after`, or None if there are fewer."""
    query = select(images.c.id).where(images.c.id > after).order_by(images.c.id).offset(rows - 1).limit(1)
    if until is not None:
        query = query.where(images.c.id <= until)
    return connection.execute(query).scalar()


def any_leased(connection: Connection) -> bool:
    """Whether a worker leases any row now."""
    leased = select(images.c.id).where(in_status(Status.PROCESSING), images.c.leased_until > now())
    return connection.execute(leased.limit(1)).first() is not None


def _lines(reading: Reading) -> Select[*tuple[object, ...]]:
    keys = [images.c[f"{role}_key"] for role in reading.roles]
    # As text: UUID objects made by the driver cost more than everything else here.
    return select(*keys, images.c.bytes, _state(reading), images.c.storage_class, cast(images.c.id, Text).label("id"))


def _state(reading: Reading) -> ColumnElement[int]:
    named = and_(*(images.c[f"{role}_key"].is_not(None) for role in reading.roles))
    current = [images.c.recipe == reading.recipe] if reading.recipe is not None else []
    young = images.c.promised_at > reading.stuck_before
    unlisted = [] if reading.listed_at is None else [(images.c.promised_at > reading.listed_at, _inline(State.BUSY))]
    warm = or_(images.c.storage_class.is_(None), ~archived(images.c.storage_class))
    latest = now_plus(AHEAD.total_seconds())
    unlikely = or_(images.c.uploaded_at > latest, images.c.taken_at > latest, images.c.taken_at < FIRST_PHOTOGRAPH)
    return case(
        (unlikely, _inline(State.LOOK)),
        (images.c.leased_until > now(), _inline(State.BUSY)),
        *unlisted,
        (and_(in_status(Status.READY), named, *current), _inline(State.PLAIN)),
        (and_(in_status(Status.UPLOADING), young), _inline(State.BUSY)),
        (and_(in_status(Status.PROCESSING), young, warm), _inline(State.QUEUED)),
        else_=_inline(State.LOOK),
    ).label("state")


def _inline(state: State) -> ColumnElement[int]:
    return literal_column(str(int(state)), Integer())


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """All row positions of the table: `blocks` of `slots` each. A row has exactly one position."""

    blocks: int
    slots: int

    def __len__(self) -> int:
        return self.blocks * self.slots


def places(connection: Connection) -> Places:
    """The row positions of the table as it is now; cheap for any table size."""
    if connection.dialect.name == SQLITE:
        return Places(blocks=int(connection.execute(_ROWIDS).scalar_one()), slots=1)
    return Places(blocks=int(connection.execute(_BLOCKS).scalar_one()), slots=_SLOTS)


def drawn(connection: Connection, found: Places, draw: random.Random) -> list[Image]:
    """Return the ready rows at 500 random positions, shuffled; far fewer than 500 where positions are empty.

    All positions, and so all rows, are equally likely: age, id and neighbours have no influence.
    """
    if not len(found):
        return []
    numbers = list(dict.fromkeys(draw.randrange(len(found)) for _ in range(_BATCH)))
    if connection.dialect.name == SQLITE:
        rows = connection.execute(_OF_SQLITE.columns(images.c.id), {"places": [number + 1 for number in numbers]})
    else:
        tids = [f"({number // found.slots},{number % found.slots + 1})" for number in numbers]
        rows = connection.execute(_OF_POSTGRES, {"places": tids})
    ids: Sequence[UUID] = rows.scalars().all()
    ready = [image for image in by_ids(connection, ids).values() if image.status is Status.READY]
    # The database returns rows in its own order; shuffled, because a caller that stops early sees only the first ones.
    ready.sort(key=lambda image: image.id)
    draw.shuffle(ready)
    return ready
