"""A blob moved between the roots of a directory store, so that no kill at any instant leaves it nowhere."""

import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from imgctl.errors import BlobCorrupt
from imgctl.model import StorageClass
from imgctl.store.blobs.archive import Archive, Held, refuse_archived
from imgctl.store.blobs.durable import DurableDirectory, sync_directory
from imgctl.store.blobs.files import etag_of, replaced, unchanged

_CHUNK = 4 * 2**20


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
