"""A file that is read by seeking, wherever it lies: in memory, on a disk, or in a store that answers range requests."""

import os
from collections import deque
from collections.abc import Callable
from mmap import mmap

Fetch = Callable[[int, int], bytes]

LOCAL_BYTES = 64 * 2**10
REMOTE_BYTES = 256 * 2**10
# Metadata lies in three or four places at most; who leads a reader further through a store spends somebody's money.
MOST_REMOTE = 12
_KEPT = 4


class Source:
    """`size` bytes of which `head` are the first; the rest is fetched piece by piece and not kept.

    `remote` says that each fetch is a request: then there are no more than MOST_REMOTE. One thread at a time.
    """

    __slots__ = ("_fetch", "_head", "_pieces", "fetches", "remote", "size")

    def __init__(
        self, size: int, *, head: bytes | mmap = b"", fetch: Fetch | None = None, remote: bool = False
    ) -> None:
        self.size = size
        self.remote = remote
        self.fetches = 0
        self._head = head
        self._fetch = fetch
        self._pieces: deque[tuple[int, bytes]] = deque(maxlen=_KEPT)

    def read(self, at: int, length: int) -> bytes:
        """The bytes from `at` on: fewer where the file ends, none outside it; raises whatever fetching raises."""
        end = min(at + length, self.size)
        if at < 0 or at >= end:
            return b""
        if end <= len(self._head):
            return self._head[at:end]
        for start, piece in self._pieces:
            if start <= at and end <= start + len(piece):
                return piece[at - start : end - start]
        return self._fetched(at, end)

    def _fetched(self, at: int, end: int) -> bytes:
        if self._fetch is None or (self.remote and self.fetches >= MOST_REMOTE):
            return self._head[at:end]
        self.fetches += 1
        step = REMOTE_BYTES if self.remote else LOCAL_BYTES
        # A TIFF's directory often lies behind the values it names.
        start = max(0, at - step // 4) if at >= len(self._head) else at
        piece = self._fetch(start, min(max(end - start, step), self.size - start))
        self._pieces.append((start, piece))
        return piece[at - start : end - start]


def in_memory(data: bytes | mmap) -> Source:
    """A source of bytes that are all there, or that the system brings when they are asked for."""
    return Source(len(data), head=data)


def source_of(data: bytes | mmap | Source) -> Source:
    """What is given as bytes, or as a source already."""
    return data if isinstance(data, Source) else in_memory(data)


def on_disk(descriptor: int, size: int, *, head: bytes = b"") -> Source:
    """A source of an open file, whose position stays where it is; raises OSError."""
    return Source(size, head=head, fetch=lambda at, length: os.pread(descriptor, length, at))
