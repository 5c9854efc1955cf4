"""What the support desk asks the catalog: the newest images page by page, and sums over all of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Text,
    case,
    cast,
    func,
    literal,
    literal_column,
    select,
    tuple_,
)

from imgctl.keys import first_id, time_of
from imgctl.model import IMAGE_COLUMNS, Image, Status, StorageClass
from imgctl.store.catalog.lookups import by_id
from imgctl.store.catalog.names import POSTGRES
from imgctl.store.catalog.schema import images
from imgctl.store.catalog.scope import Scope
from imgctl.store.catalog.types import seconds_until, status_literal

PAGE_ROWS = 1000
_COLUMNS = tuple(images.c[name] for name in IMAGE_COLUMNS)
_WAITING = (Status.UPLOADING, Status.PROCESSING)


class By(StrEnum):
    """What sums are told apart by."""

    USER = "user"
    DAY = "day"
    STATUS = "status"
    CLASS = "class"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """One group of images: how many, in which states, the bytes of their originals, how long the oldest unfinished waits."""

    group: str
    images: int
    bytes: int
    states: Mapping[Status, int]
    backlog_seconds: float | None


def newest(
    connection: Connection,
    scope: Scope,
    *,
    status: Status | None = None,
    before: UUID | None = None,
    limit: int = PAGE_ROWS,
) -> list[Image]:
    """A page of a scope's images, newest first; `before` is the last one of the page before.

    One user's come from the user's index, all users' from the primary key backwards.
    """
    query = select(*_COLUMNS).where(*within(scope))
    if status is not None:
        query = query.where(images.c.status == status_literal(status))
    if before is not None:
        query = query.where(_behind(connection, scope, before))
    order = (images.c.uploaded_at.desc(), images.c.id.desc()) if scope.user_id else (images.c.id.desc(),)
    found = connection.execute(query.order_by(*order).limit(limit))
    return [Image(**row._asdict()) for row in found]


def sums(connection: Connection, scope: Scope, *, by: By | None = None) -> Iterator[Sum]:
    """One aggregate over a scope, in groups; days come in their order, other groups largest first."""
    waiting = images.c.status.in_([status_literal(one) for one in _WAITING])
    states = [func.count(case((images.c.status == status_literal(one), 1))).label(one) for one in Status]
    query: Select[*tuple[object, ...]] = select(
        _group(connection.dialect.name, by).label("name"),
        func.count().label("total"),
        cast(func.coalesce(func.sum(images.c.bytes), 0), BigInteger).label("weight"),
        (-seconds_until(func.min(case((waiting, images.c.promised_at))))).label("age"),
        *states,
    ).where(*within(scope))
    if by is not None:
        # By its place: a parameter in the expression would make it another one.
        place: ColumnElement[str] = literal_column("1")
        query = query.group_by(place).order_by(*((place,) if by is By.DAY else (literal_column("2").desc(), place)))
    for row in connection.execute(query):
        found = row._asdict()
        yield Sum(
            group=found["name"],
            images=found["total"],
            bytes=found["weight"],
            states={one: found[one] for one in Status},
            backlog_seconds=None if found["age"] is None else max(0.0, found["age"]),
        )


def within(scope: Scope) -> list[ColumnElement[bool]]:
    """What a row must fulfil to be in a scope, said so that the index that has its order serves."""
    aged = [] if scope.promised_before is None else [images.c.promised_at < scope.promised_before]
    if scope.user_id is not None:
        found = [*aged, images.c.user_id == scope.user_id]
        found += [] if scope.since is None else [images.c.uploaded_at >= scope.since]
        return found if scope.until is None else [*found, images.c.uploaded_at < scope.until]
    # Ids are times: a range of days is a range of the primary key.
    found = aged if scope.since is None else [*aged, images.c.id >= _first_id(scope.since)]
    return found if scope.until is None else [*found, images.c.id < _first_id(scope.until)]


def _first_id(at: datetime) -> UUID:
    # Ids know milliseconds: the first whole one that is not before `at`.
    return first_id(at + timedelta(microseconds=-at.microsecond % 1000))


def _behind(connection: Connection, scope: Scope, before: UUID) -> ColumnElement[bool]:
    if not scope.user_id:
        return images.c.id < before
    row = by_id(connection, before)
    moment: datetime = time_of(before) if row is None else row.uploaded_at
    return tuple_(images.c.uploaded_at, images.c.id) < (moment, before)


def _group(dialect: str, by: By | None) -> ColumnElement[str]:
    match by:
        case By.USER:
            return cast(images.c.user_id, Text)
        case By.DAY if dialect == POSTGRES:
            return func.to_char(func.timezone("UTC", images.c.uploaded_at), "YYYY-MM-DD")
        case By.DAY:
            return func.substr(images.c.uploaded_at, 1, 10, type_=Text())
        case By.STATUS:
            return cast(images.c.status, Text)
        case By.CLASS:
            return func.coalesce(images.c.storage_class, literal(str(StorageClass.STANDARD), Text()))
        case None:
            return literal("all", Text())
