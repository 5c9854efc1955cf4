"""Reading rows: one image, one user's, all of them in the one order."""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cache
from uuid import UUID

from sqlalchemy import Connection, Row, Select, func, select, tuple_

from imgctl.model import IMAGE_COLUMNS, Image, Status
from imgctl.store.catalog import batch
from imgctl.store.catalog.schema import images
from imgctl.store.catalog.types import Id, now

_COLUMNS = tuple(images.c[name] for name in IMAGE_COLUMNS)
_ID: batch.Columns = {"id": Id}
_PAGE = 1000
_ABBREVIATED = re.compile(r"[0-9a-f]{1,32}")


def by_id(connection: Connection, image_id: UUID) -> Image | None:
    """The image with this id, or None."""
    row = connection.execute(select(*_COLUMNS).where(images.c.id == image_id)).first()
    return None if row is None else _image(row)


def by_ids(connection: Connection, ids: Iterable[UUID]) -> dict[UUID, Image]:
    """Those of the images that exist, by their ids; a statement whatever their number."""
    dialect = connection.dialect.name
    values = batch.parameters(dialect, _ID, ([one] for one in ids))
    return {row.id: row for row in map(_image, connection.execute(_by_ids(dialect), values))}


def find(connection: Connection, text: str) -> list[Image]:
    """The images whose id begins so (dashes and case don't matter), two at most: more than one is ambiguous."""
    digits = text.strip().replace("-", "").lower()
    if not _ABBREVIATED.fullmatch(digits):
        return []
    first, last = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
    query = select(*_COLUMNS).where(images.c.id.between(first, last)).order_by(images.c.id).limit(2)
    return [_image(row) for row in connection.execute(query)]


def list_user(
    connection: Connection,
    *,
    user_id: UUID,
    limit: int | None = None,
    since: datetime | None = None,
    before: tuple[datetime, UUID] | None = None,
) -> Iterator[Image]:
    """One user's images, newest first; `since` is included, `before` is where the last page ended and is not."""
    query = select(*_COLUMNS).where(images.c.user_id == user_id)
    if since is not None:
        query = query.where(images.c.uploaded_at >= since)
    if before is not None:
        query = query.where(tuple_(images.c.uploaded_at, images.c.id) < before)
    return _stream(connection, query.order_by(images.c.uploaded_at.desc(), images.c.id.desc()).limit(limit))


def walk(
    connection: Connection, *, after: UUID | None = None, until: UUID | None = None, limit: int | None = None
) -> Iterator[Image]:
    """Every image in the order of ids, which is that of times and keys: `after` < id <= `until`."""
    query = select(*_COLUMNS).order_by(images.c.id).limit(limit)
    if after is not None:
        query = query.where(images.c.id > after)
    if until is not None:
        query = query.where(images.c.id <= until)
    return _stream(connection, query)


def counts(connection: Connection) -> dict[Status, int]:
    """How many images are in each state; reads the whole table."""
    rows = connection.execute(select(images.c.status, func.count()).group_by(images.c.status))
    return dict.fromkeys(Status, 0) | {row[0]: row[1] for row in rows}


def clock(connection: Connection) -> datetime:
    """What time the database has, aware UTC: the clock that leases run by."""
    return connection.execute(select(now())).scalar_one()


@cache
def _by_ids(dialect: str) -> Select[*tuple[object, ...]]:
    rows = batch.source(dialect, _ID)
    return select(*_COLUMNS).where(images.c.id == rows.c.id)


def _stream(connection: Connection, query: Select[*tuple[object, ...]]) -> Iterator[Image]:
    # A cursor on the server: nothing is held but one page.
    with connection.execute(query, execution_options={"yield_per": _PAGE}) as rows:
        for row in rows:
            yield _image(row)


def _image(row: Row[*tuple[object, ...]]) -> Image:
    return Image(**row._asdict())
