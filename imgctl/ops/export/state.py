"""The state of an unfinished export, on this machine's disk: the path of each blob, its digest, its row."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from threading import Lock
from uuid import UUID

from imgctl.errors import StateError, UsageError
from imgctl.keys import ORIGINAL
from imgctl.ops.common.checkpoint import make_parent
from imgctl.ops.export.names import folded
from imgctl.ops.export.sinks import Member, Written
from imgctl.pricing.lines import Json

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    image TEXT NOT NULL, role TEXT NOT NULL, path TEXT, folded TEXT UNIQUE, at TEXT, sha256 BLOB,
    size INTEGER, crc INTEGER, start INTEGER, stop INTEGER, seen INTEGER, left_out TEXT, record TEXT,
    PRIMARY KEY (image, role)
) WITHOUT ROWID
"""
_COMPLETION = "CREATE TABLE IF NOT EXISTS completion (as_of TEXT, since INTEGER, left_out INTEGER)"
_DONE = "sha256 IS NOT NULL"
_LEAST_SAVED = 500
JOURNALS = ("-wal", "-journal")
"""The endings of SQLite's files beside a state file; 1.0.0rc1 left the second kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """An image in the bag's metadata: its row, and the paths of its blobs by role."""

    record: Mapping[str, Json]
    paths: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A file that is not in the bag: the row of its image, its role, and why."""

    record: Mapping[str, Json]
    role: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What a complete bag contains: the images as of this time, in database time, without `left_out` files.

    `since` of its images were promised at that time or later, while the run listed them.
    """

    as_of: datetime
    since: int
    left_out: int


class State:
    """The state file of one export; for one thread, except for `note_ahead`, and one process: UsageError for a second.

    `run` is this run's number: blobs last seen in an earlier run have a smaller one.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._unsaved = 0
        # Held by whoever commits, until the next transaction has begun.
        self._lock = Lock()
        try:
            make_parent(file)
            self._connection = sqlite3.connect(file, timeout=0.1, isolation_level=None, check_same_thread=False)
            # Locked to the end: two runs would assign the same names.
            self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            # A commit survives a kill without a sync, which costs as much as that of the file that it is about.
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            # Entries of erased images leave nothing in free pages.
            self._connection.execute("PRAGMA secure_delete = ON")
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(_SCHEMA)
            self._connection.execute(_COMPLETION)
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise UsageError("the same export runs already", hint="wait for it") from None
            raise self._unusable(error) from None
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(error) from None
        (last,) = self._connection.execute("SELECT coalesce(max(seen), 0) FROM files").fetchone()
        self.run: int = last + 1

    def close(self) -> None:
        """Save everything, and close the file."""
        with suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")
        self._connection.close()

    @property
    def is_due(self) -> bool:
        """Whether enough entries are unsaved to be worth a save."""
        return self._unsaved >= _LEAST_SAVED

    def save(self) -> None:
        """Commit the entries, so that they survive a power loss."""
        self._unsaved = 0
        with self._lock:
            self._execute("COMMIT")
            self._execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._execute("BEGIN IMMEDIATE")

    def note_ahead(self, image: UUID, role: str, written: Written) -> None:
        """Record that a blob is about to be whole at its path, so that this survives a kill; in any thread."""
        with self._lock:
            self._note(image, role, written)
            self._execute("COMMIT")
            self._execute("BEGIN IMMEDIATE")

    def written(self, image: UUID, role: str) -> Written | None:
        """Return the record of a written blob; None if it is not written."""
        query = f"SELECT sha256, size, crc, start, stop FROM files WHERE image = ? AND role = ? AND {_DONE}"  # noqa: S608
        row = self._execute(query, (str(image), role)).fetchone()
        return None if row is None else _written(row)

    def place(
        self,
        image: UUID,
        role: str,
        wanted: Iterable[str],
        *,
        at: datetime,
        record: Mapping[str, Json] | None = None,
    ) -> str:
        """Assign a blob the first of these paths that is free; every later run keeps it."""
        text = _text(record)
        row = self._execute("SELECT path FROM files WHERE image = ? AND role = ?", (str(image), role)).fetchone()
        if row is not None and row[0] is not None:
            self._execute(
                "UPDATE files SET seen = ?, record = ?, left_out = NULL WHERE image = ? AND role = ?",
                (self.run, text, str(image), role),
            )
            return str(row[0])
        self._execute("DELETE FROM files WHERE image = ? AND role = ?", (str(image), role))
        for path in wanted:
            with suppress(sqlite3.IntegrityError):
                self._connection.execute(
                    "INSERT INTO files (image, role, path, folded, at, seen, record) VALUES (?,?,?,?,?,?,?)",
                    (str(image), role, path, folded(path), at.isoformat(), self.run, text),
                )
                return path
        raise StateError(f"no name is free for {image}", hint="name another --out")

    def note(self, image: UUID, role: str, written: Written) -> None:
        """Record that a blob is whole at its path."""
        self._unsaved += 1
        self._note(image, role, written)

    def _note(self, image: UUID, role: str, written: Written) -> None:
        values = (written.sha256, written.size, written.crc, written.start, written.stop, str(image), role)
        self._execute(
            "UPDATE files SET sha256 = ?, size = ?, crc = ?, start = ?, stop = ? WHERE image = ? AND role = ?", values
        )

    def leave_out(self, image: UUID, role: str, why: str, *, record: Mapping[str, Json]) -> None:
        """Record that a blob is not in the bag, and why; it keeps its assigned path, if any."""
        self._execute(
            "INSERT INTO files (image, role) VALUES (?,?) ON CONFLICT DO NOTHING",
            (str(image), role),
        )
        self._execute(
            "UPDATE files SET left_out = ?, sha256 = NULL, seen = ?, record = ? WHERE image = ? AND role = ?",
            (why, self.run, _text(record) if role == ORIGINAL else None, str(image), role),
        )

    def keep_until(self, size: int) -> int:
        """Return how many of a ZIP's `size` bytes are whole members without a gap; later members must be written again."""
        end = 0
        for start, stop in self._execute(f"SELECT start, stop FROM files WHERE {_DONE} ORDER BY start"):  # noqa: S608
            if start != end or stop > size:
                break
            end = stop
        self._execute("UPDATE files SET sha256 = NULL WHERE start >= ?", (end,))
        return end

    def member_before(self, end: int) -> Member | None:
        """Return the whole member of a ZIP that stops at `end`, if there is one."""
        query = f"SELECT path, at, sha256, size, crc, start, stop FROM files WHERE {_DONE} AND stop = ?"  # noqa: S608
        row = self._execute(query, (end,)).fetchone()
        return row and Member(path=row[0], at=datetime.fromisoformat(row[1]), written=_written(row[2:]))

    def gone(self) -> list[tuple[UUID, str, str]]:
        """Return a page of blobs that an earlier run wrote and this one has not seen; `forget` removes an entry."""
        rows = self._execute(
            f"SELECT image, role, path FROM files WHERE seen < ? AND {_DONE} LIMIT 1000",  # noqa: S608
            (self.run,),
        )
        return [(UUID(image), role, path) for image, role, path in rows]

    def pages(self) -> Iterator[list[UUID]]:
        """Yield the images that have entries, in pages in the order of ids."""
        last = ""
        while rows := self._execute(
            "SELECT DISTINCT image FROM files WHERE image > ? ORDER BY image LIMIT 1000", (last,)
        ).fetchall():
            last = rows[-1][0]
            yield [UUID(image) for (image,) in rows]

    def forget_images(self, images: Iterable[UUID]) -> Iterator[tuple[str, bool]]:
        """Remove all entries of images; yields each path, and whether its file is written, before its entry goes."""
        for image in images:
            named = "SELECT path, sha256 FROM files WHERE image = ? AND path IS NOT NULL"
            yield from [(path, digest is not None) for path, digest in self._execute(named, (str(image),))]
            self._execute("DELETE FROM files WHERE image = ?", (str(image),))

    def forget(self, image: UUID, role: str) -> None:
        """Remove the entry of a blob that no longer belongs in the bag."""
        self._execute("DELETE FROM files WHERE image = ? AND role = ?", (str(image), role))

    def has(self, path: str) -> bool:
        """Whether a path is a file of the bag."""
        query = f"SELECT 1 FROM files WHERE folded = ? AND path = ? AND {_DONE}"  # noqa: S608
        return self._execute(query, (folded(path), path)).fetchone() is not None

    def totals(self) -> tuple[int, int]:
        """Return the number of whole files, and their bytes."""
        count, size = self._execute(f"SELECT count(*), coalesce(sum(size), 0) FROM files WHERE {_DONE}").fetchone()  # noqa: S608
        return count, size

    def members(self) -> Iterator[Member]:
        """Yield every whole file, in the order of images."""
        # A new cursor each time: two passes may run at once.
        query = f"SELECT path, at, sha256, size, crc, start, stop FROM files WHERE {_DONE} ORDER BY image, role"  # noqa: S608
        for path, at, *written in self._execute(query):
            yield Member(path=path, at=datetime.fromisoformat(at), written=_written(written))

    def images(self) -> Iterator[Exported]:
        """Yield the images of which the bag has the original, in the order of ids."""
        rows = self._execute(
            f"SELECT image, role, path, record FROM files WHERE seen = ? AND {_DONE} ORDER BY image, role",  # noqa: S608
            (self.run,),
        )
        for _, files in groupby(rows, key=itemgetter(0)):
            paths, record = dict[str, str](), ""
            for _, role, path, text in files:
                paths[role] = path
                record = text or record
            if ORIGINAL in paths:
                yield Exported(record=json.loads(record), paths=paths)

    def left_out(self) -> Iterator[LeftOut]:
        """Yield the files that the bag lacks, in the order of their images' ids."""
        rows = self._execute(
            "SELECT one.role, one.left_out, original.record FROM files AS one"
            " JOIN files AS original ON original.image = one.image AND original.role = ?"
            " WHERE one.seen = ? AND one.left_out IS NOT NULL ORDER BY one.image, one.role",
            (ORIGINAL, self.run),
        )
        for role, why, record in rows:
            yield LeftOut(record=json.loads(record), role=role, why=why)

    def count_left_out(self) -> int:
        """Return how many files the bag lacks."""
        query = "SELECT count(*) FROM files WHERE left_out IS NOT NULL AND seen = ?"
        (count,) = self._execute(query, (self.run,)).fetchone()
        return int(count)

    def set_finishing(self, *, as_of: datetime, since: int) -> Completion:
        """Record that a complete bag at the target is from this export from now on."""
        left_out = self.count_left_out()
        self._execute("DELETE FROM completion")
        self._execute("INSERT INTO completion VALUES (?,?,?)", (as_of.isoformat(), since, left_out))
        self.save()
        return Completion(as_of=as_of, since=since, left_out=left_out)

    @property
    def completion(self) -> Completion | None:
        """What a complete bag at the target contains, if an earlier run wrote all blobs; else None."""
        row = self._execute("SELECT as_of, since, left_out FROM completion").fetchone()
        return None if row is None else Completion(as_of=datetime.fromisoformat(row[0]), since=row[1], left_out=row[2])

    def _execute(self, query: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        try:
            return self._connection.execute(query, values)
        except sqlite3.Error as error:
            raise self._unusable(error) from None

    def _unusable(self, error: Exception) -> StateError:
        return StateError(f"{self.file}: {error}", hint="free some space there, or delete it to begin anew")


def _text(record: Mapping[str, Json] | None) -> str | None:
    return None if record is None else json.dumps(record, ensure_ascii=False)


def _written(values: list[object] | tuple[object, ...]) -> Written:
    sha256, size, crc, start, stop = values
    assert isinstance(sha256, bytes)
    numbers = [one if isinstance(one, int) else 0 for one in (size, crc, start, stop)]
    return Written(sha256=sha256, size=numbers[0], crc=numbers[1], start=numbers[2], stop=numbers[3])
