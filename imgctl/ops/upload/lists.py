"""Lists and manifests of files, read from a file or the standard input."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO
from uuid import UUID

from imgctl.errors import UsageError, usable
from imgctl.ops.ingest.manifest import BadLine, Row, moment_of, owner_and_date, rows
from imgctl.ops.sources.base import Described
from imgctl.ops.upload.options import STDIN
from imgctl.units import count_of
from imgctl.users import Users

PIECE = 2**16
# Linux paths have at most 4,096 bytes, so the first NUL of a NUL-separated list comes before this.
_SAMPLE = 2**13
_LONGEST = 2**16
# Of a file, an object or a member of an archive.
_LONGEST_PATH = 2**12
_BOM = b"\xef\xbb\xbf"
_OPTIONAL = frozenset(("user_id", "caption", "uploaded_at", "name", "taken_at", "sha256"))
_SHA256 = re.compile("[0-9a-fA-F]{64}")


def opened(name: str, option: str) -> AbstractContextManager[BinaryIO]:
    """Open the file of this name, or the standard input for `-`; UsageError if it cannot be opened."""
    if name == STDIN:
        return standard_input(option)
    with usable(f"{option} {name}", "check the path"):
        return open(name, "rb")  # noqa: PTH123  # a str keeps bytes that are no UTF-8


def standard_input(option: str) -> BinaryIO:
    """Open the standard input; UsageError if it is closed."""
    if sys.stdin is None:
        raise UsageError(f"{option} -: the standard input is closed", hint="pipe a list into it, or name a file")
    # A separate buffer: at exit the interpreter locks sys.stdin's buffer, which a thread may hold while it waits for a
    # slow pipe.
    return open(sys.stdin.fileno(), "rb", closefd=False)  # a number, not a path


def listed(file: BinaryIO) -> Iterator[str]:
    """Yield the paths of a list; invalid UTF-8 becomes lone surrogates, empty paths are skipped.

    A NUL in the first 8 KiB makes NUL the separator, otherwise it is the line feed; carriage returns before line feeds
    are dropped if the first line has one. Raises UsageError for a file that is not a list of paths.
    """
    first = _sample(file).removeprefix(_BOM)
    separator = b"\0" if b"\0" in first else b"\n"
    unix = separator == b"\0" or not first.partition(b"\n")[0].endswith(b"\r")
    for path in _pieces(file, first, separator):
        if text := path if unix else path.removesuffix(b"\r"):
            yield text.decode(errors="surrogateescape")


def _sample(file: BinaryIO) -> bytes:
    """Read enough of the beginning to find the separator; a pipe may deliver it in several pieces."""
    sample = b""
    while len(sample) < _SAMPLE and b"\0" not in sample and (more := file.read(_SAMPLE - len(sample))):
        sample += more
    return sample


def _pieces(file: BinaryIO, first: bytes, separator: bytes) -> Iterator[bytes]:
    rest, more = b"", first
    while more:
        *whole, rest = (rest + more).split(separator)
        if len(rest) > _LONGEST:
            raise UsageError(
                f"--files-from holds a path of more than {count_of(_LONGEST, 'byte')}", hint="is it a list of paths?"
            )
        yield from whole
        more = file.read(PIECE)
    yield rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(Described):
    """One line of a manifest: the path as written; times are aware UTC to the millisecond."""

    path: str
    user_id: UUID | None = None


def entries(file: BinaryIO, *, owned: bool, users: Users) -> Iterator[tuple[int, Entry | BadLine]]:
    """Yield each line's number and entry; every line needs a `user_id`, unless all files are `owned` already."""
    required = frozenset(("path",)) if owned else frozenset(("path", "user_id"))
    for number, row in rows(file, required=required, optional=_OPTIONAL - required):
        yield number, row if isinstance(row, BadLine) else _entry(row, users)


def _entry(row: Row, users: Users) -> Entry | BadLine:
    path, found = row["path"], owner_and_date(row, users)
    if "\0" in path:
        return BadLine(detail="the path contains a NUL")
    if len(path) > _LONGEST_PATH:
        return BadLine(detail=f"the path is longer than {count_of(_LONGEST_PATH, 'character')}")
    if not _is_name(path):
        return BadLine(detail=f"invalid path {path!r}: not UTF-8")
    if isinstance(found, BadLine):
        return found
    taken, digest = row.get("taken_at"), row.get("sha256", "")
    try:
        taken_at = moment_of(taken.strip()) if taken else None
    except (ValueError, OverflowError):
        return BadLine(detail=f"taken_at: invalid time: {taken!r}; write 2026-11-22T10:00Z")
    if digest and not _SHA256.fullmatch(digest):
        return BadLine(detail=f"sha256: not 64 hex digits: {digest!r}")
    return Entry(
        path=path,
        user_id=found[0],
        caption=row.get("caption"),
        name=row.get("name"),
        uploaded_at=found[1],
        taken_at=taken_at,
        sha256=bytes.fromhex(digest) or None,
    )


def _is_name(path: str) -> bool:
    """Whether a path can be encoded; False for a lone surrogate from JSON, which stands for no bytes."""
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True
