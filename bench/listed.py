"""A bucket that supports only LIST and HEAD: it sends pages of a prepared XML file, as fast as the kernel copies.

The records of the four keys of an image have a fixed total length, so an offset in the file is a multiplication.
"""

import hashlib
import mmap
import multiprocessing
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID

from imgctl.keys import key_of

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
ROLES = ("full", "medium", "original", "thumb")
SIZES = {"full": 412_345, "medium": 145_678, "original": 2_500_000, "thumb": 23_456}
PAGE = 1000
_MODIFIED = "2026-02-01T00:00:00.000Z"
_KEY_BYTES = len("2026/01/01/") + 36
_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    "<Name>bench</Name><Prefix></Prefix><KeyCount>{count}</KeyCount><MaxKeys>1000</MaxKeys>"
    "<IsTruncated>{truncated}</IsTruncated>{token}"
)
_TAIL = b"</ListBucketResult>"


def image_id(number: int) -> UUID:
    """Return the id of image `number`: ids are a second apart, with the same random bits in every run."""
    milliseconds = (BEGINNING + timedelta(seconds=number)).timestamp() * 1000
    random = int.from_bytes(hashlib.blake2b(number.to_bytes(8), digest_size=16).digest())
    high, low = random & 0xFFF, (random >> 12) & ((1 << 62) - 1)
    return UUID(int=int(milliseconds) << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low)


def write_listing(file: Path, images: int) -> None:
    """Write the records of the images, in byte order of their keys."""
    with file.open("wb", buffering=1 << 20) as out:
        for number in range(images):
            out.write(_group(image_id(number)))


def _group(image: UUID) -> bytes:
    return "".join(
        f"<Contents><Key>{key_of(image, role, 'jpg')}</Key><LastModified>{_MODIFIED}</LastModified>"
        f"<ETag>&quot;{image.hex}&quot;</ETag><Size>{SIZES[role]}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        for role in ROLES
    ).encode()


class _Bucket:
    """The file of records, and the offset of each key in it."""

    def __init__(self, file: Path) -> None:
        self.file = file.open("rb")
        self._map = mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ)
        group = _group(image_id(0))
        self._group = len(group)
        starts = [group.index(b"<Contents>", at) for at in _starts(group)]
        self._starts = starts
        self.keys = len(self._map) // self._group * len(ROLES)

    def offset(self, number: int) -> int:
        """Return the offset of the record of key `number`."""
        image, role = divmod(number, len(ROLES))
        return image * self._group + (self._starts[role] if role else 0)

    def key(self, number: int) -> str:
        """The key itself."""
        begin = self.offset(number) + len("<Contents><Key>")
        return self._map[begin : self._map.find(b"<", begin)].decode()

    def first_behind(self, text: str) -> int:
        """Return the number of the first key that sorts after `text`."""
        low, high = 0, self.keys
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self.key(middle) <= text else (low, middle)
        return low

    def size_of(self, key: str) -> int | None:
        """The size of a blob, or None."""
        number = self.first_behind(key) - 1
        return SIZES[ROLES[number % len(ROLES)]] if number >= 0 and self.key(number) == key else None


def _starts(group: bytes) -> list[int]:
    found, at = [], -1
    while (at := group.find(b"<Contents>", at + 1)) >= 0:
        found.append(at)
    return found


@contextmanager
def listed_bucket(file: Path) -> Iterator[str]:
    """Serve the records of a file in its own process; yields the endpoint's URL."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(file, theirs))
    process.start()
    try:
        yield str(ours.recv())
    finally:
        ours.send(None)
        process.join(5)
        if process.exitcode is None:
            process.kill()
            process.join()


def _serve(file: Path, parent: "Connection[str, None]") -> None:
    bucket = _Bucket(file)
    server = socket.create_server(("127.0.0.1", 0), backlog=256)
    threading.Thread(target=_accept, args=(server, bucket), daemon=True).start()
    parent.send(f"http://127.0.0.1:{server.getsockname()[1]}")
    with suppress(EOFError):
        parent.recv()
    sys.stdout.flush()
    os._exit(0)


def _accept(server: socket.socket, bucket: _Bucket) -> None:
    while True:
        connection, _ = server.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_talk, args=(connection, bucket), daemon=True).start()


def _talk(connection: socket.socket, bucket: _Bucket) -> None:
    rest = b""
    with connection, suppress(OSError):
        while True:
            while b"\r\n\r\n" not in rest:
                more = connection.recv(1 << 16)
                if not more:
                    return
                rest += more
            head, _, rest = rest.partition(b"\r\n\r\n")
            method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
            _answer(connection, bucket, method, path)


def _answer(connection: socket.socket, bucket: _Bucket, method: str, path: str) -> None:
    parts = urlsplit(path)
    query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    if method == "GET" and query.get("list-type") == "2":
        _list(connection, bucket, query)
        return
    key = unquote(parts.path).lstrip("/").partition("/")[2]
    size = bucket.size_of(key) if key else None
    found = size is not None
    head = f"HTTP/1.1 {'200 OK' if found else '404 Not Found'}\r\nContent-Length: {size or 0}\r\n"
    head += 'ETag: "0123456789abcdef"\r\nLast-Modified: Sun, 01 Feb 2026 00:00:00 GMT\r\n\r\n'
    connection.sendall(head.encode())


def _list(connection: socket.socket, bucket: _Bucket, query: dict[str, str]) -> None:
    prefix = query.get("prefix", "")
    after = query.get("continuation-token") or query.get("start-after", "")
    first = max(bucket.first_behind(after) if after else 0, bucket.first_behind(prefix) if prefix else 0)
    end = bucket.first_behind(prefix + "\U0010ffff") if prefix else bucket.keys
    last = min(first + PAGE, end)
    more = last < end
    token = f"<NextContinuationToken>{bucket.key(last - 1)}</NextContinuationToken>" if more else ""
    start = _HEAD.format(count=max(0, last - first), truncated=str(more).lower(), token=token).encode()
    begin, length = bucket.offset(first), max(0, bucket.offset(last) - bucket.offset(first))
    size = len(start) + length + len(_TAIL)
    header = f"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: {size}\r\n\r\n".encode()
    connection.sendall(header + start)
    while length > 0:
        sent = os.sendfile(connection.fileno(), bucket.file.fileno(), begin, length)
        begin, length = begin + sent, length - sent
    connection.sendall(_TAIL)


if __name__ == "__main__":
    raise SystemExit("it is a part of bench.audit")
