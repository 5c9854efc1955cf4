"""Bytes on their way in: a small beginning in memory, what is more in a file, hashed as they come."""

import hashlib
import os
from pathlib import Path

from imgctl.run.scratch import Scratch

PIECE_BYTES = 512 * 2**10


class SpoolDirectory:
    """A directory of this process for uploads that are not whole yet; what killed processes left is dropped first."""

    def __init__(self, parent: str) -> None:
        self._scratch = Scratch("spool", parent=Path(parent) if parent else None)

    def open(self) -> "Spool":
        """A new, empty spool."""
        return Spool(self.place())

    def place(self) -> Path:
        """A path of this directory that nothing has."""
        return self._scratch.path / os.urandom(8).hex()

    def close(self) -> None:
        """Remove the directory and whatever is in it."""
        self._scratch.close()


class Spool:
    """What one client has sent so far: `size` bytes, of which `head` are the first; one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.size = 0
        self.head = b""
        self._path = path
        self._digest = hashlib.sha256()
        self._file: int | None = None

    @property
    def sha256(self) -> bytes:
        """The SHA-256 of everything so far."""
        return self._digest.digest()

    @property
    def path(self) -> Path:
        """Where the bytes are, unless all of them are in `head`."""
        return self._path

    @property
    def whole_in_memory(self) -> bool:
        """Whether `head` is all there is."""
        return self._file is None

    def add(self, piece: bytes) -> None:
        """Take the next bytes, at best PIECE_BYTES at a time; the first piece stays in memory."""
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
        """Drop the bytes."""
        if self._file is not None:
            os.close(self._file)
            self._path.unlink(missing_ok=True)

    def _write(self, piece: bytes) -> None:
        assert self._file is not None
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(self._file, rest) :]
