"""Blobs read by seeking: what a reader of metadata asks for comes by range requests, a few for each blob."""

from imgctl.imaging.source import REMOTE_BYTES, Source
from imgctl.store.blobs.base import BlobStore


def in_store(store: BlobStore, key: str, *, size: int, etag: str, head: bytes = b"") -> Source:
    """A source of one blob, whose first bytes are read now unless they are at hand; reading raises StoreError.

    BlobCorrupt when the blob no longer has this ETag.
    """
    if not head and size:
        head = store.read(key, start=0, length=REMOTE_BYTES, etag=etag)

    def fetch(at: int, length: int) -> bytes:
        return store.read(key, start=at, length=length, etag=etag)

    return Source(size, head=head, fetch=fetch, remote=True)
