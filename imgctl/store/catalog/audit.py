"""The rows as an audit compares them with a listing: keys and a verdict of the database, nothing that costs to decode."""

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
    case,
    cast,
    literal_column,
    or_,
    select,
)

from imgctl.dates import AHEAD, FIRST_PHOTOGRAPH
from imgctl.model import ARCHIVE_CLASSES, Status
from imgctl.store.catalog.schema import images
from imgctl.store.catalog.types import now, now_plus, status_literal

PAGE_ROWS = 2000
# The roles in byte order of their keys: under one prefix, and with the originals under their own.
TOGETHER = ("full", "medium", "original", "thumb")
APART = ("full", "medium", "thumb", "original")

Line = Row[*tuple[object, ...]]


class State(IntEnum):
    """What the listing must show for a row."""

    PLAIN = 0
    """Each of its four keys."""
    BUSY = 1
    """Nothing yet: somebody is at it."""
    QUEUED = 2
    """The original."""
    LOOK = 3
    """Whatever it shows, the row itself must be looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How rows are read: the order of their roles, since when rows are not yet stuck, the recipe they must have.

    `listed_at` is when the listing was taken (None: it is live); it cannot know of rows promised later.
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
    """The id `rows` rows behind `after`, or None where there are fewer."""
    query = select(images.c.id).where(images.c.id > after).order_by(images.c.id).offset(rows - 1).limit(1)
    if until is not None:
        query = query.where(images.c.id <= until)
    return connection.execute(query).scalar()


def any_leased(connection: Connection) -> bool:
    """Whether some worker holds a row at this moment."""
    leased = select(images.c.id).where(
        images.c.status == status_literal(Status.PROCESSING), images.c.leased_until > now()
    )
    return connection.execute(leased.limit(1)).first() is not None


def _lines(reading: Reading) -> Select[*tuple[object, ...]]:
    keys = [images.c[f"{role}_key"] for role in reading.roles]
    # Left to the driver, an id would become an object, which costs more than all the rest.
    return select(*keys, images.c.bytes, _state(reading), images.c.storage_class, cast(images.c.id, Text).label("id"))


def _state(reading: Reading) -> ColumnElement[int]:
    ready = images.c.status == status_literal(Status.READY)
    named = and_(*(images.c[f"{role}_key"].is_not(None) for role in reading.roles))
    current = [images.c.recipe == reading.recipe] if reading.recipe is not None else []
    young = images.c.promised_at > reading.stuck_before
    unlisted = [] if reading.listed_at is None else [(images.c.promised_at > reading.listed_at, _inline(State.BUSY))]
    warm = or_(
        images.c.storage_class.is_(None),
        images.c.storage_class.not_in(ARCHIVE_CLASSES),
    )
    latest = now_plus(AHEAD.total_seconds())
    unlikely = or_(images.c.uploaded_at > latest, images.c.taken_at > latest, images.c.taken_at < FIRST_PHOTOGRAPH)
    return case(
        (unlikely, _inline(State.LOOK)),
        (images.c.leased_until > now(), _inline(State.BUSY)),
        *unlisted,
        (and_(ready, named, *current), _inline(State.PLAIN)),
        (and_(images.c.status == status_literal(Status.UPLOADING), young), _inline(State.BUSY)),
        (and_(images.c.status == status_literal(Status.PROCESSING), young, warm), _inline(State.QUEUED)),
        else_=_inline(State.LOOK),
    ).label("state")


def _inline(state: State) -> ColumnElement[int]:
    return literal_column(str(int(state)), Integer())
