"""TAR archives, compressed or not: members are listed in order, and read in place or from the stream."""

import bz2
import gzip
import lzma
import os
import re
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from typing import IO, Self, cast

from imgctl.ops.ingest.outcome import Fate, Reason
from imgctl.ops.sources.members import (
    COPY_AGAIN,
    LONGEST_NAME,
    PIECE,
    Damaged,
    Member,
    Odd,
    message_of,
    stamp_of,
    too_long,
    unreadable,
)
from imgctl.regular_files import regular
from imgctl.units import count_of

_BROKEN = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, ValueError)

# 292 years from 1970.
_MOST_NS = 2**63 - 1

# The headers of one member: long names, PAX records, the map of a sparse file. tarfile reads them at once, and a
# compressed archive of one MiB may claim a GiB of them.
_LONGEST_HEADERS = 2**20
_MOST_GLOBAL = 64
# Far more than any file; no file system seeks beyond 2^63.
_MOST_SIZE = 2**43
_READS_BEYOND = 64
# tarfile searches PAX records in a time quadratic in the digits (CVE-2024-6232).
_DIGITS = re.compile(rb"\d{257}")

# Subclasses of tarfile.HeaderError; tarfile takes all but the first for a regular end of the archive.
_END = "EOFHeaderError"
_ENDS = {"EmptyHeaderError": "there is no mark of its end", "TruncatedHeaderError": "it ends within a header"}


class _Strict(tarfile.TarInfo):
    """Raises an error for a damaged header or a missing end-of-archive mark, which tarfile takes for the end.

    Also for headers that are no real archive's: of any length or depth, or with a size that leads backwards.
    """

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> Self:
        file = tar.fileobj
        if not isinstance(file, _Headers):
            tar.fileobj = _Headers(file)  # type: ignore[assignment,arg-type]
        try:
            found = super().fromtarfile(tar)
        except tarfile.HeaderError as error:
            kind = type(error).__name__
            if kind == _END:
                raise
            raise tarfile.ReadError(_ENDS.get(kind, f"not a header: {error}")) from None
        except RecursionError:
            raise tarfile.ReadError("too many headers in a row") from None
        except (LookupError, ArithmeticError, TypeError) as error:
            raise tarfile.ReadError(f"not a header: {error}") from None
        finally:
            tar.fileobj = file
        if not 0 <= found.size <= _MOST_SIZE:
            raise tarfile.ReadError(f"not a header: a size of {count_of(found.size, 'byte')}")
        if len(tar.pax_headers) > _MOST_GLOBAL:
            raise tarfile.ReadError("too many global headers")
        return found


class _Headers:
    """The archive while the headers of one member are read: ReadError if they are too long."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = _LONGEST_HEADERS
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        self._left -= size
        if size < 0 or self._left < 0:
            raise tarfile.ReadError(f"headers of more than {count_of(_LONGEST_HEADERS, 'byte')}")
        data = self._file.read(size)
        if _DIGITS.search(data):
            raise tarfile.ReadError("not a header: too many digits in a row")
        return data


class TarPart:
    """One TAR file; see Part. A compressed one is a stream: reading an earlier member starts again at the beginning."""

    def __init__(self, path: str, *, streams: bool) -> None:
        self.path = path
        self.streams = streams
        self._current: tuple[tarfile.TarFile, tarfile.TarInfo] | None = None

    def members(self) -> Iterator[Member]:
        last = ""
        try:
            # A header has no checksum of the content: without the state of the file, a copy with other bytes goes unnoticed.
            state = os.stat(self.path)  # noqa: PTH116  # a str keeps bytes that are no UTF-8
            whole = f"{state.st_size} {state.st_mtime_ns} {state.st_ino}"
            with self._unpacked() as file, _archive(file, streams=self.streams) as archive:
                while (info := archive.next()) is not None:
                    # tarfile would keep every member in memory.
                    archive.members.clear()  # type: ignore[attr-defined]
                    last = info.name[:LONGEST_NAME]
                    if not info.isdir():
                        self._current = (archive, info)
                        yield _member(info, whole)
                # The checksum of a stream is at its end.
                while piece := cast("IO[bytes]", archive.fileobj).read(PIECE):
                    if piece.strip(b"\0"):
                        why = "more data follows its end, as in TARs that were joined"
                        raise Damaged(f"{why}: extract it with tar --ignore-zeros")
        except (*_BROKEN, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            where = f"after {last}" if last else "at its beginning"
            raise Damaged(f"damaged or cut off {where} ({message_of(error)}): {COPY_AGAIN}") from None
        finally:
            self._current = None

    def pieces(self, member: Member) -> Iterator[bytes]:
        try:
            if not self.streams:
                yield from self._in_place(member)
            elif self._current is not None and self._current[1].offset_data == member.offset:
                yield from _extracted(*self._current)
            else:
                with self._unpacked() as file, _archive(file, streams=True) as archive:
                    while (info := archive.next()) is not None and info.offset_data != member.offset:
                        archive.members.clear()  # type: ignore[attr-defined]
                    if info is not None:
                        yield from _extracted(archive, info)
        except (*_BROKEN, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise Damaged(f"damaged or cut off in its archive ({message_of(error)}): {COPY_AGAIN}") from None

    @contextmanager
    def _unpacked(self) -> Iterator[IO[bytes]]:
        """Open the file, decompressed by its magic number; for damage bz2 and gzip raise an OSError without errno."""
        with open(self.path, "rb", opener=regular) as file:  # a str keeps bytes that are no UTF-8
            if not self.streams:
                yield file
                return
            head = file.read(6)
            file.seek(0)
            xz = head.startswith(b"\xfd7zXZ")
            unpack = bz2.open if head.startswith(b"BZh") else lzma.open if xz else gzip.open
            with cast("IO[bytes]", unpack(file)) as unpacked:
                yield unpacked

    def _in_place(self, member: Member) -> Iterator[bytes]:
        with open(self.path, "rb", opener=regular) as file:  # a str keeps bytes that are no UTF-8
            file.seek(member.offset)
            yield from _exactly(file, member.size)


class _Stream:
    """A stream for tarfile, which skips a member of terabytes in small reads, even behind the end: EOFError there."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._beyond = 0

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._beyond = 0 if data else self._beyond + 1
        if self._beyond > _READS_BEYOND:
            raise EOFError("it ends within the file")
        return data


def _archive(file: IO[bytes], *, streams: bool) -> tarfile.TarFile:
    if streams:
        stream = cast("IO[bytes]", _Stream(file))
        return tarfile.open(fileobj=stream, mode="r|", tarinfo=_Strict, errors="surrogateescape")
    return tarfile.open(fileobj=file, mode="r:", tarinfo=_Strict, errors="surrogateescape")


def _extracted(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Iterator[bytes]:
    file = archive.extractfile(info)
    assert file is not None
    yield from _exactly(file, info.size)


def _exactly(file: IO[bytes], size: int) -> Iterator[bytes]:
    """Yield the next `size` bytes; EOFError if there are fewer."""
    while size:
        piece = file.read(min(PIECE, size))
        if not piece:
            raise EOFError("it ends within the file")
        size -= len(piece)
        yield piece


def _member(info: tarfile.TarInfo, whole: str) -> Member:
    """Return a member; `whole` is the state of the archive."""
    if (longest := max(info.name, info.linkname, key=len)) and len(longest) > LONGEST_NAME:
        return too_long(longest, info.size)
    # A PAX header may hold any number.
    mtime_ns = int(max(-_MOST_NS, min(_MOST_NS, info.mtime * 10**9))) if isfinite(info.mtime) else 0
    return Member(
        name=info.name,
        size=info.size,
        offset=info.offset_data,
        packed=info.size,
        mtime_ns=mtime_ns,
        stamp=stamp_of(str(info.offset_data), str(info.chksum), str(mtime_ns), whole),
        odd=_odd(info),
        hard_link=info.linkname if info.islnk() else None,
    )


def _odd(info: tarfile.TarInfo) -> Odd | None:
    if info.issparse():
        return unreadable("a sparse member is not read: extract it")
    if info.isfile():
        return None
    if info.islnk():
        return Odd(
            fate=Fate.SKIPPED, reason=Reason.LINK, detail=f"a hard link to {info.linkname}, which is read itself"
        )
    if info.issym():
        return Odd(fate=Fate.SKIPPED, reason=Reason.LINK, detail="a symbolic link is not followed")
    return Odd(fate=Fate.SKIPPED, reason=Reason.NOT_A_FILE, detail="a device or a pipe is not a file")
