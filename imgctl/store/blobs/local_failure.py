"""What went wrong between us and a directory, told from the system's error."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imgctl.errors import BlobExists, BlobMissing, StoreDenied, StoreError, StoreFull

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_MISSING = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR}


@contextmanager
def writing(key: str, path: Path) -> Iterator[None]:
    """Like `translated`, where nothing can be missing but a place to write to."""
    try:
        with translated(key, path):
            yield
    except BlobMissing as error:
        raise StoreError(
            f"{path} cannot be written", hint="a file lies where a directory must be, or the reverse"
        ) from error


@contextmanager
def translated(key: str, path: Path) -> Iterator[None]:
    """Raise the StoreError that fits for an OSError within."""
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
