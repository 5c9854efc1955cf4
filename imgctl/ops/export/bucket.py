"""A bucket as the target of an export."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from imgctl.errors import BlobExists, UsageError
from imgctl.ops.common.ranges import sha256_of
from imgctl.ops.export.sinks import BAGIT, Member, Written
from imgctl.ops.ingest.spool import SpoolDirectory
from imgctl.store.blobs.base import BlobStore


class BucketSink:
    """A prefix of a bucket. A blob larger than a piece is spooled to disk until it has been checked."""

    removes = True

    def __init__(self, store: BlobStore, url: str) -> None:
        self._store = store
        self._url = url.rstrip("/")
        self._spools = SpoolDirectory("")

    def is_complete(self) -> bool:
        return self._store.head(BAGIT) is not None

    def begin(self, end: int) -> None:
        self._store.reach()

    def put(
        self, path: str, pieces: Iterable[bytes], *, content_type: str, at: datetime, over: bool = False
    ) -> Written:
        spool = self._spools.open()
        try:
            for piece in pieces:
                spool.add(piece)
            if over:
                self._store.delete([path])
            if spool.whole_in_memory:
                self._store.create(path, spool.head, content_type=content_type)
            else:
                self._store.create_file(
                    path, spool.path, size=spool.size, content_type=content_type, sha256=spool.sha256
                )
        except BlobExists:
            if self.holds(path, size=spool.size, sha256=spool.sha256):
                return Written(sha256=spool.sha256, size=spool.size, anew=False)
            hint = "delete it, or name another --out"
            raise UsageError(f"{self._url}/{path} exists and differs", hint=hint) from None
        finally:
            spool.close()
        return Written(sha256=spool.sha256, size=spool.size)

    def holds(self, path: str, *, size: int, sha256: bytes | None = None) -> bool:
        blob = self._store.head(path)
        return blob is not None and blob.size == size and (sha256 is None or sha256_of(self._store, blob) == sha256)

    def remove(self, path: str) -> None:
        self._store.delete([path])

    def others(self, payload: str) -> Iterator[str]:
        return (blob.key for blob in self._store.scan(prefix=payload))

    def finish(self, members: Iterable[Member]) -> None:
        """Do nothing: `bagit.txt`, the last object, marks the bag as complete."""

    def sync(self) -> None:
        """Do nothing: an object is durable once it is put."""

    def close(self) -> None:
        self._spools.close()
