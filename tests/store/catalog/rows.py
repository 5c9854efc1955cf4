"""Rows for the catalog's tests."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

from sqlalchemy import Connection, func, select, update

from imgctl.keys import key_of, new_id
from imgctl.model import Image, NewImage, Status
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.claims import Claim
from imgctl.store.catalog.queries.reservations import confirm, promise
from imgctl.store.catalog.queries.results import Finished
from imgctl.store.catalog.schema import COLUMNS, images

USER = UUID("7f0c6d5e-0000-4000-8000-000000000001")
OTHER_USER = UUID("7f0c6d5e-0000-4000-8000-000000000002")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def new_image(number: int, *, user_id: UUID = USER, content: int | None = None) -> NewImage:
    """An image uploaded `number` seconds past NOON; its content is unique unless given."""
    at = NOON + timedelta(seconds=number)
    image_id = new_id(at)
    return NewImage(
        id=image_id,
        user_id=user_id,
        uploaded_at=at,
        original_key=key_of(image_id, "original", "jpg"),
        sha256=sha256(str(number if content is None else content).encode()).digest(),
        bytes=1000 + number,
        content_type="image/jpeg",
        width=4032,
        height=3024,
    )


def queued(catalog: Catalog, count: int) -> list[UUID]:
    """`count` images whose bytes are safe, in the order of their ids."""
    rows = [new_image(number) for number in range(count)]
    with catalog.write() as connection:
        promise(connection, rows)
        confirm(connection, [row.id for row in rows])
    return [row.id for row in rows]


def finished(claims: Sequence[Claim]) -> list[Finished]:
    """The results of a worker that rendered these claims."""
    return [
        Finished(
            id=one.id,
            attempts=one.attempts,
            thumb_key=key_of(one.id, "thumb", "jpg"),
            medium_key=key_of(one.id, "medium", "jpg"),
            full_key=key_of(one.id, "full", "jpg"),
            recipe="0123abcd",
        )
        for one in claims
    ]


def walk(connection: Connection) -> list[Image]:
    """Every row in the order of ids."""
    return [Image(**row._asdict()) for row in connection.execute(select(*COLUMNS).order_by(images.c.id))]


def counts(connection: Connection) -> dict[Status, int]:
    """Count the images in each state."""
    rows = connection.execute(select(images.c.status, func.count()).group_by(images.c.status))
    return dict.fromkeys(Status, 0) | {row[0]: row[1] for row in rows}


def requeue(connection: Connection, ids: Iterable[UUID]) -> None:
    """Set images back to `processing` and forgive their attempts."""
    fresh = {"status": Status.PROCESSING, "forgiven": images.c.attempts, "error": None}
    connection.execute(update(images).where(images.c.id.in_(tuple(ids))).values(**fresh))
