"""Search criteria for images as conditions on rows, and the indexes that serve them."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, LargeBinary, Text, func, literal_column, text

from imgctl.model import Status
from imgctl.store.catalog.schema import SQLITE, PerDatabase, digest, images, in_status

# The number of characters of a name in its index: enough for camera numbering, and the index is a third smaller.
NAME_START = 12
# The first seven bytes of a SHA-256 identify a content as well as sixteen; index entries are half as long.
DIGEST_START = 7
# Partial indexes list the images of all users in these states, by id. Nearly all images are ready: the newest are found soon.
_INDEXED_STATES = (Status.PROCESSING, Status.FAILED)
# Sorts after every other character, bytewise too.
_LAST = "\U0010ffff"

_SQLITE_INDEXES = "SELECT name FROM pragma_index_list('images')"
_POSTGRES_INDEXES = """
SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE indrelid = CAST('images' AS regclass) AND indisvalid
"""
OPTIONAL: Final = ("idx_name", "idx_taken", "idx_digest")
"""The indexes that `[find] index` enables: names, capture times, and contents over all owners."""


class name_start(PerDatabase[str]):  # noqa: N801 - reads like an SQL function
    """The beginning of a file name in lower case, sorted bytewise."""

    type = Text()
    inherit_cache = True
    postgres = f'(lower(substr({{0}}, 1, {NAME_START})) COLLATE "C")'
    sqlite = f"lower(substr({{0}}, 1, {NAME_START}))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """Search criteria for images; all must match.

    `name` is a file name in which `*` matches any text and `?` one character; `words` are in the caption; both ignore
    case. `among` limits the result to these ids. `taken_until` is exclusive.
    """

    id: UUID | None = None
    status: Status | None = None
    name: str | None = None
    sha256: bytes | None = None
    taken_since: datetime | None = None
    taken_until: datetime | None = None
    words: tuple[str, ...] = ()
    among: tuple[UUID, ...] | None = None


EVERYTHING = Sought()
"""No criteria beyond the scope's user and dates."""


def conditions(sought: Sought, user_id: UUID | None, *, dialect: str) -> list[ColumnElement[bool]]:
    """Return the conditions on one user's rows, or on all users', in the form that the indexes need."""
    found: list[ColumnElement[bool]] = [] if sought.id is None else [images.c.id == sought.id]
    if sought.among is not None:
        found.append(images.c.id.in_(sought.among))
    if sought.status is not None:
        found.append(in_status(sought.status))
    if sought.name is not None:
        found += _named(sought.name, dialect)
    if sought.sha256 is not None:
        found.append(digest(images.c.sha256) == sought.sha256[:16])
        found += [] if user_id else [_digest_start() == sought.sha256[:DIGEST_START]]
    if sought.taken_since is not None:
        found.append(images.c.taken_at >= sought.taken_since)
    if sought.taken_until is not None:
        found.append(images.c.taken_at < sought.taken_until)
    return found + [_like(images.c.caption, f"%{plain(word)}%", dialect) for word in sought.words]


def unindexed(connection: Connection, sought: Sought, user_id: UUID | None) -> str:
    """Return the criteria that no index serves, so that every row of the scope is read; empty if an index does."""
    if sought.id is not None or sought.among is not None or (sought.sha256 is not None and user_id is not None):
        return ""
    if sought.status in _INDEXED_STATES:
        return ""
    taken = (sought.taken_since, sought.taken_until) != (None, None)
    indexed = {
        "idx_name": sought.name is not None and start_of(sought.name, connection.dialect.name) != "",
        "idx_taken": taken,
        "idx_digest": sought.sha256 is not None,
    }
    if any(indexed.values()) and any(indexed.get(name) for name in indexes(connection)):
        return ""
    what = {
        "names": sought.name,
        "contents": sought.sha256,
        "capture times": taken,
        "captions": sought.words,
        "unfinished uploads": sought.status is Status.UPLOADING,
    }
    return " and ".join(name for name, given in what.items() if given)


def start_of(pattern: str, dialect: str) -> str:
    """The fixed beginning of all names that match a pattern, up to the index's length.

    In SQLite it ends before the first letter beyond A to Z.
    """
    ends = r"[*?]|[^\x00-\x7f]" if dialect == SQLITE else r"[*?]"
    return re.split(ends, pattern)[0][:NAME_START]


def _like(column: ColumnElement[str], pattern: str, dialect: str) -> ColumnElement[bool]:
    """Whether a text matches a LIKE pattern in any case; SQLite itself ignores the case of A to Z only."""
    if dialect == SQLITE and not pattern.isascii():
        return func.imgctl_lower(column).like(pattern.lower(), escape="\\")
    return column.ilike(pattern, escape="\\")


def _named(pattern: str, dialect: str) -> list[ColumnElement[bool]]:
    like = _like(images.c.name, plain(pattern).replace("*", "%").replace("?", "_"), dialect)
    start = start_of(pattern, dialect)
    if not start:
        return [like]
    first = func.lower(start)
    # The index covers rows with a name; SQLite uses it only if the query repeats this condition.
    return [
        images.c.name.is_not(None),
        name_start(images.c.name) >= first,
        name_start(images.c.name) < first + _LAST,
        like,
    ]


def plain(words: str) -> str:
    """Escape a text for use in a LIKE pattern."""
    return re.sub(r"[\\%_]", r"\\\g<0>", words)


def indexes(connection: Connection) -> set[str]:
    """The existing indexes, without those whose build was interrupted."""
    is_sqlite = connection.dialect.name == SQLITE
    return set(connection.execute(text(_SQLITE_INDEXES if is_sqlite else _POSTGRES_INDEXES)).scalars())


def _digest_start() -> ColumnElement[bytes]:
    numbers: tuple[ColumnElement[int], ...] = (literal_column("1"), literal_column(str(DIGEST_START)))
    return func.substr(images.c.sha256, *numbers, type_=LargeBinary())
