"""An original's bytes where they lie: in memory, or in a file that is mapped while it is decoded."""

from io import BytesIO
from mmap import mmap
from typing import IO, cast

Data = bytes | mmap

_HEAD_BYTES = 65536


def head(data: Data) -> bytes:
    """The first bytes, enough to tell what a file is."""
    return data if isinstance(data, bytes) else data[:_HEAD_BYTES]


def as_file(data: Data) -> IO[bytes]:
    """The same bytes for who reads files; a mapped file is read from its start."""
    if isinstance(data, bytes):
        return BytesIO(data)
    data.seek(0)
    return cast("IO[bytes]", data)
