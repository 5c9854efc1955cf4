"""A spool for incoming bytes: the first piece in memory, more in a file, hashed as they arrive."""

import hashlib
import os
from pathlib import Path

from imgctl.run.scratch import Scratch

PIECE_BYTES = 512 * 2**10


class SpoolDirectory:
    """This process's directory for incomplete uploads; the directories of killed processes are deleted first."""

    def __init__(self, parent: str) -> None:
        self._scratch = Scratch("spool", parent=Path(parent).expanduser() if parent else None)

    def open(self) -> "Spool":
        """Return a new, empty spool."""
        return Spool(self.place())

    def place(self) -> Path:
        """Return an unused path in this directory."""
        return self._scratch.path / os.urandom(8).hex()

    def close(self) -> None:
        """Remove the directory and its content."""
        self._scratch.close()


class Spool:
    """The `size` bytes received from one client so far, `head` being the first piece; one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.size = 0
        self.head = b""
        self._path = path
        self._digest = hashlib.sha256()
        self._file: int | None = None

    @property
    def sha256(self) -> bytes:
        """The SHA-256 of the bytes so far."""
        return self._digest.digest()

    @property
    def path(self) -> Path:
        """The file that holds the bytes, unless all of them are in `head`."""
        return self._path

    @property
    def whole_in_memory(self) -> bool:
        """Whether `head` holds all bytes."""
        return self._file is None

    def add(self, piece: bytes) -> None:
        """Append the next bytes, ideally PIECE_BYTES at a time; the first piece stays in memory."""
        self._digest.update(piece)
        self.size += len(piece)
        if not self.head:
            self.head = piece
            return
        if self._file is None:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self._write(self.head)
        self._write(piece)

    def close(self) -> None:
        """Delete the bytes."""
        if self._file is not None:
            os.close(self._file)
            self._path.unlink(missing_ok=True)

    def _write(self, piece: bytes) -> None:
        assert self._file is not None
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(self._file, rest) :]
