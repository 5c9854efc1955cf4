"""The members of archives: as every kind of archive lists them, and an index of them on disk."""

import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from io import RawIOBase
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from imgctl.ops.ingest.outcome import Fate, Reason

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
COPY_AGAIN = "copy it again from its source"


class Damaged(Exception):
    """An archive or a member that cannot be read, and why; the text ends in what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Odd:
    """What becomes of a member that is not read: a link, a device, an encrypted file."""

    fate: Fate
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file of an archive: `size` bytes, from `offset` on, `packed` bytes there by `method`; a `stamp` of its content.

    A hard link names the member whose content it has.
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
    """One archive file; `streams` where its members can only be read in their order without reading it anew."""

    path: str
    streams: bool

    def members(self) -> Iterator[Member]:
        """All members but directories, in order, in bounded memory; Damaged or OSError where it cannot be read on."""

    def pieces(self, member: Member) -> Iterator[bytes]:
        """The bytes of a member, a mebibyte at a time; Damaged or OSError where they are not what they were."""


class PiecesFile(RawIOBase):
    """The bytes of a member as a file that is read once."""

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
    """Members by their directory and name, with the bytes of some, in a temporary file that nobody else sees."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._connection = sqlite3.connect("", check_same_thread=False)
        self._connection.execute(_SCHEMA)

    def add(self, place: str, part: int, member: Member, data: bytes | None = None) -> None:
        """Note a member; of two at one place the first stays."""
        directory, name = _key(place)
        values = (directory, name, part, member.size, member.offset, member.packed, member.method, member.crc, data)
        with self._lock:
            self._connection.execute("INSERT OR IGNORE INTO members VALUES (?,?,?,?,?,?,?,?,?)", values)

    def names(self, directory: str) -> list[str]:
        """The names in a directory (empty, or ending in a slash)."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT name FROM members WHERE directory = ?", (_bytes(directory),)
            ).fetchall()
        return [row[0].decode(errors="surrogateescape") for row in rows]

    def find(self, place: str) -> tuple[int, Member, bytes | None] | None:
        """The part, the member and the bytes that were noted for a place."""
        with self._lock:
            row = self._connection.execute(_FIND, _key(place)).fetchone()
        if row is None:
            return None
        part, size, offset, packed, method, crc, data = row
        return part, Member(name=place, size=size, offset=offset, packed=packed, method=method, crc=crc), data

    def close(self) -> None:
        """Drop it."""
        self._connection.close()


def stamp_of(*parts: str) -> int:
    """64 bits (signed, as SQLite keeps them) that change with any of these."""
    digest = hashlib.blake2b("\0".join(parts).encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


def said_of(error: Exception) -> str:
    """What an error says, within a sentence."""
    return str(error).strip().rstrip(".").lower() or type(error).__name__


def place_of(name: str) -> str:
    """Where a member stands in its tree: no part of a name leads out of it."""
    return "/".join(part for part in name.split("/") if part not in ("", ".", ".."))


def _key(place: str) -> tuple[bytes, bytes]:
    directory, slash, name = place.rpartition("/")
    return _bytes(directory + slash), _bytes(name)


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
