"""A stock of ready images with tiny blobs, stored without rendering."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

from sqlalchemy import update

from imgctl.keys import key_of, new_id
from imgctl.model import Image, NewImage, Status, Variant
from imgctl.store.blobs.base import BlobStore
from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.queries.reservations import confirm, promise
from imgctl.store.catalog.schema import images
from imgctl.store.catalog.upgrade import upgrade
from tests.whole.deployment import USER, Deployment

BEGINNING = datetime(2024, 5, 1, tzinfo=UTC)
SIZE = 300 * 1024
EXTENSION = "jpg"


def content(number: int, *, size: int = SIZE) -> bytes:
    """Return the bytes of an original, unique for each number."""
    return f"original {number} ".encode() * (size // 16) + b"\0" * (size - len(f"original {number} ") * (size // 16))


def new_image(number: int, data: bytes, *, user_id: UUID = USER) -> NewImage:
    """Return a row for these bytes, uploaded `number` minutes after the start."""
    at = BEGINNING + timedelta(minutes=number)
    image_id = new_id(at)
    return NewImage(
        id=image_id,
        user_id=user_id,
        uploaded_at=at,
        original_key=key_of(image_id, "original", EXTENSION),
        sha256=sha256(data).digest(),
        bytes=len(data),
        content_type="image/jpeg",
        width=640,
        height=480,
    )


def stock(deployment: Deployment, count: int, *, first: int = 0, size: int = SIZE, user_id: UUID = USER) -> list[Image]:
    """Store ready images with all their blobs; return all rows."""
    store, rows = deployment.open_store(), []
    for number in range(first, first + count):
        data = content(number, size=size)
        rows.append(new_image(number, data, user_id=user_id))
        store.create(rows[-1].original_key, data, content_type="image/jpeg")
    _make_ready(deployment, rows, store)
    return deployment.images()


def _make_ready(deployment: Deployment, rows: list[NewImage], store: BlobStore) -> None:
    keys = {row.id: {variant: key_of(row.id, variant, EXTENSION) for variant in Variant} for row in rows}
    for key in (key for named in keys.values() for key in named.values()):
        store.replace(key, b"variant", content_type="image/jpeg")
    catalog = open_catalog(deployment.catalog_url)
    upgrade(catalog)
    with catalog.write() as connection:
        promise(connection, rows)
        confirm(connection, [row.id for row in rows])
        for row in rows:
            named = {f"{variant}_key": key for variant, key in keys[row.id].items()}
            ready = update(images).where(images.c.id == row.id)
            values = {"status": Status.READY, "recipe": "01234567", "promised_at": row.uploaded_at}
            connection.execute(ready.values(**values, **named))
    catalog.close()
