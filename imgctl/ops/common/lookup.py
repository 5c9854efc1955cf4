"""Look-ups for support: the newest images page by page, one image by id, key or URL, and an image as a record."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from tempfile import TemporaryFile
from urllib.parse import unquote
from uuid import UUID

from imgctl.errors import ImageMissing, KeyShapeError, UsageError
from imgctl.keys import parse_key
from imgctl.model import IMAGE_COLUMNS, Image
from imgctl.pricing.lines import as_json
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.aggregates import By, Group, groups
from imgctl.store.catalog.queries.erased import Erasure, find_erased
from imgctl.store.catalog.queries.find import EVERYTHING, Sought, unindexed
from imgctl.store.catalog.queries.lookups import PAGE_ROWS, Scope, find, newest


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Which images to list, newest first: a scope, a search, those older than the image `before`, at most `limit`."""

    scope: Scope = field(default_factory=Scope)
    sought: Sought = EVERYTHING
    before: UUID | None = None
    limit: int | None = None


def listed(catalog: Catalog, wanted: Listed) -> Iterator[Image]:
    """Yield the images, newest first; read page by page, so that no transaction stays open meanwhile."""
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


@contextmanager
def grouped(catalog: Catalog, scope: Scope, *, by: By | None) -> Iterator[Iterator[Group]]:
    """Open the groups of a scope; they wait in a temporary file, so that no transaction stays open while they are read."""
    with TemporaryFile("w+", encoding="utf-8") as file:
        with catalog.read() as connection:
            for one in groups(connection, scope, by=by):
                file.write(json.dumps(one, default=as_json) + "\n")
        file.seek(0)
        yield (Group(**json.loads(line)) for line in file)


def sought_by(catalog: Catalog, text: str) -> Sought:
    """Return the search that a text stands for: a SHA-256, an id, key or URL of an image, else a file name.

    A name without wildcards matches all names that begin with it.
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
    """Return the pattern for file names: a text with wildcards as it is, else every name that begins with it."""
    return name if set("*?") & set(name) else f"{name}*"


def check_indexed(catalog: Catalog, sought: Sought, scope: Scope, *, agreed: bool) -> str:
    """Return the criteria without an index; UsageError if all users' rows would be read, unless `agreed`."""
    with catalog.read() as connection:
        what = unindexed(connection, sought, scope.user_id)
    if what and not agreed and (scope.user_id, scope.since, scope.until) == (None, None, None):
        hint = (
            "--user, --since, or --all-users to read them all; [find] index = true and imgctl init build more indexes"
        )
        raise UsageError(f"no index covers {what}: every row of every user would be read", hint=hint)
    return what


def page_mark(catalog: Catalog, text: str) -> UUID:
    """Return the id that a text stands for; a whole id need not be in the catalog, others may be of an erased image."""
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
    """Return the image by its id, an unambiguous beginning of it, one of its keys, or a URL of one of its blobs.

    ImageMissing if there is none, UsageError if there are several.
    """
    with catalog.read() as connection:
        found = find(connection, id_in(text))
    if not found:
        raise _missing(catalog, text)
    if len(found) > 1:
        raise UsageError(f"{text} begins more than one id", hint=f"write more of it: {found[0].id} or {found[1].id}?")
    return found[0]


def _missing(catalog: Catalog, text: str) -> ImageMissing:
    """Return the error for an image that is not found; its text reports an erasure."""
    gone = _erased(catalog, text)
    if gone is None:
        return ImageMissing(f"no image {text}", hint="imgctl find --user UUID lists a user's images")
    return ImageMissing(gone.line, hint="see its receipt" if gone.erased_at else "imgctl erase --unfinished")


def _erased(catalog: Catalog, text: str) -> Erasure | None:
    with catalog.read() as connection:
        found = find_erased(connection, id_in(text))
    return found[0] if len(found) == 1 else None


def id_in(text: str) -> str:
    """Return the id in a key or in the URL of a blob (CDN, signed, s3://, file://), else the text itself."""
    parts = unquote(re.split("[?#]", text)[0]).split("/")
    for start in range(len(parts)):
        try:
            return str(parse_key("/".join(parts[start:])).id)
        except KeyShapeError:
            continue
    return text


def record(image: Image) -> dict[str, str | int | None]:
    """Return every column by name: times in ISO 8601, ids and digests as text."""
    return {name: plain(getattr(image, name)) for name in IMAGE_COLUMNS}


def plain(value: object) -> str | int | None:
    """Return a value for JSON: a time in ISO 8601, bytes in hex, an id as text."""
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if isinstance(value, datetime) else str(value)
