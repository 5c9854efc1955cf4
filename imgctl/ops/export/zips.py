"""A ZIP file as the target of an export: members are stored as they arrive, the central directory is written last.

`zipfile` holds an object for each member until it is closed, and cannot continue a file that a kill left without a
directory. Members are stored, not deflated: pictures are compressed already. ZIP64 where sizes require it
(APPNOTE.TXT 6.3.10, 4.3.7 to 4.3.16).
"""

import fcntl
import hashlib
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from imgctl.errors import UsageError
from imgctl.ops.export.sinks import Member, Sink, Written, make_directory, unwritable
from imgctl.store.blobs.fsyncs import sync_directory

PART = ".part"
_LOCAL = struct.Struct("<IHHHHHIIIHH")
_CENTRAL = struct.Struct("<IHHHHHHIIIHHHHHII")
_END64 = struct.Struct("<IQHHIIQQQQ")
_LOCATOR = struct.Struct("<IIQI")
_END = struct.Struct("<IHHHHIIH")
# A member's time is not compared: it may have been corrected since its entry.
_AFTER_TIME = struct.calcsize("<IHHHHH")
_SIZES64 = struct.Struct("<HHQQ")
_LARGE = 0xFFFFFFFF
_MANY = 0xFFFF
_VERSION = 45
_UTF8 = 0x800
_MADE_BY_UNIX = 3 << 8 | _VERSION
_MODE = 0o100644 << 16


class ZipSink(Sink):
    """A ZIP file, named `FILE.zip.part` until it is whole; the bag is a directory in it with the file's name."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._part = file.with_name(file.name + PART)
        self._root = f"{file.stem}/"
        self._lock = Lock()
        self._out: BinaryIO | None = None
        self._end = 0

    def is_complete(self) -> bool:
        return self._file.exists()

    def begin(self, end: int) -> None:
        make_directory(self._file.parent)
        try:
            self._out = os.fdopen(os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+b")
            fcntl.flock(self._out, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"another export writes {self._part}", hint="wait for it, or name another --out") from None
        except OSError as error:
            raise unwritable(self._part, error) from None
        self._out.truncate(end)
        self._end = end

    def size(self) -> int:
        """Return how many bytes an earlier run left."""
        return self._part.stat().st_size if self._part.exists() else 0

    def has(self, member: Member) -> bool:
        """Whether the unfinished file has this member at its place: its name, size and CRC."""
        one = member.written
        header = local_header((self._root + member.path).encode(), member.at, crc=one.crc, size=one.size)
        try:
            with self._part.open("rb") as part:
                part.seek(one.start)
                return part.read(len(header))[_AFTER_TIME:] == header[_AFTER_TIME:]
        except OSError as error:
            raise unwritable(self._part, error) from None

    def cut(self, end: int) -> None:
        """Drop everything after the first `end` bytes of the unfinished file."""
        try:
            with self._lock:
                self._opened.truncate(end)
                self._end = end
        except OSError as error:
            raise unwritable(self._part, error) from None
        self.sync()

    def put(
        self, path: str, pieces: Iterable[bytes], *, content_type: str, at: datetime, over: bool = False
    ) -> Written:
        # The first piece is fetched before taking the lock: most pictures have only one, and other threads fetch meanwhile.
        rest = iter(pieces)
        first = next(rest, b"")
        with self._lock:
            out, start = self._opened, self._end
            try:
                written = self._append(out, path, chain((first,), rest), at=at)
            except OSError as error:
                raise unwritable(self._part, error) from None
            finally:
                if self._end == start:
                    # On a full disk the buffer cannot be flushed; the next run truncates the file.
                    with suppress(OSError):
                        out.truncate(start)
            return written

    def holds(self, path: str, *, size: int, sha256: bytes | None = None) -> bool:
        # A written member is identified by its position alone.
        return sha256 is None

    def finish(self, members: Iterable[Member]) -> None:
        out, start = self._opened, self._end
        try:
            out.seek(start)
            for piece in directory(self._root, members, start=start):
                out.write(piece)
            self.sync()
            self._part.replace(self._file)
            sync_directory(self._file.parent)
        except OSError as error:
            raise unwritable(self._part, error) from None

    def sync(self) -> None:
        if self._out is None:
            return
        try:
            with self._lock:
                self._out.flush()
                os.fsync(self._out.fileno())
        except OSError as error:
            raise unwritable(self._part, error) from None

    def close(self) -> None:
        if self._out is None:
            return
        try:
            self._out.close()
        except OSError as error:
            raise unwritable(self._part, error) from None

    @property
    def _opened(self) -> BinaryIO:
        assert self._out is not None
        return self._out

    def _append(self, out: BinaryIO, path: str, pieces: Iterable[bytes], *, at: datetime) -> Written:
        start, name = self._end, (self._root + path).encode()
        digest, size, crc = hashlib.sha256(), 0, 0
        out.seek(start)
        out.write(local_header(name, at, crc=0, size=0))
        for piece in pieces:
            digest.update(piece)
            crc = zlib.crc32(piece, crc)
            size += len(piece)
            out.write(piece)
        stop = out.tell()
        out.seek(start)
        out.write(local_header(name, at, crc=crc, size=size))
        out.flush()
        self._end = stop
        return Written(sha256=digest.digest(), size=size, crc=crc, start=start, stop=stop)


def local_header(name: bytes, at: datetime, *, crc: int, size: int) -> bytes:
    """Return a member's header; its length doesn't depend on the member's size."""
    extra = _SIZES64.pack(1, 16, size, size)
    head = _LOCAL.pack(0x04034B50, _VERSION, _UTF8, 0, *_dos(at), crc, _LARGE, _LARGE, len(name), len(extra))
    return head + name + extra


def directory(root: str, members: Iterable[Member], *, start: int) -> Iterator[bytes]:
    """Yield the central directory after the last member, which ends at `start`: an entry for each, and the end records."""
    count = length = 0
    for member in members:
        line = _central(root, member)
        count, length = count + 1, length + len(line)
        yield line
    yield _ends(start, length, count)


def _central(root: str, member: Member) -> bytes:
    name, one = (root + member.path).encode(), member.written
    large = [value for value in (one.size, one.size, one.start) if value >= _LARGE]
    extra = struct.pack(f"<HH{len(large)}Q", 1, 8 * len(large), *large) if large else b""
    size, start = min(one.size, _LARGE), min(one.start, _LARGE)
    head = _CENTRAL.pack(
        *(0x02014B50, _MADE_BY_UNIX, _VERSION, _UTF8, 0, *_dos(member.at), one.crc, size, size),
        *(len(name), len(extra), 0, 0, 0, _MODE, start),
    )
    return head + name + extra


def _ends(start: int, length: int, count: int) -> bytes:
    """Return the end records after the central directory."""
    end = _END.pack(0x06054B50, 0, 0, min(count, _MANY), min(count, _MANY), min(length, _LARGE), min(start, _LARGE), 0)
    if count < _MANY and length < _LARGE and start < _LARGE:
        return end
    end64 = _END64.pack(0x06064B50, _END64.size - 12, _MADE_BY_UNIX, _VERSION, 0, 0, count, count, length, start)
    return end64 + _LOCATOR.pack(0x07064B50, 0, start + length, 1) + end


def _dos(at: datetime) -> tuple[int, int]:
    """Return a time in ZIP's format: time and date, from 1980 to 2107, in steps of two seconds."""
    at = at.astimezone(UTC)
    if at.year < 1980:
        return 0, 1 << 5 | 1
    return at.hour << 11 | at.minute << 5 | at.second // 2, min(at.year - 1980, 127) << 9 | at.month << 5 | at.day
