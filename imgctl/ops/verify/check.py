"""Checks that a file's content is safe: its owner has a confirmed row of it, and the row's original is in the store."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from uuid import UUID

from imgctl.errors import BlobArchived, BlobCorrupt, BlobMissing, StoreUnavailable
from imgctl.keys import ORIGINAL
from imgctl.model import Image, Status
from imgctl.ops.common.open import Parts
from imgctl.ops.common.range_reads import sha256_of, stored_sha256
from imgctl.ops.common.retry import StopSignal, read, retry
from imgctl.ops.common.row_blobs import BlobLooker, RowBlobs
from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.store.blobs.base import Blob
from imgctl.store.catalog.queries.lookups import Owned, by_content
from imgctl.units import count_of

UNSAFE = frozenset(
    (
        Reason.MISSING,
        Reason.NOT_CONFIRMED,
        Reason.ORIGINAL_MISSING,
        Reason.SIZE_DIFFERS,
        Reason.CONTENT_DIFFERS,
    )
)
"""The reasons why a file that was read is not safe."""
_MD5_DIGITS = 32


class Against(StrEnum):
    """Where a content must be to be safe: in the catalog alone, or in the store, too."""

    STORE = "store"
    CATALOG = "catalog"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hashed:
    """A file and its digests, from reading it or `from_journal`; `md5` only if a bucket's ETag may equal it."""

    path: str
    user_id: UUID
    sha256: bytes
    size: int
    md5: str = ""
    from_journal: bool = False

    @property
    def owned(self) -> Owned:
        """Its owner and content, by which the catalog is queried."""
        return Owned(user_id=self.user_id, sha256=self.sha256)


class Checker:
    """Checks files a batch at a time: a query for their rows, and a listing or requests for their originals.

    Raises errors that end a whole run: an outage of the database or the store, a missing permission. Not thread-safe.
    """

    def __init__(self, parts: Parts, *, against: Against, pool: Executor, stop: StopSignal) -> None:
        self._parts = parts
        self._against = against
        self._pool = pool
        self._stop = stop
        self._looker = BlobLooker(parts.store, parts.settings.store, pool=pool, stop=stop, roles=(ORIGINAL,))
        self._reads = not is_bucket(parts)
        # False once an ETag differs though the content is the same: with SSE-KMS ETags are not MD5s.
        self._etags_are_md5 = True

    def outcomes(self, files: Sequence[Hashed]) -> Iterator[FileOutcome]:
        """Yield each file's fate, in order: PRESENT with the proof as its reason, or FAILED with one of UNSAFE."""
        wanted = {one.owned for one in files}
        rows = read(self._parts.catalog, partial(by_content, owned=wanted), stop=self._stop)
        blobs = dict[UUID, RowBlobs]()
        if self._against is Against.STORE:
            confirmed = {one.id: one for one in rows.values() if one.status is not Status.UPLOADING}
            blobs = {one.image.id: one for one in self._looker.look(list(confirmed.values()))}
        return self._pool.map(partial(self._judged, rows, blobs), files)

    def _judged(self, rows: dict[Owned, Image], blobs: dict[UUID, RowBlobs], file: Hashed) -> FileOutcome:
        row = rows.get(file.owned)
        if row is None:
            return _unsafe(file, None, Reason.MISSING, "its owner has no image of this content; upload it")
        if row.status is Status.UPLOADING:
            return _unsafe(file, row, Reason.NOT_CONFIRMED, "promised, its bytes not confirmed yet; upload it again")
        if self._against is Against.CATALOG:
            if row.is_lost:
                return _unsafe(file, row, Reason.ORIGINAL_MISSING, "its original is marked as lost; upload it again")
            return _safe(file, row, Reason.BY_CATALOG)
        blob = blobs[row.id].blob(row.original_key)
        if blob is None:
            return _unsafe(file, row, Reason.ORIGINAL_MISSING, f"{row.original_key} is not in the store; imgctl audit")
        if blob.size != file.size:
            detail = f"{row.original_key} holds {count_of(blob.size, 'byte')} instead of {file.size:,}; imgctl audit"
            return _unsafe(file, row, Reason.SIZE_DIFFERS, detail)
        proof = self._proof(file, blob)
        if proof is None:
            return _unsafe(file, row, Reason.CONTENT_DIFFERS, f"{blob.key} holds another content; imgctl audit --deep")
        return _safe(file, row, Reason.BY_JOURNAL if file.from_journal else proof)

    def _proof(self, file: Hashed, blob: Blob) -> Reason | None:
        """Return how the blob was found to have the file's content, None if it has another."""
        if not self._reads:
            md5 = blob.md5.hex() if blob.md5 else blob.etag.lower()
            if not file.md5 or len(md5) != _MD5_DIGITS:
                return Reason.BY_SIZE
            if md5 == file.md5:
                return Reason.BY_ETAG
            if not (blob.md5 or self._etags_are_md5):
                return Reason.BY_SIZE
        try:
            same = retry(lambda: self._sha256(blob), stop=self._stop, on=StoreUnavailable) == file.sha256
        except BlobArchived:
            return Reason.BY_SIZE
        except (BlobMissing, BlobCorrupt):
            # Deleted or changed since it was listed.
            return None
        if same and not self._reads and not blob.md5:
            self._etags_are_md5 = False
        return Reason.BY_SHA256 if same else None

    def _sha256(self, blob: Blob) -> bytes:
        return (sha256_of if self._reads else stored_sha256)(self._parts.store, blob)


def is_bucket(parts: Parts) -> bool:
    """Whether the store is a bucket, where reading an original takes a request."""
    return not parts.settings.store.url.startswith("file://")


def _safe(file: Hashed, row: Image, proof: Reason) -> FileOutcome:
    return _outcome(file, row, Fate.PRESENT, proof, f"{row.status} as {row.id}")


def _unsafe(file: Hashed, row: Image | None, reason: Reason, detail: str) -> FileOutcome:
    return _outcome(file, row, Fate.FAILED, reason, detail)


def _outcome(file: Hashed, row: Image | None, fate: Fate, reason: Reason, detail: str) -> FileOutcome:
    return FileOutcome(
        path=file.path,
        fate=fate,
        reason=reason,
        detail=detail,
        id=row.id if row else None,
        sha256=file.sha256,
        bytes=file.size,
    )
