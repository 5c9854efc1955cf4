"""An original's bytes wherever they lie: in memory, on a disk, or in a store; read by seeking."""

import os
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from mmap import mmap
from typing import IO, cast

Data = bytes | mmap
"""All bytes, in memory or in a file that is mapped while it is decoded."""
Fetch = Callable[[int, int], bytes]

LOCAL_BYTES = 64 * 2**10
REMOTE_BYTES = 256 * 2**10
MOST_REMOTE = 12
"""The most requests per file: metadata lies in three or four places, and a crafted file must not cause more."""
MOST_PARTS = 2**16
"""The most parts of a file to read; a file with more is crafted to keep a reader busy."""
MOST_BLOCK = 4 * 2**20
"""The longest block to read: XMP packets and camera notes are far shorter."""
_KEPT = 4


class Source:
    """`size` bytes that begin with `head`; the rest is fetched in pieces, and the last few pieces are kept.

    With `remote` each fetch is a request, and there are at most MOST_REMOTE. A source that is read continuously, as
    films are, has a `step` instead: bytes per fetch, and no limit of requests. One thread at a time.
    """

    __slots__ = ("_fetch", "_head", "_known", "_pieces", "_step", "fetches", "remote", "size")

    def __init__(
        self, size: int, *, head: Data = b"", fetch: Fetch | None = None, remote: bool = False, step: int = 0
    ) -> None:
        self.size = size
        self.remote = remote
        self.fetches = 0
        self._head = head
        self._known = min(len(head), size)
        self._fetch = fetch
        self._step = step
        self._pieces: deque[tuple[int, bytes]] = deque(maxlen=_KEPT)

    def read(self, at: int, length: int) -> bytes:
        """Return the bytes from `at` on: fewer at the file's end, none outside it; raises any error of the fetch."""
        # Memory first: a header is read in twenty pieces.
        end = at + length
        if 0 <= at < end <= self._known:
            return self._head[at:end]
        end = min(end, self.size)
        if at < 0 or at >= end:
            return b""
        if end <= self._known:
            return self._head[at:end]
        for start, piece in self._pieces:
            if start <= at and end <= start + len(piece):
                return piece[at - start : end - start]
        return self._fetched(at, end)

    def block(self, start: int, end: int) -> bytes:
        """Return the bytes from `start` to `end` if they are few enough to be metadata, else none."""
        return self.read(start, end - start) if end - start <= MOST_BLOCK else b""

    def _fetched(self, at: int, end: int) -> bytes:
        if self._fetch is None or (self.remote and not self._step and self.fetches >= MOST_REMOTE):
            return self._head[at:end]
        self.fetches += 1
        step = self._step or (REMOTE_BYTES if self.remote else LOCAL_BYTES)
        # A TIFF's directory often lies behind the values it names.
        start = at if self._step or at < len(self._head) else max(0, at - step // 4)
        piece = self._fetch(start, min(max(end - start, step), self.size - start))
        self._pieces.append((start, piece))
        return piece[at - start : end - start]


def in_memory(data: Data) -> Source:
    """Return a source of bytes in memory or in a mapped file."""
    return Source(len(data), head=data)


def source_of(data: Data | Source) -> Source:
    """Return a source unchanged, or a source of bytes."""
    return data if isinstance(data, Source) else in_memory(data)


def on_disk(descriptor: int, size: int, *, head: bytes = b"") -> Source:
    """Return a source of an open file, whose position is not moved; reads raise OSError."""
    return Source(size, head=head, fetch=lambda at, length: os.pread(descriptor, length, at))


def as_file(data: Data) -> IO[bytes]:
    """The same bytes as a file object, at its start."""
    if isinstance(data, bytes):
        return BytesIO(data)
    data.seek(0)
    return cast("IO[bytes]", data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The result of a container's parser; missing blocks are empty.

    `size` is in pixels, after the container's own turns (None when it cannot be read). `turned`: the container itself
    defines the picture's orientation. `texts` holds a PNG's text chunks, `pictures` is the picture count of an MPO.
    `exif` opens with a TIFF header, as does `exif_apart`, the EXIF directory if that is a separate block; `iptc` holds
    data sets. `taken_at` is the container's own capture time, `created_at` when it was begun, by its writer's clock;
    aware UTC both. `content_identifier` is shared by the two files of a Live Photo.
    """

    size: tuple[int, int] | None = None
    turned: bool = False
    exif: Source = field(default_factory=lambda: in_memory(b""))
    exif_apart: Source | None = None
    xmp: bytes = b""
    iptc: bytes = b""
    texts: Mapping[str, str] = field(default_factory=dict)
    pictures: int = 1
    taken_at: datetime | None = None
    created_at: datetime | None = None
    content_identifier: str = ""
