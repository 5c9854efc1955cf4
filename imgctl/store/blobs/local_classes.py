"""The second root of a directory store: originals of the other storage classes, a directory a class.

A blob is under the first root (STANDARD) or below `<archive>/<CLASS>/`; briefly during a move, or after a kill in it,
under both: then the first class in order counts. GLACIER and DEEP_ARCHIVE blobs are readable while restored.
"""

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from heapq import merge
from io import FileIO
from operator import attrgetter
from pathlib import Path
from stat import S_ISREG
from zlib import crc32

from imgctl.errors import BlobArchived, BlobCorrupt
from imgctl.model import S3_CLASSES, UNKNOWN, StorageClass, is_archived
from imgctl.store.blobs.base import Blob
from imgctl.store.blobs.files import DurableDirectory, etag_of, replaced, unchanged
from imgctl.store.blobs.fsyncs import sync_directory
from imgctl.store.blobs.walk import Range, files_below, walk

_RESTORED = ".restored"
_LOCKS = ".locks"
_MOST_LOCKS = 64
_TRIES = 3
_CHUNK = 4 * 2**20
_NOT_FOUND = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)


class Archive:
    """Both roots of a store: `root` for STANDARD, `archive` for the rest; raises OSError, and BlobArchived."""

    def __init__(self, root: Path, archive: Path) -> None:
        self.root = root
        self.archive = archive
        self._sidecars = DurableDirectory(archive)

    def place(self, key: str, storage_class: str) -> Path:
        """The path of a blob of that class."""
        return (self.root if storage_class == StorageClass.STANDARD else self.archive / storage_class) / key

    def find(self, key: str) -> Blob | None:
        """The blob, or None."""
        # Twice: a concurrent move may take it to a class that was already checked.
        for _ in range(2):
            found = next(self.places(key), None)
            if found is not None:
                return found
        return None

    def get(self, key: str) -> Blob:
        """The blob; FileNotFoundError if it does not exist."""
        found = self.find(key)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.root / key))
        return found

    def places(self, key: str) -> Iterator[Blob]:
        """Every copy of the blob: one, except during or after an interrupted move."""
        for storage_class in self._classes():
            found = _stat(self.place(key, storage_class))
            if found is not None and S_ISREG(found.st_mode):
                yield self._blob(key, storage_class, found)

    def is_archived(self, key: str) -> bool:
        """Whether the blob is under the archive root."""
        return any(blob.storage_class != StorageClass.STANDARD for blob in self.places(key))

    def open(self, key: str) -> FileIO:
        """Open for reading; FileNotFoundError if it does not exist, BlobArchived if it must be restored first."""
        for _ in range(_TRIES):
            blob = self.get(key)
            require_readable(blob)
            # Moved since it was found.
            with suppress(FileNotFoundError):
                return self.place(key, blob.storage_class).open("rb", buffering=0)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.root / key))

    def scan(self, wanted: Range) -> Iterator[Blob]:
        """All blobs in the range in byte order of their keys, whatever their class."""
        last = ""
        # Copies of one key come in the order of classes.
        for blob in merge(*(self._walk(one, wanted) for one in self._classes()), key=attrgetter("key")):
            if blob.key != last:
                last = blob.key
                yield blob

    def everywhere(self, stems: Sequence[str]) -> Iterator[tuple[str, str, os.stat_result]]:
        """Yield key, class and stat of files below both roots whose keys begin with one of `stems`, restore sidecars too.

        Each directory is read once for all stems in it.
        """
        below: dict[str, list[str]] = {}
        for stem in stems:
            below.setdefault(stem[: stem.rfind("/") + 1], []).append(stem)
        places = [(one.value, self.place("", one)) for one in self._classes()]
        if self.archive.is_dir():
            places.append((UNKNOWN, self.archive / _RESTORED))
        for under, mine in below.items():
            wanted = Range(prefix=mine[0] if len(mine) == 1 else under)
            beginnings, lengths = set(mine), {len(stem) for stem in mine}
            for storage_class, root in places:
                for key, path in walk(files_below(root), wanted, under):
                    if any(key[:length] in beginnings for length in lengths):
                        with suppress(FileNotFoundError):
                            yield key, storage_class, os.stat(path)  # noqa: PTH116 (as in _walk)

    def delete(self, key: str, *, but: StorageClass | None = None) -> None:
        """Delete the blob in all classes except `but`; a missing one is ignored."""
        with self.locked(key) if self.archive.is_dir() else nullcontext():
            for storage_class in self._classes():
                if storage_class is not but:
                    with suppress(FileNotFoundError, NotADirectoryError):
                        self.place(key, storage_class).unlink()
            self.forget_restore(key)

    def note_restore(self, key: str, until: datetime) -> None:
        """Make an archived blob readable until `until`."""
        self._sidecars.replace(self._sidecar(key), (until.isoformat().encode(),))

    def forget_restore(self, key: str) -> None:
        """End the blob's restore, if there is one."""
        with suppress(FileNotFoundError, NotADirectoryError):
            self._sidecar(key).unlink()

    @contextmanager
    def locked(self, key: str) -> Iterator[None]:
        """Lock this blob against moves and deletions by other threads and processes."""
        directory = self.archive / _LOCKS
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / f"{crc32(key.encode()) % _MOST_LOCKS:02}").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _classes(self) -> tuple[StorageClass, ...]:
        return S3_CLASSES if self.archive.is_dir() else (StorageClass.STANDARD,)

    def _walk(self, storage_class: StorageClass, wanted: Range) -> Iterator[Blob]:
        for key, path in walk(files_below(self.place("", storage_class)), wanted):
            # A file that is deleted meanwhile is no longer listed.
            with suppress(FileNotFoundError):
                yield self._blob(key, storage_class, os.stat(path))  # noqa: PTH116 (a Path a file costs more than the stat)

    def _blob(self, key: str, storage_class: StorageClass, found: os.stat_result) -> Blob:
        return Blob(
            key=key,
            size=found.st_size,
            modified_at=datetime.fromtimestamp(found.st_mtime, UTC),
            etag=etag_of(found),
            storage_class=storage_class,
            restored_until=self._restored_until(key) if is_archived(storage_class) else None,
        )

    def _restored_until(self, key: str) -> datetime | None:
        with suppress(FileNotFoundError, NotADirectoryError, ValueError):
            until = datetime.fromisoformat(self._sidecar(key).read_text())
            return until if until > datetime.now(UTC) else None
        return None

    def _sidecar(self, key: str) -> Path:
        return self.archive / _RESTORED / key


def _stat(path: Path) -> os.stat_result | None:
    """The file's stat; None if it does not exist or cannot: a name too long for the file system."""
    try:
        return path.stat()
    except OSError as error:
        if error.errno in _NOT_FOUND:
            return None
        raise


def require_readable(blob: Blob) -> None:
    """Raise BlobArchived unless the blob can be read now."""
    if not blob.readable:
        hint = f"restore it first: imgctl restore {blob.key}"
        raise BlobArchived(f"{blob.key} is in an archive storage class ({blob.storage_class})", hint=hint)


def move(archive: Archive, key: str, *, to: StorageClass, etag: str) -> Blob:
    """Create the file in the new class, then delete the old one; FileNotFoundError if it does not exist.

    On one file system the file is hard-linked; else it is copied and verified, and keeps its ETag if the other file
    system stores times with the same precision.
    """
    with archive.locked(key):
        blob = archive.get(key)
        if blob.storage_class != to:
            require_readable(blob)
            if blob.etag != etag:
                raise replaced(key)
            _take(archive, blob, to)
            archive.forget_restore(key)
        for left in list(archive.places(key)):
            if left.storage_class != to:
                path = archive.place(key, left.storage_class)
                _require_equal(path, archive.place(key, to))
                path.unlink(missing_ok=True)
                sync_directory(path.parent)
        return archive.get(key)


def _take(archive: Archive, blob: Blob, to: StorageClass) -> None:
    source, path = archive.place(blob.key, blob.storage_class), archive.place(blob.key, to)
    directory = DurableDirectory(archive.root if to is StorageClass.STANDARD else archive.archive)
    try:
        _link_or_copy(directory, source, path, blob)
    except FileExistsError:
        # Left by an interrupted move, perhaps before its directory entry was on disk.
        directory.settle(path.parent)
    _require_equal(source, path)


def _link_or_copy(directory: DurableDirectory, source: Path, path: Path, blob: Blob) -> None:
    try:
        directory.link(source, path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    else:
        return
    with source.open("rb", buffering=0) as opened:
        chunks = unchanged(opened, blob.key, etag=blob.etag, chunk_size=_CHUNK)
        directory.create(path, chunks, modified_ns=source.stat().st_mtime_ns)


def _require_equal(one: Path, other: Path) -> None:
    """Raise BlobCorrupt unless both are one file or have the same bytes."""
    if one.samefile(other) or _digest(one) == _digest(other):
        return
    hint = "compare them, and delete the wrong one by hand"
    raise BlobCorrupt(f"{one} and {other} should be one blob, but differ", hint=hint)


def _digest(path: Path) -> bytes:
    digest = hashlib.sha256()
    for chunk in _chunks(path):
        digest.update(chunk)
    return digest.digest()


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as source:
        # Read the written bytes from disk, not from the page cache.
        os.posix_fadvise(source.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while chunk := source.read(_CHUNK):
            yield chunk
