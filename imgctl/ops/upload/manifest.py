"""The files a manifest names: path, and where it says so whose, with which caption, and when it was uploaded."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO
from uuid import UUID

from imgctl.ops.ingest.manifest import BadLine, Row, moment_of, rows, uuid_of

_OPTIONAL = frozenset(("user_id", "caption", "uploaded_at"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a manifest: a path as written, aware UTC time to the millisecond."""

    path: str
    user_id: UUID | None = None
    caption: str | None = None
    uploaded_at: datetime | None = None


def entries(file: BinaryIO, *, owned: bool) -> Iterator[tuple[int, Entry | BadLine]]:
    """Each line's number with its entry; every line must say whose the file is unless all are `owned` already."""
    required = frozenset(("path",)) if owned else frozenset(("path", "user_id"))
    for number, row in rows(file, required=required, optional=_OPTIONAL - required):
        yield number, row if isinstance(row, BadLine) else _entry(row)


def _entry(row: Row) -> Entry | BadLine:
    path, user_id, when = row["path"], row.get("user_id"), row.get("uploaded_at")
    if "\0" in path:
        return BadLine(detail="the path holds a NUL")
    if not _is_name(path):
        return BadLine(detail=f"the path {path!r} can name no file")
    try:
        owner = uuid_of(user_id.strip()) if user_id else None
    except ValueError:
        return BadLine(detail=f"user_id {user_id!r} is no UUID")
    try:
        uploaded_at = moment_of(when.strip()) if when else None
    except (ValueError, OverflowError):
        return BadLine(detail=f"uploaded_at {when!r} is no time; write 2026-11-22T10:00Z")
    return Entry(path=path, user_id=owner, caption=row.get("caption"), uploaded_at=uploaded_at)


def _is_name(path: str) -> bool:
    """False for half a character of JSON, which stands for no bytes."""
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True
