"""Look-ups for support: the newest images page by page, one image however it is named, and an image as a record."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import unquote
from uuid import UUID

from imgctl.errors import ImageMissing, KeyShapeError, UsageError
from imgctl.keys import parse_key
from imgctl.model import IMAGE_COLUMNS, Image
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.erased import Erasure, find_erased
from imgctl.store.catalog.find import EVERYTHING, Sought, unindexed
from imgctl.store.catalog.lookups import PAGE_ROWS, Scope, find, newest


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Which images to list, newest first: a scope, what is sought, those behind an image (`before`), at most `limit`."""

    scope: Scope = field(default_factory=Scope)
    sought: Sought = EVERYTHING
    before: UUID | None = None
    limit: int | None = None


def listed(catalog: Catalog, wanted: Listed) -> Iterator[Image]:
    """The images, newest first; read page by page, so that no transaction stays open while they are looked at."""
    left, before = wanted.limit, wanted.before
    while left is None or left > 0:
        size = PAGE_ROWS if left is None else min(left, PAGE_ROWS)
        with catalog.read() as connection:
            page = newest(connection, wanted.scope, sought=wanted.sought, before=before, limit=size)
        yield from page
        if len(page) < size:
            return
        before = page[-1].id
        left = None if left is None else left - size


def sought_by(catalog: Catalog, text: str) -> Sought:
    """What a text names: a content by its SHA-256, an image by its id, a key or a URL, else a file by its name.

    A name without wildcards stands for all that begin with it.
    """
    if re.fullmatch("[0-9a-fA-F]{64}", text):
        return Sought(sha256=bytes.fromhex(text))
    named = id_in(text)
    if named != text or re.fullmatch("[0-9a-fA-F-]{8,36}", text):
        with catalog.read() as connection:
            found = find(connection, named)
        if found:
            return Sought(id=found[0].id)
    return Sought(name=pattern(text))


def pattern(name: str) -> str:
    """The pattern of file names that a text stands for: as it is where it has wildcards, else all that begin with it."""
    return name if set("*?") & set(name) else f"{name}*"


def check_indexed(catalog: Catalog, sought: Sought, scope: Scope, *, agreed: bool) -> str:
    """What no index answers, to be said; UsageError where everybody's rows would be read and nobody `agreed` to that."""
    with catalog.read() as connection:
        what = unindexed(connection, sought, scope.user_id)
    if what and not agreed and (scope.user_id, scope.since, scope.until) == (None, None, None):
        hint = (
            "--user, --since, or --all-users to read them all; [find] index = true and imgctl init build more indexes"
        )
        raise UsageError(f"no index covers {what}: every row of every user would be read", hint=hint)
    return what


def page_mark(catalog: Catalog, text: str) -> UUID:
    """The id that a text names; a whole one need not be in the catalog any more, of others an erased image's will do."""
    try:
        return UUID(id_in(text))
    except ValueError:
        pass
    try:
        return find_image(catalog, text).id
    except ImageMissing:
        if (gone := _erased(catalog, text)) is None:
            raise
        return gone.id


def find_image(catalog: Catalog, text: str) -> Image:
    """The image with this id, an unambiguous beginning of one, one of its keys, or a URL of one of its blobs.

    ImageMissing when there is none, UsageError when there are several.
    """
    with catalog.read() as connection:
        found = find(connection, id_in(text))
    if not found:
        raise _missing(catalog, text)
    if len(found) > 1:
        raise UsageError(f"{text} begins more than one id", hint=f"write more of it: {found[0].id} or {found[1].id}?")
    return found[0]


def _missing(catalog: Catalog, text: str) -> ImageMissing:
    """Why there is no such image: that it was erased, where it was."""
    gone = _erased(catalog, text)
    if gone is None:
        return ImageMissing(f"no image {text}", hint="imgctl find --user UUID lists a user's images")
    return ImageMissing(gone.line, hint="see its receipt" if gone.erased_at else "imgctl erase --unfinished")


def _erased(catalog: Catalog, text: str) -> Erasure | None:
    with catalog.read() as connection:
        found = find_erased(connection, id_in(text))
    return found[0] if len(found) == 1 else None


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
