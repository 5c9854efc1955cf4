"""Look-ups for support: the newest images page by page, one image however it is named, and an image as a record."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import unquote
from uuid import UUID

from imgctl.errors import ImageMissing, KeyShapeError, UsageError
from imgctl.keys import parse_key
from imgctl.model import IMAGE_COLUMNS, Image, Status
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.lookups import PAGE_ROWS, Scope, find, newest


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Which images to list, newest first: a scope, a state, a file name, those behind an image (`before`), at most `limit`."""

    scope: Scope = field(default_factory=Scope)
    status: Status | None = None
    name: str | None = None
    before: UUID | None = None
    limit: int | None = None


def listed(catalog: Catalog, wanted: Listed) -> Iterator[Image]:
    """The images, newest first; read page by page, so that no transaction stays open while they are looked at."""
    left, before = wanted.limit, wanted.before
    while left is None or left > 0:
        size = PAGE_ROWS if left is None else min(left, PAGE_ROWS)
        with catalog.read() as connection:
            page = newest(connection, wanted.scope, status=wanted.status, name=wanted.name, before=before, limit=size)
        yield from page
        if len(page) < size:
            return
        before = page[-1].id
        left = None if left is None else left - size


def page_mark(catalog: Catalog, text: str) -> UUID:
    """The id behind which a page begins; a whole id need not be in the catalog any more."""
    try:
        return UUID(id_in(text))
    except ValueError:
        return find_image(catalog, text).id


def find_image(catalog: Catalog, text: str) -> Image:
    """The image with this id, an unambiguous beginning of one, one of its keys, or a URL of one of its blobs.

    ImageMissing when there is none, UsageError when there are several.
    """
    with catalog.read() as connection:
        found = find(connection, id_in(text))
    if not found:
        raise ImageMissing(f"no image {text}", hint="imgctl ls --user UUID lists a user's images")
    if len(found) > 1:
        raise UsageError(f"{text} begins more than one id", hint=f"write more of it: {found[0].id} or {found[1].id}?")
    return found[0]


def id_in(text: str) -> str:
    """The id that a key or the URL of a blob (CDN, signed, s3://, file://) names, or the text itself."""
    parts = unquote(re.split("[?#]", text)[0]).split("/")
    for start in range(len(parts)):
        try:
            return str(parse_key("/".join(parts[start:])).id)
        except KeyShapeError:
            continue
    return text


def record(image: Image) -> dict[str, str | int | None]:
    """Every column under its name: times in ISO 8601, ids and digests as text."""
    return {name: plain(getattr(image, name)) for name in IMAGE_COLUMNS}


def plain(value: object) -> str | int | None:
    """A value as JSON knows it: a time in ISO 8601, bytes in hex, an id as text."""
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if isinstance(value, datetime) else str(value)
