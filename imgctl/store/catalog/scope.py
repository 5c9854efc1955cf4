"""Which rows a command is about, read page by page: no cursor stays open, and nothing is held but one page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, func, select

from imgctl.keys import first_id, time_of
from imgctl.model import IMAGE_COLUMNS, Image
from imgctl.store.catalog.lookups import by_ids
from imgctl.store.catalog.schema import images

PAGE_ROWS = 1000

_COLUMNS = tuple(images.c[name] for name in IMAGE_COLUMNS)
_ZERO = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The rows of one user (None: of all), dated `since` or later and before `until`.

    `promised_before` is for ages: it asks the database's clock, where a date may be a camera's.
    """

    user_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    promised_before: datetime | None = None

    def holds(self, image: Image) -> bool:
        """Whether a row is one of them."""
        return (
            (self.user_id is None or image.user_id == self.user_id)
            and (self.since is None or image.uploaded_at >= self.since)
            and (self.until is None or image.uploaded_at < self.until)
            and (self.promised_before is None or image.promised_at < self.promised_before)
        )


def page(
    connection: Connection, scope: Scope, *, after: UUID = _ZERO, where: ColumnElement[bool] | None = None
) -> list[Image]:
    """The next rows of a scope behind `after`, a thousand at most, in the order of ids; `where` chooses among them."""
    query = _rows(scope, after)
    if where is not None:
        query = query.where(where)
    return [Image(**row._asdict()) for row in connection.execute(query.limit(PAGE_ROWS))]


def edge(connection: Connection, scope: Scope, *, after: UUID = _ZERO, rows: int) -> tuple[UUID | None, int]:
    """The id of the last of the next `rows` rows of a scope, and how many these are; None where the scope ends before.

    A bound for `page`'s search, so that no statement examines more however few rows are chosen.
    """
    ids = _rows(scope, after).with_only_columns(images.c.id)
    last = connection.execute(ids.offset(rows - 1).limit(1)).scalar()
    if last is not None:
        return last, rows
    return None, connection.execute(select(func.count()).select_from(ids.limit(rows).subquery())).scalar_one()


def tally(
    connection: Connection, scope: Scope, *, by: Sequence[ColumnElement[str | None]], where: ColumnElement[bool]
) -> list[tuple[tuple[str | None, ...], int]]:
    """How many of a scope's rows that `where` chooses have each combination of these columns; reads the whole scope."""
    rows = _user_page(scope, _ZERO) if scope.user_id else _page(scope, _ZERO)
    query = rows.where(where).order_by(None).with_only_columns(func.count(), *by).group_by(*by)
    return [(tuple(values), count) for count, *values in connection.execute(query)]


def named(connection: Connection, ids: Iterable[UUID], scope: Scope) -> list[Image]:
    """Those of the named images that exist and lie in the scope, in the order of ids."""
    return sorted((one for one in by_ids(connection, ids).values() if scope.holds(one)), key=lambda one: one.id)


def _rows(scope: Scope, after: UUID) -> Select[*tuple[object, ...]]:
    query = _user_page(scope, after) if scope.user_id else _page(scope, after)
    return query if scope.promised_before is None else query.where(images.c.promised_at < scope.promised_before)


def _page(scope: Scope, after: UUID) -> Select[*tuple[object, ...]]:
    # Ids are times: a range of days is a range of the primary key.
    query = select(*_COLUMNS).where(images.c.id > after).order_by(images.c.id)
    if scope.since is not None:
        query = query.where(images.c.id >= _first_id(scope.since))
    return query if scope.until is None else query.where(images.c.id < _first_id(scope.until))


def _user_page(scope: Scope, after: UUID) -> Select[*tuple[object, ...]]:
    query = select(*_COLUMNS).where(images.c.user_id == scope.user_id, images.c.id > after)
    starts = [moment for moment in (scope.since, None if after == _ZERO else time_of(after)) if moment is not None]
    if starts:
        query = query.where(images.c.uploaded_at >= max(starts))
    if scope.until is not None:
        query = query.where(images.c.uploaded_at < scope.until)
    # By time first: that is what the user's index is sorted by, and the ids of one user follow it.
    return query.order_by(images.c.uploaded_at, images.c.id)


def _first_id(at: datetime) -> UUID:
    # Ids know milliseconds: the first whole one that is not before `at`.
    return first_id(at + timedelta(microseconds=-at.microsecond % 1000))
