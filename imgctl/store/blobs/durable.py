"""Files that are whole or absent, and survive a power cut once written."""

import errno
import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

Chunk = bytes | memoryview
Publish = Callable[[Path, Path], None]

_TRIES = 100
_KNOWN_DIRECTORIES = 4096
_STALE_SECONDS = 7 * 86400


class DurableDirectory:
    """A directory tree in which files appear whole, by a link or a rename from `.tmp/`, after their fsync."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._temporary = root / ".tmp"
        self._durable: set[Path] = set()
        self._lock = threading.Lock()
        self._swept = False

    def create(self, path: Path, chunks: Iterable[Chunk], *, modified_ns: int | None = None) -> None:
        """Write a file that must not exist yet, dated now or so; FileExistsError when it does."""
        self._write(path, chunks, os.link, modified_ns=modified_ns)

    def link(self, source: Path, path: Path) -> None:
        """Give a file that is whole and on disk a second name; FileExistsError when that is taken."""
        self._publish(source, path, os.link)

    def replace(self, path: Path, chunks: Iterable[Chunk]) -> None:
        """Write a file, over an older one if there is one."""
        self._write(path, chunks, os.replace)

    def _write(self, path: Path, chunks: Iterable[Chunk], publish: Publish, *, modified_ns: int | None = None) -> None:
        temporary = self._write_temporary(chunks, modified_ns)
        try:
            self._publish(temporary, path, publish)
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()

    def _write_temporary(self, chunks: Iterable[Chunk], modified_ns: int | None) -> Path:
        if not self._swept:
            self._sweep()
        temporary = self._temporary / f"{os.getpid()}-{os.urandom(8).hex()}"
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileNotFoundError:
            self._make(self._temporary)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            for chunk in chunks:
                _write_all(descriptor, chunk)
            if modified_ns is not None:
                os.utime(descriptor, ns=(modified_ns, modified_ns))
            os.fsync(descriptor)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        return temporary

    def _sweep(self) -> None:
        """Once in this process, drop what killed writers left behind long ago."""
        self._swept = True
        oldest = time.time() - _STALE_SECONDS
        with suppress(OSError):
            for left in self._temporary.iterdir():
                with suppress(FileNotFoundError):
                    if left.stat().st_mtime < oldest:
                        left.unlink()

    def _publish(self, temporary: Path, path: Path, publish: Publish) -> None:
        for _ in range(_TRIES):
            try:
                publish(temporary, path)
            except FileNotFoundError:
                # The directory is new, or somebody has just removed it.
                with self._lock:
                    self._durable.discard(path.parent)
                self._make(path.parent)
                continue
            self.settle(path.parent)
            return
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))

    def settle(self, directory: Path) -> None:
        """Fsync the directory, and once in this process those above it, up to the root and what `_make` made."""
        sync_directory(directory)
        if directory in self._durable:
            return
        # Another process may have made them and not yet come to its own fsync.
        above = directory
        while above != self.root and above != above.parent:
            above = above.parent
            sync_directory(above)
        with self._lock:
            if len(self._durable) >= _KNOWN_DIRECTORIES:
                self._durable.clear()
            self._durable.add(directory)

    def _make(self, directory: Path) -> None:
        for _ in range(_TRIES):
            try:
                directory.mkdir()
            except FileExistsError:
                return
            except FileNotFoundError:
                # The one above is missing, or somebody removed it; where nothing can be made (/proc) the tries end.
                if not directory.parent.is_dir():
                    self._make(directory.parent)
            else:
                sync_directory(directory.parent)
                return
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(directory))


def sync_directory(directory: Path) -> None:
    """Make the directory's entries survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, chunk: Chunk) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
