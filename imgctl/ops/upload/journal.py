"""The upload journal: a local cache that maps each uploaded file, by path, size, mtime and inode, to digest and image.

Only a cache: its entries are checked against the catalog, and without it files are hashed again. A file modified in the
last two seconds is not recorded, because a later version could have the same mtime. An object is identified by its ETag
(the column `inode` holds a digest of it).
"""

import hashlib
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import TypeAlias
from uuid import UUID

from imgctl.ops.common.checkpoint import make_parent
from imgctl.ops.sources.base import SourceFile

_Row: TypeAlias = "tuple[bytes | int, ...]"

log = logging.getLogger(__name__)

SETTLED_NS = 2 * 10**9
BUSY_SECONDS = 30.0
_MOST_NS = 2**63 - 1
_KNOWN = "SELECT path, size, mtime_ns, inode, sha256, image FROM files WHERE scope = ? AND path IN ({marks})"
_RECORD, _ROW = "INSERT OR REPLACE INTO files VALUES ", "(?,?,?,?,?,?,?)"
# SQLite before 3.32 allows 999 parameters.
_ROWS = 128
_COLUMNS = ["scope", "path", "size", "mtime_ns", "inode", "sha256", "image"]
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
    """A file with the digest and the image of its content."""

    found: SourceFile
    sha256: bytes
    image: UUID


class Journal:
    """One journal file; `scope` separates catalogs, stores and users.

    It never stops a run. A damaged file, or one of a newer version or another program, is moved aside and a new one is
    created. After an error to open, lock, read or write the file, it is left alone and nothing more is recorded. Either
    is reported once through `report`.
    """

    def __init__(self, file: Path, *, report: Callable[[str], None] = log.warning) -> None:
        self._file = file
        self._report = report
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None
        self._renewed = False
        self._guarded(self._open)

    def is_empty(self) -> bool:
        """Whether the journal has no entry for any destination."""
        return not self._query("SELECT 1 FROM files LIMIT 1", ())

    def known(self, scope: bytes, files: Sequence[SourceFile]) -> list[Entry | None]:
        """Return the entry of each file, None unless it is unchanged since it was recorded."""
        paths = [found.source.identity(found) for found in files]
        marks = ",".join("?" * len(paths))
        rows = {row[0]: row for row in self._query(_KNOWN.format(marks=marks), (scope, *paths))}
        return [_entry(found, rows.get(path)) for found, path in zip(files, paths, strict=True)]

    def record(self, scope: bytes, entries: Iterable[Entry]) -> None:
        """Record files and their images, except for files modified in the last two seconds."""
        settled = time.time_ns() - SETTLED_NS
        rows = [
            (
                scope,
                e.found.source.identity(e.found),
                e.found.size,
                _storable(e.found.mtime_ns),
                _signed(e.found.stamp),
                e.sha256,
                e.image.bytes,
            )
            for e in entries
            if e.found.pinned or e.found.mtime_ns < settled
        ]
        with self._lock:
            self._guarded(lambda: self._write(rows))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._drop()

    def _query(self, query: str, values: Sequence[bytes]) -> list[_Row]:
        rows: list[_Row] = []
        with self._lock:
            self._guarded(lambda: rows.extend(self._connection.execute(query, values) if self._connection else ()))
        return rows

    def _write(self, rows: Sequence[_Row]) -> None:
        if self._connection is None:
            return
        with self._connection:
            for start in range(0, len(rows), _ROWS):
                some = rows[start : start + _ROWS]
                # One statement for many rows: SQLite releases and reacquires the interpreter lock per statement.
                self._connection.execute(_RECORD + ",".join([_ROW] * len(some)), list(chain.from_iterable(some)))

    def _open(self) -> None:
        make_parent(self._file)
        self._connection = _connect(self._file)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _guarded(self, work: Callable[[], None]) -> None:
        """Run `work`; handle errors of the file, which lose entries and nothing else."""
        try:
            work()
        except (sqlite3.Error, OSError) as error:
            self._drop()
            damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
            if not damaged or self._renewed:
                self._report(
                    f"the journal {self._file} cannot be used: {error}; files are hashed again ({_way_out(error)})"
                )
                return
            self._renewed = True
            why = str(error)
            self._guarded(lambda: self._renew(why))

    def _renew(self, why: str) -> None:
        """Move the file aside and create a new journal; not deleted, because it may belong to another program."""
        aside = _free_name(Path(f"{self._file}.damaged"))
        self._file.replace(aside)
        for name in ("-wal", "-shm"):
            with suppress(FileNotFoundError):
                Path(f"{self._file}{name}").unlink()
        self._report(f"the journal {self._file} was unusable ({why}): moved to {aside}, files are hashed again")
        self._open()


def _free_name(wanted: Path) -> Path:
    names = chain([wanted], (Path(f"{wanted}-{number}") for number in range(1, 100)))
    return next((name for name in names if not name.exists()), wanted)


def scope_of(*parts: str) -> bytes:
    """Return an eight-byte digest that identifies a destination: catalog, store and user."""
    return hashlib.blake2b("\0".join(parts).encode(errors="surrogateescape"), digest_size=8).digest()


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=BUSY_SECONDS, check_same_thread=False)
    try:
        _check_ours(connection)
        # NORMAL survives a crash of the program; a power cut loses the last entries, whose files are hashed again.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(_SCHEMA)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _check_ours(connection: sqlite3.Connection) -> None:
    """Raise DatabaseError for a database of another program or a newer version."""
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    columns = [row[1] for row in connection.execute("PRAGMA table_info(files)")]
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version:
        raise sqlite3.DatabaseError(f"unknown version {version}")
    if tables - {"files"} or (tables and columns != _COLUMNS):
        raise sqlite3.DatabaseError("another program's database")


def _entry(found: SourceFile, row: "_Row | None") -> Entry | None:
    if row is None:
        return None
    _, size, mtime_ns, inode, digest, image = row
    if (size, mtime_ns, inode) != (found.size, _storable(found.mtime_ns), _signed(found.stamp)):
        return None
    if not isinstance(digest, bytes) or not isinstance(image, bytes) or len(image) != 16:
        return None
    return Entry(found=found, sha256=digest, image=UUID(bytes=image))


def _signed(stamp: int) -> int:
    """Return the stamp as a signed 64-bit integer for SQLite: inodes of network and union file systems use all bits."""
    return stamp - (1 << 64) if stamp >= 1 << 63 else stamp


def _storable(mtime_ns: int) -> int:
    """Return a time as SQLite can store it: file systems and web servers have any year, and 64 bits end in 1677 and 2262."""
    return max(-_MOST_NS, min(_MOST_NS, mtime_ns))


def _way_out(error: sqlite3.Error | OSError) -> str:
    full = "full" in str(error) or "No space" in str(error)
    step = "free some space there" if full else "check the rights there"
    return f"{step}, or set [upload] journal to another file or to none"
