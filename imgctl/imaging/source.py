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
"""Requests a file: metadata lies in three or four places, and a crafted file must not cause more."""
MOST_PARTS = 2**16
"""Parts of a file that are looked at; one of more is made to keep a reader busy."""
MOST_BLOCK = 4 * 2**20
"""A longer block than this is not read: XMP packets and camera notes stay far below it."""
_KEPT = 4


class Source:
    """`size` bytes of which `head` are the first; the rest is fetched piece by piece, and the last few pieces are kept.

    `remote` says that each fetch is a request: then there are no more than MOST_REMOTE. A source that is read on and on,
    as films are, has a `step` instead: bytes a fetch, without an end. One thread at a time.
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
        """The bytes from `at` on: fewer where the file ends, none outside it; raises whatever fetching raises."""
        # What is in memory comes first: a header is read in twenty pieces.
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
        """The bytes from `start` to `end` where these are few enough to be metadata, else none."""
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
    """A source of bytes that are all there, or that the system brings when they are asked for."""
    return Source(len(data), head=data)


def source_of(data: Data | Source) -> Source:
    """What is given as bytes, or as a source already."""
    return data if isinstance(data, Source) else in_memory(data)


def on_disk(descriptor: int, size: int, *, head: bytes = b"") -> Source:
    """A source of an open file, whose position stays where it is; raises OSError."""
    return Source(size, head=head, fetch=lambda at, length: os.pread(descriptor, length, at))


def as_file(data: Data) -> IO[bytes]:
    """The same bytes as a file object, at its start."""
    if isinstance(data, bytes):
        return BytesIO(data)
    data.seek(0)
    return cast("IO[bytes]", data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a container's parser finds; blocks are empty where there are none.

    `size` is in pixels, after the container's own turns (None when it cannot be read). `turned` says whether the
    container says how to turn the picture, `texts` holds a PNG's text chunks, `pictures` counts those of an MPO.
    `exif` opens with a TIFF header, as does `exif_apart`, where EXIF's own directory is a block by itself; `iptc` holds data sets. `taken_at` is what the container itself calls the time of
    capture, `created_at` when it was begun, by its writer's clock; aware UTC both. `content_identifier` is what the two
    files of a Live Photo share.
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
