"""What this machine uploaded before: a local cache from a file, as it was then, to its content and its image.

Only a cache: what it says of an image is checked against the catalog, and without it files are hashed again. A file
that was written to while its clock tick lasted is not remembered, for its next version could look the same.
"""

import hashlib
import os
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from threading import Lock
from uuid import UUID

from imgctl.errors import StateError
from imgctl.ops.upload.walk import Found

SETTLED_NS = 2 * 10**9
BUSY_SECONDS = 30.0
_KNOWN = "SELECT path, size, mtime_ns, inode, sha256, image FROM files WHERE scope = ? AND path IN ({marks})"
_RECORD, _ROW = "INSERT OR REPLACE INTO files VALUES ", "(?,?,?,?,?,?,?)"
# SQLite before 3.32 takes 999 parameters.
_ROWS = 128
_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    scope BLOB NOT NULL,
    path BLOB NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    image BLOB NOT NULL,
    PRIMARY KEY (scope, path)
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file as it was when its content was known to be this image."""

    found: Found
    sha256: bytes
    image: UUID


class Journal:
    """One journal file; `scope` keeps apart what went to other catalogs, stores and users."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = Lock()
        self._connection = self._open()

    def is_empty(self) -> bool:
        """Whether nothing is remembered of any destination."""
        with self._lock, _explained(self._file):
            return self._connection.execute("SELECT 1 FROM files LIMIT 1").fetchone() is None

    def known(self, scope: bytes, files: Sequence[Found]) -> dict[str, Entry]:
        """Those of `files` that are unchanged since they were recorded, by path."""
        paths = [_key(found) for found in files]
        marks = ",".join("?" * len(paths))
        query = _KNOWN.format(marks=marks)
        with self._lock, _explained(self._file):
            rows = {row[0]: row for row in self._connection.execute(query, (scope, *paths))}
        known: dict[str, Entry] = {}
        for found, path in zip(files, paths, strict=True):
            _, size, mtime_ns, inode, digest, image = rows.get(path, (path, -1, 0, 0, b"", b""))
            if (size, mtime_ns, inode) == (found.size, found.mtime_ns, _signed(found.inode)):
                known[found.path] = Entry(found=found, sha256=digest, image=UUID(bytes=image))
        return known

    def record(self, scope: bytes, entries: Iterable[Entry]) -> None:
        """Remember files and their images; those changed in the last two seconds are left out."""
        settled = time.time_ns() - SETTLED_NS
        rows = [
            (scope, _key(e.found), e.found.size, e.found.mtime_ns, _signed(e.found.inode), e.sha256, e.image.bytes)
            for e in entries
            if e.found.mtime_ns < settled
        ]
        with self._lock, _explained(self._file), self._connection:
            for start in range(0, len(rows), _ROWS):
                some = rows[start : start + _ROWS]
                # One statement: SQLite lets go of the interpreter lock, and waits for it, once for each.
                self._connection.execute(_RECORD + ",".join([_ROW] * len(some)), list(chain.from_iterable(some)))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _open(self) -> sqlite3.Connection:
        with _explained(self._file):
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                return _connect(self._file)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                # Torn by a power cut: it is only a cache. Or somebody's own file, named by mistake: so it is kept.
                self._file.replace(f"{self._file}.damaged")
                for name in ("-wal", "-shm"):
                    with suppress(FileNotFoundError):
                        Path(f"{self._file}{name}").unlink()
                return _connect(self._file)


def scope_of(*parts: str) -> bytes:
    """What tells one destination from another, in eight bytes: catalog, store and user."""
    return hashlib.blake2b("\0".join(parts).encode(errors="surrogateescape"), digest_size=8).digest()


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=BUSY_SECONDS, check_same_thread=False)
    # NORMAL survives crashes of the program, and a power cut costs the last entries: they are hashed again.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(_SCHEMA)
    return connection


def _key(found: Found) -> bytes:
    return os.fsencode(os.path.abspath(found.path))  # noqa: PTH100  # a str keeps bytes that are no UTF-8


def _signed(inode: int) -> int:
    """The inode as SQLite's signed 64 bits hold it: network and union file systems use all of them."""
    return inode - (1 << 64) if inode >= 1 << 63 else inode


class _explained:  # noqa: N801  # reads like the context manager it is
    """Turn what SQLite and the file system say into a StateError that names the file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: object) -> None:
        if isinstance(error, (sqlite3.Error, OSError)):
            raise StateError(f"the journal {self._file} cannot be used: {error}", hint=_way_out(error)) from error


def _way_out(error: sqlite3.Error | OSError) -> str:
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        return "delete it: it is only a cache, and files are hashed again"
    full = "full" in str(error) or "No space" in str(error)
    step = "free some space there" if full else "check the rights there"
    return f"{step}, or set [upload] journal to another file or to none"
