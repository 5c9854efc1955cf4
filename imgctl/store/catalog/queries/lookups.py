"""Reads rows by id, or page by page within a scope: no cursor stays open and only one page is in memory."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, FromClause, Select, case, false, func, or_, select, tuple_

from imgctl.dates import EPOCH
from imgctl.keys import FIRST, first_id, time_of
from imgctl.model import Image, Status
from imgctl.store.catalog import batch
from imgctl.store.catalog.queries.find import EVERYTHING, Sought, conditions, plain
from imgctl.store.catalog.schema import COLUMNS, digest, images, now, status_literal

PAGE_ROWS = 1000

NEAR_ROWS = 10_000
"""The number of an owner's rows searched on either side of an image for others of the same exposure."""
_MOST_ALIKE = 20
_FIRST_MOMENT, _LAST_MOMENT = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_ABBREVIATED = re.compile(r"[0-9a-f]{1,32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The rows of one user (None: of all), dated `since` or later and before `until`.

    `promised_before` selects by age, in database time; dates may come from a camera.
    """

    user_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    promised_before: datetime | None = None

    def holds(self, image: Image) -> bool:
        """Whether the image is in the scope."""
        return (
            (self.user_id is None or image.user_id == self.user_id)
            and (self.since is None or image.uploaded_at >= self.since)
            and (self.until is None or image.uploaded_at < self.until)
            and (self.promised_before is None or image.promised_at < self.promised_before)
        )


def within(scope: Scope) -> list[ColumnElement[bool]]:
    """Return the conditions of a scope, in the form that the index for its order needs."""
    found = [] if scope.promised_before is None else [images.c.promised_at < scope.promised_before]
    if scope.user_id is not None:
        found.append(images.c.user_id == scope.user_id)
        found += [] if scope.since is None else [images.c.uploaded_at >= scope.since]
        return found if scope.until is None else [*found, images.c.uploaded_at < scope.until]
    # Ids are times: a range of days is a range of the primary key.
    found += [] if scope.since is None else [images.c.id >= _first_id(scope.since)]
    return found if scope.until is None else [*found, images.c.id < _first_id(scope.until)]


def by_id(connection: Connection, image_id: UUID) -> Image | None:
    """Return the image with this id, or None."""
    return next(iter(_images(connection, select(*COLUMNS).where(images.c.id == image_id))), None)


def by_ids(connection: Connection, ids: Iterable[UUID]) -> dict[UUID, Image]:
    """Return the existing images among these ids; one statement for any number."""
    return {row.id: Image(**row._asdict()) for row in batch.run(connection, _by_ids, batch.Ref, batch.refs(ids))}


def _by_ids(rows: FromClause) -> Select[*tuple[object, ...]]:
    return select(*COLUMNS).where(images.c.id == rows.c.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """A content (SHA-256) of one owner."""

    user_id: UUID
    sha256: bytes


def by_content(connection: Connection, owned: Iterable[Owned]) -> dict[Owned, Image]:
    """Return the existing contents with their images; one statement for any number."""
    found = batch.run(connection, _by_content, Owned, owned, order=("user_id", "sha256"))
    images_found = (Image(**row._asdict()) for row in found)
    return {Owned(user_id=one.user_id, sha256=one.sha256 or b""): one for one in images_found}


def _by_content(rows: FromClause) -> Select[*tuple[object, ...]]:
    same = digest(images.c.sha256) == digest(rows.c.sha256)
    return select(*COLUMNS).where(images.c.user_id == rows.c.user_id, same)


def named(connection: Connection, ids: Iterable[UUID], scope: Scope) -> list[Image]:
    """Return the existing images among these ids that are in the scope, in the order of ids."""
    return sorted((one for one in by_ids(connection, ids).values() if scope.holds(one)), key=lambda one: one.id)


def find(connection: Connection, text: str) -> list[Image]:
    """Return images whose id begins with a text (ignoring dashes and case); two at most: more than one is ambiguous."""
    query = select(*COLUMNS).where(begins_with(images.c.id, text)).order_by(images.c.id)
    return _images(connection, query.limit(2))


def begins_with(column: ColumnElement[UUID], text: str) -> ColumnElement[bool]:
    """Whether an id begins with a text (ignoring dashes and case); an invalid text matches no id."""
    digits = text.strip().replace("-", "").lower()
    if not _ABBREVIATED.fullmatch(digits):
        return false()
    return column.between(UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f")))


def page(
    connection: Connection, scope: Scope, *, after: UUID = FIRST, where: ColumnElement[bool] | None = None
) -> list[Image]:
    """Return the next rows of a scope after `after`, up to a thousand, in the order of ids, filtered by `where`."""
    query = _behind(scope, after)
    return _images(connection, (query if where is None else query.where(where)).limit(PAGE_ROWS))


def edge(connection: Connection, scope: Scope, *, after: UUID = FIRST, rows: int) -> tuple[UUID | None, int]:
    """Return the id of the last of the next `rows` rows of a scope, and their number; None if the scope ends before.

    An upper bound for `page`, so that one statement examines no more rows even if few match.
    """
    ids = _behind(scope, after).with_only_columns(images.c.id)
    last = connection.execute(ids.offset(rows - 1).limit(1)).scalar()
    if last is not None:
        return last, rows
    return None, connection.execute(select(func.count()).select_from(ids.limit(rows).subquery())).scalar_one()


def newest(
    connection: Connection,
    scope: Scope,
    *,
    sought: Sought = EVERYTHING,
    before: UUID | None = None,
    limit: int = PAGE_ROWS,
) -> list[Image]:
    """Return a page of a scope's images that match `sought`, newest first; `before` is the last id of the previous page.

    Served by the user's index for one user, else by the primary key in reverse; a search by name, content or capture
    time is served by the index for it.
    """
    query = select(*COLUMNS).where(*within(scope), *conditions(sought, scope.user_id, dialect=connection.dialect.name))
    if before is not None and scope.user_id:
        row = by_id(connection, before)
        moment: datetime = time_of(before) if row is None else row.uploaded_at
        query = query.where(tuple_(images.c.uploaded_at, images.c.id) < (moment, before))
    elif before is not None:
        query = query.where(images.c.id < before)
    order = (images.c.uploaded_at.desc(), images.c.id.desc()) if scope.user_id else (images.c.id.desc(),)
    return _images(connection, query.order_by(*order).limit(limit))


def clock(connection: Connection) -> datetime:
    """Return the database's time, aware UTC: the clock for leases."""
    return connection.execute(select(now())).scalar_one()


def _behind(scope: Scope, after: UUID) -> Select[*tuple[object, ...]]:
    query = select(*COLUMNS).where(*within(scope), images.c.id > after)
    if scope.user_id is None:
        return query.order_by(images.c.id)
    if after != FIRST:
        query = query.where(images.c.uploaded_at >= time_of(after))
    # By time first: the user's index is sorted by it, and the ids of one user follow it.
    return query.order_by(images.c.uploaded_at, images.c.id)


def _images(connection: Connection, query: Select[*tuple[object, ...]]) -> list[Image]:
    return [Image(**row._asdict()) for row in connection.execute(query)]


def alike(connection: Connection, image: Image, *, stem: str, seconds: float) -> list[Image]:
    """Return the owner's other images with this file name without extension, then those taken within `seconds`; 20 at most.

    Names and capture times have no index: at most NEAR_ROWS of the owner's rows on either side by `uploaded_at` are read.
    """
    sides = [_alike(image, stem, seconds, later=later) for later in (False, True)]
    found = [one for side in sides for one in _images(connection, side)]
    beginning = f"{stem}.".casefold()

    def distance(one: Image) -> tuple[bool, timedelta]:
        return not (one.name or "").casefold().startswith(beginning), abs(one.uploaded_at - image.uploaded_at)

    return sorted(found, key=distance)[:_MOST_ALIKE]


def _alike(image: Image, stem: str, seconds: float, *, later: bool) -> Select[*tuple[object, ...]]:
    at = images.c.uploaded_at
    side = at >= image.uploaded_at if later else at < image.uploaded_at
    rows = select(*COLUMNS).where(images.c.user_id == image.user_id, side)
    near = rows.order_by(at if later else at.desc()).limit(NEAR_ROWS).subquery()
    named = near.c.name.ilike(f"{plain(stem)}.%", escape="\\") if stem else false()
    together: ColumnElement[bool] = false()
    if image.taken_at is not None:
        apart = timedelta(seconds=seconds)
        # Clamped to the range of datetime.
        first, last = (
            max(_FIRST_MOMENT + apart, image.taken_at) - apart,
            min(_LAST_MOMENT - apart, image.taken_at) + apart,
        )
        together = near.c.taken_at.between(first, last)
    safe = near.c.status != status_literal(Status.UPLOADING)
    query = select(near).where(near.c.id != image.id, safe, or_(named, together))
    nearest = near.c.uploaded_at if later else near.c.uploaded_at.desc()
    return query.order_by(case((named, 0), else_=1), nearest).limit(_MOST_ALIKE)


def some_ids(connection: Connection, first: UUID, last: UUID, *, limit: int) -> Iterator[UUID]:
    """Yield the newest ids between `first` and `last`."""
    query = select(images.c.id).where(images.c.id.between(first, last)).order_by(images.c.id.desc()).limit(limit)
    yield from connection.execute(query).scalars()


def some_users(connection: Connection, first: UUID, last: UUID, *, limit: int) -> Iterator[UUID]:
    """Yield users between `first` and `last` by id; one index lookup each, for any number of images."""
    for _ in range(limit):
        query = (
            select(images.c.user_id).where(images.c.user_id.between(first, last)).order_by(images.c.user_id).limit(1)
        )
        user = connection.execute(query).scalar()
        if user is None or user == last:
            return
        yield user
        first = UUID(int=user.int + 1)


def _first_id(at: datetime) -> UUID:
    # Ids hold milliseconds since 1970: round `at` up to the next whole one.
    is_between = at > EPOCH and at.microsecond % 1000 != 0
    return UUID(int=first_id(at).int + (is_between << 80))
