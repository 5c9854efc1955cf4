"""A source tree by the content of its photos: where the original of a row lies that something beside it describes."""

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from uuid import UUID

from imgctl.ops.ingest.outcome import Fate, FileOutcome
from imgctl.ops.ingest.recognise import SIDECAR_NAMES
from imgctl.ops.ingest.sidecar import SidecarFiles
from imgctl.ops.retry import StopSignal
from imgctl.ops.upload.choose import Selection, chosen
from imgctl.ops.upload.prepare import unreadable
from imgctl.ops.upload.walk import Found

_NOBODY = UUID(int=0)
_SCHEMA = "CREATE TABLE photos (sha256 BLOB PRIMARY KEY, path BLOB NOT NULL) WITHOUT ROWID"


class Sidecars:
    """Photos with a sidecar, by the SHA-256 of their content, in a file that is gone with this process.

    Only files that have something beside them are hashed. For the thread that made it; `beside` is for any.
    """

    def __init__(self) -> None:
        self.beside = SidecarFiles()
        self.photos = 0
        # A nameless database: SQLite keeps it in a temporary file that nobody else sees.
        self._connection = sqlite3.connect("")
        self._connection.execute(_SCHEMA)

    def add(self, directory: str, *, stop: StopSignal) -> Iterator[FileOutcome]:
        """Walk a tree; yields what could not be read."""
        for found in chosen(Selection(paths=(directory,), user_id=_NOBODY)):
            if stop.is_set():
                return
            if isinstance(found, FileOutcome):
                if found.fate is Fate.FAILED:
                    yield found
            elif not found.path.lower().endswith(SIDECAR_NAMES) and self.beside.describes(found.path):
                try:
                    self._add(found)
                except OSError as error:
                    yield unreadable(found.path, error)

    def path_of(self, sha256: bytes | None) -> str | None:
        """Where a photo of this content lies, the first one found; None where none does."""
        row = self._connection.execute("SELECT path FROM photos WHERE sha256 = ?", (sha256,)).fetchone()
        return os.fsdecode(row[0]) if row else None

    def close(self) -> None:
        """Forget all."""
        self._connection.close()

    def _add(self, found: Found) -> None:
        with open(found.path, "rb") as file:  # noqa: PTH123  # a str keeps bytes that are no UTF-8
            digest = hashlib.file_digest(file, "sha256").digest()
        values = (digest, os.fsencode(found.path))
        self.photos += self._connection.execute("INSERT OR IGNORE INTO photos VALUES (?, ?)", values).rowcount
