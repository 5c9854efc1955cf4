"""File access: verified reads in bounded memory, atomic writes, translated errors."""

import errno
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from imgctl.errors import (
    NO_FILES_LEFT_HINT,
    BlobCorrupt,
    BlobExists,
    BlobMissing,
    StoreDenied,
    StoreError,
    StoreFull,
    out_of_files,
)
from imgctl.regular_files import regular
from imgctl.store.blobs.fsyncs import SharedSyncs, sync_directory

Chunk = bytes | memoryview
Publish = Callable[[Path, Path], None]

_TRIES = 100
_KNOWN_DIRECTORIES = 4096
_STALE_SECONDS = 7 * 86400
_FULL = {errno.ENOSPC, errno.EDQUOT}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_MISSING = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR}


class DurableDirectory:
    """A directory tree in which files appear whole, by a link or a rename from `.tmp/`, after their fsync."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._temporary = root / ".tmp"
        self._syncs = SharedSyncs()
        self._durable: set[Path] = set()
        self._lock = threading.Lock()
        self._swept = False

    def create(self, path: Path, chunks: Iterable[Chunk], *, modified_ns: int | None = None) -> None:
        """Write a file that must not exist yet, with this modification time or now; FileExistsError if it exists."""
        self._write(path, chunks, os.link, modified_ns=modified_ns)

    def link(self, source: Path, path: Path) -> None:
        """Hard-link a complete file that is on disk; FileExistsError if the name exists."""
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
        """Delete old temporary files of killed writers, once in this process."""
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
                # The directory is new, or was just removed.
                with self._lock:
                    self._durable.discard(path.parent)
                self._make(path.parent)
                continue
            self.settle(path.parent)
            return
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))

    def settle(self, directory: Path) -> None:
        """Fsync the directory and, once in this process, its parents up to the root."""
        self._syncs.sync(directory)
        if directory in self._durable:
            return
        # Another process may have made them, without an fsync so far.
        above = directory
        while above != self.root and above != above.parent:
            above = above.parent
            self._syncs.sync(above)
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
                # The parent is missing or was removed; the number of tries is limited for places like /proc.
                if not directory.parent.is_dir():
                    self._make(directory.parent)
            else:
                sync_directory(directory.parent)
                return
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(directory))


def _write_all(descriptor: int, chunk: Chunk) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def checked_chunks(source: FileIO, *, size: int, sha256: bytes, chunk_size: int) -> Iterator[memoryview]:
    """Chunks of exactly `chunk_size`, the last one shorter; BlobCorrupt at the end unless size and sha256 match.

    The views share one buffer: each is valid until the next one is requested.
    """
    digest, total = hashlib.sha256(), 0
    buffer = memoryview(bytearray(min(chunk_size, size + 1)))
    while count := _fill(source, buffer):
        digest.update(buffer[:count])
        total += count
        if total > size:
            break
        yield buffer[:count]
    if total != size or digest.digest() != sha256:
        raise _changed(source.name)


def _fill(source: FileIO, buffer: memoryview) -> int:
    count = 0
    while count < len(buffer) and (more := source.readinto(buffer[count:])):
        count += more
    return count


def read_checked(path: Path, *, size: int, sha256: bytes) -> bytes:
    """The whole file; BlobCorrupt unless it is `size` bytes with that sha256."""
    with open(path, "rb", opener=regular) as source:
        body = source.read(size + 1)
    if len(body) != size or hashlib.sha256(body).digest() != sha256:
        raise _changed(path)
    return body


def etag_of(found: os.stat_result) -> str:
    """An ETag for a file: its modification time and size."""
    return f"{found.st_mtime_ns:x}-{found.st_size:x}"


def unchanged(
    source: FileIO, key: str, *, etag: str, start: int = 0, length: int | None = None, chunk_size: int
) -> Iterator[bytes]:
    """Chunks of a file's `length` bytes from `start` on (all by default); BlobCorrupt unless it keeps its ETag."""
    left = os.fstat(source.fileno()).st_size - start if length is None else length
    source.seek(start)
    while left > 0 and (chunk := source.read(min(left, chunk_size))):
        left -= len(chunk)
        yield chunk
    if etag_of(os.fstat(source.fileno())) != etag:
        raise replaced(key)


def replaced(key: str) -> BlobCorrupt:
    """The error for a blob that changed since it was read."""
    return BlobCorrupt(f"{key} changed meanwhile", hint="run the same command again once no program writes to it")


def _changed(path: object) -> BlobCorrupt:
    return BlobCorrupt(f"{path} changed while reading", hint="upload it again once no program writes to it")


@contextmanager
def writing(key: str, path: Path) -> Iterator[None]:
    """Like `translated`, for writes: a missing file means that the path cannot be written."""
    try:
        with translated(key, path):
            yield
    except BlobMissing as error:
        raise StoreError(
            f"{path} cannot be written", hint="there is a file where a directory must be, or the reverse"
        ) from error


@contextmanager
def translated(key: str, path: Path) -> Iterator[None]:
    """Translate an OSError in the block into the matching StoreError."""
    try:
        yield
    except OSError as error:
        raise _store_error(error, key, path) from error


def _store_error(error: OSError, key: str, path: Path) -> StoreError:
    if isinstance(error, FileExistsError):
        return BlobExists(f"{key} is already in the store")
    if error.errno in _MISSING:
        return BlobMissing(f"there is no blob {key}", hint=f"looked for {path}")
    if error.errno == errno.EFBIG:
        return StoreFull(
            f"{path} would be larger than a file may be", hint="raise ulimit -f, or use another file system"
        )
    if error.errno in _FULL:
        return StoreFull(
            f"no space is left for {path}", hint="free space or raise the quota, then run the same command again"
        )
    if error.errno in _DENIED:
        return StoreDenied(f"{path}: {error.strerror}", hint="give this user the right to read and write there")
    if out_of_files(error):
        return StoreError(f"{path}: {error.strerror}", hint=NO_FILES_LEFT_HINT)
    return StoreError(f"{path}: {error.strerror or error}", hint="the store needs a file system with hard links")
