"""Bytes on their way in: a small beginning in memory, what is more in a file, hashed as they come."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from tempfile import gettempdir, mkdtemp

PIECE_BYTES = 512 * 2**10
_PREFIX = "imgctl-spool-"


class SpoolDirectory:
    """A directory of this process for uploads that are not whole yet; what killed processes left is dropped first."""

    def __init__(self, parent: str) -> None:
        place = Path(parent or gettempdir())
        place.mkdir(parents=True, exist_ok=True)
        _sweep(place)
        self._path = Path(mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=place))

    def open(self) -> "Spool":
        """A new, empty spool."""
        return Spool(self._path / os.urandom(8).hex())

    def close(self) -> None:
        """Remove the directory and whatever is in it."""
        _remove(self._path)


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


def _sweep(place: Path) -> None:
    for left in place.glob(f"{_PREFIX}*"):
        owner = left.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not _alive(int(owner)):
            _remove(left)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        # Somebody else's.
        return True
    return True


def _remove(directory: Path) -> None:
    with suppress(OSError):
        for file in directory.iterdir():
            file.unlink(missing_ok=True)
        directory.rmdir()
