"""Files read in bounded memory, and checked to be what was promised."""

import hashlib
import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from imgctl.errors import BlobCorrupt


def checked_chunks(source: FileIO, *, size: int, sha256: bytes, chunk_size: int) -> Iterator[memoryview]:
    """Chunks of exactly `chunk_size`, the last one shorter; BlobCorrupt after them unless size and sha256 fit.

    The views share one buffer: each is valid until the next one is asked for.
    """
    digest, total = hashlib.sha256(), 0
    buffer = memoryview(bytearray(min(chunk_size, size + 1)))
    while count := _fill(source, buffer):
        digest.update(buffer[:count])
        total += count
        if total > size:
            break
        yield buffer[:count]
    if total != size or digest.digest() != sha256:
        raise _changed(source.name)


def _fill(source: FileIO, buffer: memoryview) -> int:
    count = 0
    while count < len(buffer) and (more := source.readinto(buffer[count:])):
        count += more
    return count


def read_checked(path: Path, *, size: int, sha256: bytes) -> bytes:
    """The whole file; BlobCorrupt unless it is `size` bytes with that sha256."""
    with path.open("rb") as source:
        body = source.read(size + 1)
    if len(body) != size or hashlib.sha256(body).digest() != sha256:
        raise _changed(path)
    return body


def etag_of(found: os.stat_result) -> str:
    """What tells one content of a file from the next, as an ETag does: when it was written, and its size."""
    return f"{found.st_mtime_ns:x}-{found.st_size:x}"


def unchanged(
    source: FileIO, key: str, *, etag: str, start: int = 0, length: int | None = None, chunk_size: int
) -> Iterator[bytes]:
    """Chunks of a file's `length` bytes from `start` on (all by default); BlobCorrupt unless it keeps its ETag."""
    left = os.fstat(source.fileno()).st_size - start if length is None else length
    source.seek(start)
    while left > 0 and (chunk := source.read(min(left, chunk_size))):
        left -= len(chunk)
        yield chunk
    if etag_of(os.fstat(source.fileno())) != etag:
        raise replaced(key)


def replaced(key: str) -> BlobCorrupt:
    """The error for a blob that is no longer the one that was looked at."""
    return BlobCorrupt(f"{key} changed meanwhile", hint="run the same again once nobody writes to it")


def _changed(path: object) -> BlobCorrupt:
    return BlobCorrupt(f"{path} changed while reading", hint="upload it again once nobody writes to it")
