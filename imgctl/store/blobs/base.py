"""What a blob store can do, whatever stands behind it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from imgctl.store.blobs.traits import Kept, Traits

IMMUTABLE = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """One blob as the store describes it; `storage_class` is None for the standard one, and in scans of buckets."""

    key: str
    size: int
    modified_at: datetime
    etag: str | None = None
    storage_class: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedPut:
    """What lets its bearer create one blob: PUT to `url` with exactly these headers."""

    url: str
    headers: dict[str, str]


class BlobStore(Protocol):
    """Where the bytes are. Every method raises the StoreError that fits and is safe to call from many threads.

    Clients open on first use, in the process that uses them; a key that not every store can hold is a KeyShapeError.
    """

    @property
    def pushbacks(self) -> int:
        """How often this store asked for patience so far: 5xx, 429, resets and timeouts, retried or not."""

    @property
    def put_if_absent(self) -> Kept | None:
        """Whether the store refuses a put under a key that is taken; None before the first `create` or `copy` asked."""

    def traits(self) -> Traits:
        """What the store does of what imgctl's laws rest on, each tried on small blobs that are deleted again."""

    def create(self, key: str, body: bytes, *, content_type: str) -> None:
        """Put a blob that must not exist yet, durably and checksummed; BlobExists when the key is taken.

        A retry whose first try was committed without an answer also ends in BlobExists: compare with `head` to tell.
        """

    def create_file(self, key: str, path: Path, *, size: int, content_type: str, sha256: bytes) -> None:
        """Like `create`, streamed from a file in bounded memory; BlobCorrupt when it no longer has that sha256."""

    def replace(self, key: str, body: bytes, *, content_type: str, cache_control: str = IMMUTABLE) -> None:
        """Put a blob, over an older one if there is one."""

    def get(self, key: str) -> bytes:
        """The whole blob; BlobMissing, or BlobArchived where it must be restored first."""

    def read(self, key: str, *, start: int, length: int, etag: str) -> bytes:
        """Up to `length` bytes, 1 at least, from `start` on; BlobCorrupt when the blob no longer has this ETag."""

    def copy(self, source_key: str, key: str, *, etag: str, content_type: str) -> None:
        """Copy a blob within the store under a key that must be free, into the standard class, its metadata kept.

        BlobExists as for `create`; BlobCorrupt when the source no longer has this ETag, BlobMissing when it is gone.
        """

    def head(self, key: str) -> Blob | None:
        """The blob's description, or None when there is none."""

    def scan(self, *, prefix: str = "", after: str = "", until: str = "") -> Iterator[Blob]:
        """Blobs in UTF-8 byte order of their keys, `after` < key <= `until`; an empty bound is none."""

    def delete(self, keys: Iterable[str]) -> None:
        """Delete blobs; one that is already gone is no error."""

    def sign(self, key: str, *, seconds: int, method: str = "GET") -> str:
        """A URL that lets its bearer do `method` on the blob for `seconds` (for a file: its file:// URL)."""

    def sign_create(self, key: str, *, seconds: int, size: int, content_type: str, sha256: bytes) -> SignedPut | None:
        """A PUT that its bearer may do for `seconds`: of these very bytes, if the key is free.

        None where no URL can, or where the server would let it overwrite.
        """

    def stored_sha256(self, key: str) -> bytes | None:
        """The SHA-256 that the store itself checked when the blob was put, or None where it keeps none."""

    def check(self) -> None:
        """Raise what stands in the way of reading and writing here, or return; leaves nothing behind."""
