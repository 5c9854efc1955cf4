"""Look-ups for support: one user's images, one image by its id, and an image as a record."""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from imgctl.errors import ImageMissing, KeyShapeError, UsageError
from imgctl.keys import parse_key
from imgctl.model import IMAGE_COLUMNS, Image
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.lookups import find, list_user


def images_of(catalog: Catalog, user_id: UUID, *, since: datetime | None, limit: int | None) -> Iterator[Image]:
    """One user's images, newest first."""
    with catalog.read() as connection:
        yield from list_user(connection, user_id=user_id, since=since, limit=limit)


def find_image(catalog: Catalog, text: str) -> Image:
    """The image with this id, an unambiguous beginning of one, or one of its keys; ImageMissing when there is none, UsageError when
    there are several."""
    with catalog.read() as connection:
        found = find(connection, _id_in(text))
    if not found:
        raise ImageMissing(f"no image {text}", hint="imgctl ls --user UUID lists a user's images")
    if len(found) > 1:
        raise UsageError(f"{text} begins more than one id", hint=f"write more of it: {found[0].id} or {found[1].id}?")
    return found[0]


def record(image: Image) -> dict[str, str | int | None]:
    """Every column under its name: times in ISO 8601, ids and digests as text."""
    return {name: _plain(getattr(image, name)) for name in IMAGE_COLUMNS}


def _id_in(text: str) -> str:
    for start in range(text.count("/") + 1):
        try:
            return str(parse_key("/".join(text.split("/")[start:])).id)
        except KeyShapeError:
            continue
    return text


def _plain(value: object) -> str | int | None:
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if isinstance(value, datetime) else str(value)
