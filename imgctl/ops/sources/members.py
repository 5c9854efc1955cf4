"""The members of archives, common to all kinds, and an index of them on disk."""

import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from io import RawIOBase
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from imgctl.ops.ingest.outcome import Fate, Reason
from imgctl.units import count_of

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_SCHEMA = """
CREATE TABLE members (
    directory BLOB, name BLOB, part INTEGER, size INTEGER, offset INTEGER, packed INTEGER, method INTEGER, crc INTEGER,
    data BLOB, PRIMARY KEY (directory, name)
) WITHOUT ROWID
"""
_FIND = "SELECT part, size, offset, packed, method, crc, data FROM members WHERE directory = ? AND name = ?"


PIECE = 2**20
LONGEST_NAME = 2**12
"""The longest name of a member in characters, as the longest path of a file: Unicode's forms take quadratic time."""
_SHOWN = 100
COPY_AGAIN = "copy it again from its source"


class Damaged(Exception):
    """An archive or a member cannot be read; the message ends with the next step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Odd:
    """The outcome of a member that is not read: a link, a device, an encrypted file."""

    fate: Fate
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file of an archive: its `size` in bytes, compressed by `method` to `packed` bytes at `offset`.

    `stamp` identifies its content. `hard_link` is the name of the member whose content a hard link shares.
    """

    name: str
    size: int
    offset: int
    packed: int = 0
    method: int = 0
    crc: int = 0
    mtime_ns: int = 0
    stamp: int = 0
    odd: Odd | None = None
    hard_link: str | None = None


class Part(Protocol):
    """One archive file; `streams`: members can only be read in order, unless the archive is read again."""

    path: str
    streams: bool

    def members(self) -> Iterator[Member]:
        """Yield all members except directories, in order, in bounded memory; Damaged or OSError if it is unreadable."""

    def pieces(self, member: Member) -> Iterator[bytes]:
        """Yield the bytes of a member, up to a MiB at a time; Damaged or OSError if they are damaged."""


class PiecesFile(RawIOBase):
    """The bytes of a member as a file that can be read once."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        into = memoryview(buffer)
        count = min(len(into), len(self._rest))
        into[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


class MemberIndex:
    """Members by directory and name, with the bytes of some, in a private temporary database."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._connection = sqlite3.connect("", check_same_thread=False)
        self._connection.execute(_SCHEMA)

    def add(self, place: str, part: int, member: Member, data: bytes | None = None) -> None:
        """Add a member; of two at the same place the first stays."""
        directory, name = _key(place)
        values = (directory, name, part, member.size, member.offset, member.packed, member.method, member.crc, data)
        with self._lock:
            self._connection.execute("INSERT OR IGNORE INTO members VALUES (?,?,?,?,?,?,?,?,?)", values)

    def names(self, directory: str) -> list[str]:
        """Return the names in a directory (empty, or ending in a slash)."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT name FROM members WHERE directory = ?", (_bytes(directory),)
            ).fetchall()
        return [row[0].decode(errors="surrogateescape") for row in rows]

    def find(self, place: str) -> tuple[int, Member, bytes | None] | None:
        """Return the part number, the member and the bytes at a place; None if there is no member."""
        with self._lock:
            row = self._connection.execute(_FIND, _key(place)).fetchone()
        if row is None:
            return None
        part, size, offset, packed, method, crc, data = row
        return part, Member(name=place, size=size, offset=offset, packed=packed, method=method, crc=crc), data

    def close(self) -> None:
        """Drop the index."""
        self._connection.close()


def too_long(name: str, size: int) -> Member:
    """Return the member that stands for one whose name, or whose link, is longer than LONGEST_NAME."""
    detail = f"a name of {count_of(len(name), 'character')}: rename it in the archive"
    return Member(name=f"{name[:_SHOWN]}…", size=size, offset=0, odd=unreadable(detail))


def unreadable(detail: str) -> Odd:
    """Return why a member cannot be read."""
    return Odd(fate=Fate.FAILED, reason=Reason.UNREADABLE, detail=detail)


def stamp_of(*parts: str) -> int:
    """Return a digest of the parts, as 64 bits (signed, as SQLite stores them)."""
    digest = hashlib.blake2b("\0".join(parts).encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


def message_of(error: Exception) -> str:
    """Return an error's message for use within a sentence."""
    return str(error).strip().rstrip(".").lower() or type(error).__name__


def place_of(name: str) -> str:
    """Return a member's path in the tree, without `.`, `..` and empty parts, so that it cannot lead out of the tree."""
    return "/".join(part for part in name.split("/") if part not in ("", ".", ".."))


def _key(place: str) -> tuple[bytes, bytes]:
    directory, slash, name = place.rpartition("/")
    return _bytes(directory + slash), _bytes(name)


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
