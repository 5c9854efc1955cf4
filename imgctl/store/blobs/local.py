"""The store that is a directory: what is there is whole, and what was created survives a power cut."""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISREG
from uuid import uuid4

from imgctl.errors import BlobCorrupt, BlobExists, BlobMissing, StoreDenied, StoreError, StoreFull
from imgctl.store.blobs.base import IMMUTABLE, Blob
from imgctl.store.blobs.durable import DurableDirectory
from imgctl.store.blobs.files import checked_chunks, etag_of, unchanged
from imgctl.store.blobs.names import checked
from imgctl.store.blobs.walk import Range, walk

_CHUNK = 4 * 2**20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_MISSING = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR}


class LocalStore:
    """Blobs as files below a directory, which is made on first use; it has no content types and no storage classes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files = DurableDirectory(root)

    @property
    def pushbacks(self) -> int:
        """Never: a disk makes its callers wait instead."""
        return 0

    def create(self, key: str, body: bytes, *, content_type: str) -> None:
        """Write and fsync a new file, link it to its name, fsync the directory; BlobExists when the name is taken."""
        path = self._path(key)
        with _writing(key, path):
            self._files.create(path, (body,))

    def create_file(self, key: str, path: Path, *, size: int, content_type: str, sha256: bytes) -> None:
        """Copy a file in chunks; BlobCorrupt when what was read is not `size` bytes with that sha256."""
        target = self._path(key)
        # The source opens outside: its errors are the caller's, not the store's.
        with path.open("rb", buffering=0) as source, _writing(key, target):
            self._files.create(target, checked_chunks(source, size=size, sha256=sha256, chunk_size=_CHUNK))

    def replace(self, key: str, body: bytes, *, content_type: str, cache_control: str = IMMUTABLE) -> None:
        """Write a file, over an older one if there is one."""
        path = self._path(key)
        with _writing(key, path):
            self._files.replace(path, (body,))

    def get(self, key: str) -> bytes:
        """The whole blob; BlobMissing when there is none."""
        path = self._path(key)
        with _translated(key, path):
            return path.read_bytes()

    def read(self, key: str, *, start: int, length: int, etag: str) -> bytes:
        """Up to `length` bytes from `start` on; BlobCorrupt when the file is no longer the one with this ETag."""
        path = self._path(key)
        with _translated(key, path), path.open("rb", buffering=0) as source:
            return b"".join(unchanged(source, key, etag=etag, start=start, length=length, chunk_size=_CHUNK))

    def copy(self, source_key: str, key: str, *, etag: str, content_type: str) -> None:
        """Copy a file in chunks, never by a link: nobody who writes to the source may change an original."""
        target, path = self._path(key), self._path(source_key)
        with _translated(source_key, path):
            source = path.open("rb", buffering=0)
        with source, _writing(key, target):
            self._files.create(target, unchanged(source, source_key, etag=etag, chunk_size=_CHUNK))

    def head(self, key: str) -> Blob | None:
        """The blob's description, or None when there is none."""
        path = self._path(key)
        try:
            with _translated(key, path):
                found = path.stat()
        except BlobMissing:
            return None
        return _blob(key, found) if S_ISREG(found.st_mode) else None

    def scan(self, *, prefix: str = "", after: str = "", until: str = "") -> Iterator[Blob]:
        """Blobs in UTF-8 byte order of their keys; an absent root holds none."""
        with _translated("", self._root):
            for key, found in walk(self._root, Range(prefix=prefix, after=after, until=until)):
                yield _blob(key, found)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete blobs; their directories stay, so that nobody's create meets a vanishing one."""
        for key in keys:
            path = self._path(key)
            with _translated(key, path), suppress(FileNotFoundError, NotADirectoryError):
                path.unlink()

    def sign(self, key: str, *, seconds: int, method: str = "GET") -> str:
        """The file's URL; what it allows is the file system's to say."""
        return self._path(key).as_uri()

    def check(self) -> None:
        """Write, read and delete a probe."""
        key, body = f".imgctl-check/{uuid4()}", b"imgctl"
        try:
            self.create(key, body, content_type="text/plain")
            if self.get(key) != body:
                raise BlobCorrupt(f"{self._root} does not give back what was written", hint="check the disk")
        finally:
            self.delete([key])
            with suppress(OSError):
                self._path(key).parent.rmdir()

    def _path(self, key: str) -> Path:
        return self._root / checked(key)


def _blob(key: str, found: os.stat_result) -> Blob:
    return Blob(
        key=key,
        size=found.st_size,
        modified_at=datetime.fromtimestamp(found.st_mtime, UTC),
        etag=etag_of(found),
    )


@contextmanager
def _writing(key: str, path: Path) -> Iterator[None]:
    try:
        with _translated(key, path):
            yield
    except BlobMissing as error:
        raise StoreError(
            f"{path} cannot be written", hint="a file lies where a directory must be, or the reverse"
        ) from error


@contextmanager
def _translated(key: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _store_error(error, key, path) from error


def _store_error(error: OSError, key: str, path: Path) -> StoreError:
    if isinstance(error, FileExistsError):
        return BlobExists(f"{key} is already in the store")
    if error.errno in _MISSING:
        return BlobMissing(f"there is no blob {key}", hint=f"looked for {path}")
    if error.errno in _FULL:
        return StoreFull(f"no space is left for {path}", hint="free some, or raise the quota, and run the same again")
    if error.errno in _DENIED:
        return StoreDenied(f"{path}: {error.strerror}", hint="give this user the right to read and write there")
    return StoreError(f"{path}: {error.strerror or error}", hint="the store needs a file system with hard links")
