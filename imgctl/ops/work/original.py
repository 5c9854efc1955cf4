"""An original on its way to the decoder: a small one in memory, a large one in a file that is mapped."""

import errno
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path

from imgctl.errors import BlobMissing, WorkerError
from imgctl.imaging.source import Data
from imgctl.store.blobs.base import Blob, BlobStore
from imgctl.units import format_bytes

SPOOL_FROM_BYTES = 64 * 2**20
CHUNK_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """What `render` reads; to be closed when that is done."""

    data: Data

    def close(self) -> None:
        """Give up the file, which has no name and is gone with it."""
        if isinstance(self.data, mmap):
            # A decoder that still points into it keeps it until that is collected.
            with suppress(BufferError):
                self.data.close()


def fetch(store: BlobStore, key: str, *, size: int, directory: Path | None, spool_from: int) -> Original:
    """Read a blob; from `spool_from` bytes on (`size` 0: unknown) by ranges of one version into a file in `directory`.

    No process that dies leaves the file behind. Raises the StoreError that fits; WorkerError where there is no room.
    """
    if 0 < size < spool_from:
        return Original(data=store.get(key))
    blob = store.head(key)
    if blob is None:
        raise BlobMissing(f"there is no blob {key}", hint="imgctl audit says what else is missing")
    if blob.size < spool_from or not blob.etag:
        return Original(data=store.get(key))
    try:
        return Original(data=_spooled(store, blob, blob.etag, directory))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise WorkerError(
            f"no room for an original of {format_bytes(blob.size)} in {directory or tempfile.gettempdir()}",
            hint="make room, or set TMPDIR to a larger directory",
        ) from None


def _spooled(store: BlobStore, blob: Blob, etag: str, directory: Path | None) -> mmap:
    with tempfile.TemporaryFile(prefix="imgctl-work-", dir=directory) as file:
        for start in range(0, blob.size, CHUNK_BYTES):
            length = min(CHUNK_BYTES, blob.size - start)
            file.write(store.read(blob.key, start=start, length=length, etag=etag))
        file.flush()
        return mmap(file.fileno(), blob.size, access=ACCESS_READ)
