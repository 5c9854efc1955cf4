"""What an unfinished export has written, on this machine's disk: the path of each blob, its digest, its row."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from imgctl.errors import StateError, UsageError
from imgctl.keys import ORIGINAL
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
_DONE = "sha256 IS NOT NULL"
_LEAST_SAVED = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """An image as the bag's metadata has it: its row, and the paths of its blobs by role; or why it is left out."""

    record: Mapping[str, Json]
    paths: Mapping[str, str]
    left_out: str = ""


class State:
    """The file of one export; one thread at a time, one process at a time: UsageError for a second one.

    `run` tells what this run has seen from what an earlier one wrote.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._unsaved = 0
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(file, timeout=0.1, isolation_level=None)
            # Held to the end: two runs would give the same names twice.
            self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(_SCHEMA)
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise UsageError("the same export runs already", hint="wait for it") from None
            raise self._unusable(error) from None
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(error) from None
        (last,) = self._connection.execute("SELECT coalesce(max(seen), 0) FROM files").fetchone()
        self.run: int = last + 1

    def close(self) -> None:
        """Keep everything, and let go of the file."""
        with suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")
        self._connection.close()

    def discard(self) -> None:
        """Begin anew."""
        self._execute("DELETE FROM files")
        self.save()

    @property
    def is_due(self) -> bool:
        """Whether so much was noted that it is worth saving."""
        return self._unsaved >= _LEAST_SAVED

    def save(self) -> None:
        """Make what was noted outlive a kill."""
        self._unsaved = 0
        self._execute("COMMIT")
        self._execute("BEGIN IMMEDIATE")

    def written(self, image: UUID, role: str) -> Written | None:
        """How a blob was written; None for one that was not."""
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
        """Give a blob the first of these paths that no other has, to be kept by every later run."""
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
        """A blob is whole at its path."""
        self._unsaved += 1
        values = (written.sha256, written.size, written.crc, written.start, written.stop, str(image), role)
        self._execute(
            "UPDATE files SET sha256 = ?, size = ?, crc = ?, start = ?, stop = ? WHERE image = ? AND role = ?", values
        )

    def leave_out(self, image: UUID, role: str, why: str, *, record: Mapping[str, Json]) -> None:
        """A blob is not in the bag, and why; its path, if it was given one, stays its own."""
        self._execute(
            "INSERT INTO files (image, role) VALUES (?,?) ON CONFLICT DO NOTHING",
            (str(image), role),
        )
        self._execute(
            "UPDATE files SET left_out = ?, sha256 = NULL, seen = ?, record = ? WHERE image = ? AND role = ?",
            (why, self.run, _text(record) if role == ORIGINAL else None, str(image), role),
        )

    def keep_until(self, size: int) -> int:
        """Of a ZIP of `size` bytes those that are whole members without a gap; what lies behind is to be written again."""
        end = 0
        for start, stop in self._execute(f"SELECT start, stop FROM files WHERE {_DONE} ORDER BY start"):  # noqa: S608
            if start != end or stop > size:
                break
            end = stop
        self._execute("UPDATE files SET sha256 = NULL WHERE start >= ?", (end,))
        return end

    def gone(self) -> list[tuple[UUID, str, str]]:
        """What an earlier run wrote and this one has not seen: a page of image, role and path; forgotten by `forget`."""
        rows = self._execute(
            f"SELECT image, role, path FROM files WHERE seen < ? AND {_DONE} LIMIT 1000",  # noqa: S608
            (self.run,),
        )
        return [(UUID(image), role, path) for image, role, path in rows]

    def forget(self, image: UUID, role: str) -> None:
        """A blob is no more to be in the bag."""
        self._execute("DELETE FROM files WHERE image = ? AND role = ?", (str(image), role))

    def has(self, path: str) -> bool:
        """Whether a path is a file of the bag."""
        query = f"SELECT 1 FROM files WHERE folded = ? AND path = ? AND {_DONE}"  # noqa: S608
        return self._execute(query, (folded(path), path)).fetchone() is not None

    def totals(self) -> tuple[int, int]:
        """How many files are whole, and their bytes."""
        count, size = self._execute(f"SELECT count(*), coalesce(sum(size), 0) FROM files WHERE {_DONE}").fetchone()  # noqa: S608
        return count, size

    def members(self) -> Iterator[Member]:
        """Every file that is whole, in the order of images."""
        # A cursor of its own each time: two passes may be under way.
        query = f"SELECT path, at, sha256, size, crc, start, stop FROM files WHERE {_DONE} ORDER BY image, role"  # noqa: S608
        for path, at, *written in self._execute(query):
            yield Member(path=path, at=datetime.fromisoformat(at), written=_written(written))

    def images(self, *, left_out: bool) -> Iterator[Exported]:
        """The images of the bag, or those that it lacks, in the order of ids."""
        rows = self._execute(
            "SELECT image, role, path, sha256, left_out, record FROM files WHERE seen = ? ORDER BY image, role",
            (self.run,),
        )
        image, record, why = "", "", ""
        paths: dict[str, str] = {}
        for found, role, path, sha256, lacks, text in rows:
            if found != image and record and bool(why) is left_out:
                yield Exported(record=json.loads(record), paths=paths, left_out=why)
            if found != image:
                image, paths, record, why = found, {}, "", ""
            if sha256 is not None:
                paths[role] = path
            if role == ORIGINAL:
                record, why = text, lacks or ""
        if record and bool(why) is left_out:
            yield Exported(record=json.loads(record), paths=paths, left_out=why)

    def set_finishing(self) -> None:
        """From here on a whole bag at the target is this one."""
        self._execute("PRAGMA user_version = 1")
        self.save()

    @property
    def is_finishing(self) -> bool:
        """Whether an earlier run had written everything."""
        (version,) = self._execute("PRAGMA user_version").fetchone()
        return bool(version)

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
