"""Blobs read in ranges: by seeking, as readers of metadata do, and whole, a chunk at a time."""

import hashlib
from collections.abc import Iterator

from imgctl.errors import BlobCorrupt
from imgctl.imaging.source import REMOTE_BYTES, Source
from imgctl.run.limits import clock_stopped
from imgctl.store.blobs.base import Blob, BlobStore

CHUNK_BYTES = 8 * 2**20


def in_store(store: BlobStore, key: str, *, size: int, etag: str, head: bytes = b"", step: int = 0) -> Source:
    """Return a source of one blob; its first bytes are read now unless given as `head`; reading raises StoreError.

    BlobCorrupt if the blob no longer has this ETag. With a `step`, the bytes a request, it may be read to the end.
    """
    if not head and size:
        head = store.read(key, start=0, length=step or REMOTE_BYTES, etag=etag)

    def fetch(at: int, length: int) -> bytes:
        with clock_stopped():
            return store.read(key, start=at, length=length, etag=etag)

    return Source(size, head=head, fetch=fetch, remote=True, step=step)


def chunks(store: BlobStore, blob: Blob) -> Iterator[bytes]:
    """Yield a blob's bytes, 8 MiB a request, or all at once without an ETag; BlobCorrupt if it changed meanwhile."""
    if not blob.etag:
        yield store.get(blob.key)
        return
    start = 0
    while start < blob.size:
        chunk = store.read(blob.key, start=start, length=min(CHUNK_BYTES, blob.size - start), etag=blob.etag)
        if not chunk:
            raise BlobCorrupt(f"{blob.key} ended early", hint="run the same command again")
        yield chunk
        start += len(chunk)


def stored_sha256(store: BlobStore, blob: Blob) -> bytes:
    """Return the SHA-256 that the store computed of a blob, else that of its bytes, which are read."""
    kept = store.details(blob.key, checksum=True)
    return (kept and kept.sha256) or sha256_of(store, blob)


def sha256_of(store: BlobStore, blob: Blob) -> bytes:
    """Return the SHA-256 of a blob's bytes."""
    digest = hashlib.sha256()
    for chunk in chunks(store, blob):
        digest.update(chunk)
    return digest.digest()
