"""The second root of a directory store: originals of the other storage classes, a directory a class.

A blob lies under the first root (STANDARD) or below `<archive>/<CLASS>/`; for an instant of a move, or after a kill in
it, under both: then the earlier class counts. What is GLACIER or DEEP_ARCHIVE is readable while a restore of it lasts.
"""

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import merge
from io import FileIO
from operator import itemgetter
from pathlib import Path
from stat import S_ISREG
from zlib import crc32

from imgctl.errors import BlobArchived, BlobCorrupt
from imgctl.model import StorageClass, is_archived
from imgctl.store.blobs.files import DurableDirectory, etag_of, replaced, sync_directory, unchanged
from imgctl.store.blobs.walk import Range, files_below, walk

_RESTORED = ".restored"
_LOCKS = ".locks"
_MOST_LOCKS = 64
_TRIES = 3
_CHUNK = 4 * 2**20
_NOTHING_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Where a blob lies, in which class, and until when a restore lets it be read."""

    path: Path
    storage_class: StorageClass
    stat: os.stat_result
    restored_until: datetime | None = None

    @property
    def readable(self) -> bool:
        """Whether its bytes may be read now."""
        return not is_archived(self.storage_class) or self.restored_until is not None


class Archive:
    """Both roots of a store: `root` for STANDARD, `archive` for the rest; raises OSError, and BlobArchived."""

    def __init__(self, root: Path, archive: Path) -> None:
        self.root = root
        self.archive = archive
        self._sidecars = DurableDirectory(archive)

    def place(self, key: str, storage_class: StorageClass) -> Path:
        """Where a blob of that class lies."""
        return self._directory(storage_class) / key

    def find(self, key: str) -> Held | None:
        """Where the blob lies, or None."""
        # Twice: a move may take it from where was not yet looked to where was looked already.
        for _ in range(2):
            found = next(self.places(key), None)
            if found is not None:
                return found
        return None

    def places(self, key: str) -> Iterator[Held]:
        """Everywhere it lies: one place, but for moves under way or cut short."""
        classes = StorageClass if self.archive.is_dir() else (StorageClass.STANDARD,)
        for storage_class in classes:
            path = self.place(key, storage_class)
            found = _stat(path)
            if found is not None and S_ISREG(found.st_mode):
                yield self._held(key, path, storage_class, found)

    def is_archived(self, key: str) -> bool:
        """Whether it lies under the archive root."""
        return any(held.storage_class is not StorageClass.STANDARD for held in self.places(key))

    def open(self, key: str) -> FileIO:
        """Open for reading; FileNotFoundError when it lies nowhere, BlobArchived when it must be restored first."""
        for _ in range(_TRIES):
            held = self.readable(key)
            # Moved since it was found.
            with suppress(FileNotFoundError):
                return held.path.open("rb", buffering=0)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.root / key))

    def readable(self, key: str) -> Held:
        """Where a blob lies that may be read; raises as `open` does."""
        held = self.find(key)
        if held is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.root / key))
        refuse_archived(key, held)
        return held

    def scan(self, wanted: Range) -> Iterator[tuple[str, Held]]:
        """All blobs in the range in byte order of their keys, whatever their class."""
        last = ""
        for key, _, found, storage_class in self._walks(wanted):
            if key != last:
                last = key
                yield key, self._held(key, self.place(key, storage_class), storage_class, found)

    def delete(self, key: str) -> None:
        """Delete it wherever it lies; nothing there is no error."""
        if self.archive.is_dir():
            self._drop(key, tuple(StorageClass))
            return
        with suppress(FileNotFoundError, NotADirectoryError):
            (self.root / key).unlink()

    def drop(self, key: str) -> None:
        """Delete what of it lies under the archive root: it was overwritten."""
        if self.archive.is_dir():
            self._drop(key, tuple(one for one in StorageClass if one is not StorageClass.STANDARD))

    def _drop(self, key: str, classes: tuple[StorageClass, ...]) -> None:
        with self.locked(key):
            for storage_class in classes:
                with suppress(FileNotFoundError, NotADirectoryError):
                    self.place(key, storage_class).unlink()
            self.forget_restore(key)

    def note_restore(self, key: str, until: datetime) -> None:
        """Let an archived blob be read until then."""
        self._sidecars.replace(self._sidecar(key), (until.isoformat().encode(),))

    def forget_restore(self, key: str) -> None:
        """End its restore, if there is one."""
        with suppress(FileNotFoundError, NotADirectoryError):
            self._sidecar(key).unlink()

    @contextmanager
    def locked(self, key: str) -> Iterator[None]:
        """Let nobody else, in any process, move or delete this blob meanwhile."""
        directory = self.archive / _LOCKS
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / f"{crc32(key.encode()) % _MOST_LOCKS:02}").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _walks(self, wanted: Range) -> Iterator[tuple[str, int, os.stat_result, StorageClass]]:
        classes = tuple(StorageClass) if self.archive.is_dir() else (StorageClass.STANDARD,)
        walks = [self._walk(rank, storage_class, wanted) for rank, storage_class in enumerate(classes)]
        return iter(walks[0]) if len(walks) == 1 else merge(*walks, key=itemgetter(0, 1))

    def _walk(
        self, rank: int, storage_class: StorageClass, wanted: Range
    ) -> Iterator[tuple[str, int, os.stat_result, StorageClass]]:
        for key, path in walk(files_below(self._directory(storage_class)), wanted):
            # A file that is deleted meanwhile is no longer listed.
            with suppress(FileNotFoundError):
                yield key, rank, os.stat(path), storage_class  # noqa: PTH116 (a Path a file costs more than the stat)

    def _directory(self, storage_class: StorageClass) -> Path:
        return self.root if storage_class is StorageClass.STANDARD else self.archive / storage_class

    def _held(self, key: str, path: Path, storage_class: StorageClass, found: os.stat_result) -> Held:
        until = self._restored_until(key) if is_archived(storage_class) else None
        return Held(path=path, storage_class=storage_class, stat=found, restored_until=until)

    def _restored_until(self, key: str) -> datetime | None:
        with suppress(FileNotFoundError, NotADirectoryError, ValueError):
            until = datetime.fromisoformat(self._sidecar(key).read_text())
            return until if until > datetime.now(UTC) else None
        return None

    def _sidecar(self, key: str) -> Path:
        return self.archive / _RESTORED / key


def _stat(path: Path) -> os.stat_result | None:
    """The file's state; None where there is none, or none can be: a name too long for the file system."""
    try:
        return path.stat()
    except OSError as error:
        if error.errno in _NOTHING_THERE:
            return None
        raise


def refuse_archived(key: str, held: Held) -> None:
    """BlobArchived unless it may be read now."""
    if not held.readable:
        hint = f"restore it first: imgctl restore {key}"
        raise BlobArchived(f"{key} lies in an archive storage class ({held.storage_class})", hint=hint)


def move(archive: Archive, key: str, *, to: StorageClass, etag: str) -> Held:
    """Give it its name in the new class, then take the old one away; FileNotFoundError when it lies nowhere.

    Where both roots are on one file system nothing of it changes; else it is copied, looked at again, and keeps its
    ETag if the other file system keeps times as exactly.
    """
    with archive.locked(key):
        held = archive.find(key)
        if held is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(archive.root / key))
        if held.storage_class is not to:
            held = _taken(archive, key, _movable(archive, key, held, etag), to)
            archive.forget_restore(key)
        for left in list(archive.places(key)):
            if left.storage_class is not to:
                _refuse_different(left.path, held.path)
                left.path.unlink(missing_ok=True)
                sync_directory(left.path.parent)
        return held


def _movable(archive: Archive, key: str, held: Held, etag: str) -> Held:
    refuse_archived(key, held)
    if etag_of(held.stat) != etag:
        raise replaced(key)
    return held


def _taken(archive: Archive, key: str, held: Held, to: StorageClass) -> Held:
    path = archive.place(key, to)
    directory = DurableDirectory(archive.root if to is StorageClass.STANDARD else archive.archive)
    try:
        _link_or_copy(directory, key, held, path)
    except FileExistsError:
        # Left by a move that was cut short, perhaps before its name was on the disk.
        directory.settle(path.parent)
    _refuse_different(held.path, path)
    return Held(path=path, storage_class=to, stat=path.stat())


def _link_or_copy(directory: DurableDirectory, key: str, held: Held, path: Path) -> None:
    try:
        directory.link(held.path, path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    else:
        return
    with held.path.open("rb", buffering=0) as source:
        chunks = unchanged(source, key, etag=etag_of(held.stat), chunk_size=_CHUNK)
        directory.create(path, chunks, modified_ns=held.stat.st_mtime_ns)


def _refuse_different(one: Path, other: Path) -> None:
    """BlobCorrupt unless both are one file, or hold the same bytes."""
    if one.samefile(other) or _digest(one) == _digest(other):
        return
    hint = "compare them, and take the wrong one away by hand"
    raise BlobCorrupt(f"{one} and {other} should be one blob, and differ", hint=hint)


def _digest(path: Path) -> bytes:
    digest = hashlib.sha256()
    for chunk in _chunks(path):
        digest.update(chunk)
    return digest.digest()


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as source:
        # What was just written is to be read from the disk, not from memory.
        os.posix_fadvise(source.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while chunk := source.read(_CHUNK):
            yield chunk
