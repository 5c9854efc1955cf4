"""ZIP archives: members are listed from the central directory and read in place."""

import lzma
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from typing import BinaryIO
from zipfile import BadZipFile, ZipExtFile, ZipFile, ZipInfo

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

# Deflate compresses at most 1,032:1, and pictures and films hardly at all: a large file above this ratio is a ZIP bomb.
_BOMB_SIZE, _BOMB_RATIO = 64 * 2**20, 200
_LOCAL = struct.Struct("<4s22xHH")
# A record of the central directory: its signature, and the lengths of its name, its extra field and its comment.
_RECORD = struct.Struct("<4s24xHHH12x")
# The end record: its signature, the numbers of its disk and of the first one, the number of members on this disk and in
# all, the size and offset of the directory, the length of the comment.
_END = struct.Struct("<4sHHHHLLH")
_NO_DISK = 0xFFFF
_LONGEST_COMMENT = 2**16 - 1
# The end record of a ZIP64, followed by its locator: the signature, and the total number of disks.
_END64 = struct.Struct("<4s28xQQQ4s12xL")
# Bytes of a directory that are read at a time; the longest record is 192 KiB.
_SLICE = 2**18
_UNIX, _DOS = 3, 0
_ENCRYPTED, _UTF8 = 0x1, 0x800
# Positions of the sizes and the offset in a record; all ones mean that the value is in an extra field.
_LARGE = (20, 24, 42)
_MOST_SIZE = 2**62
_REFUSED = (BadZipFile, NotImplementedError, ValueError, struct.error)
# Info-ZIP's extended timestamp: its modification time is UTC, while the ZIP's own field has no time zone.
_TIMES = 0x5455
# Info-ZIP's Unicode path: a version, the CRC-32 of the name that it stands for, the name in UTF-8.
_UNICODE_PATH = 0x7075


class ZipPart:
    """One ZIP file; see Part."""

    streams = False

    def __init__(self, path: str) -> None:
        self.path = path

    def members(self) -> Iterator[Member]:
        try:
            with open(self.path, "rb", opener=regular) as file:  # a str keeps bytes that are no UTF-8
                yield from (one for one in _listed(file) if one.size or not one.name.endswith("/"))
        except (BadZipFile, NotImplementedError, ValueError, EOFError, struct.error) as error:
            raise Damaged(f"damaged, cut off or not a ZIP ({message_of(error)}): {COPY_AGAIN}") from None

    def pieces(self, member: Member) -> Iterator[bytes]:
        with open(self.path, "rb", opener=regular) as file:  # a str keeps bytes that are no UTF-8
            try:
                file.seek(member.offset)
                mark, name, extra = _LOCAL.unpack(file.read(_LOCAL.size))
                if mark != b"PK\3\4":
                    raise Damaged(f"damaged in its archive (no header where it should be): {COPY_AGAIN}")
                file.seek(name + extra, 1)
                with ZipExtFile(file, "r", _info(member)) as packed:
                    while piece := packed.read(PIECE):
                        yield piece
            except MemoryError:
                raise Damaged("too little memory to unpack it: extract it") from None
            except NotImplementedError:
                raise Damaged(f"unsupported compression method {member.method}: extract it") from None
            except (BadZipFile, EOFError, zlib.error, lzma.LZMAError, ValueError, struct.error, OSError) as error:
                # For damage bz2 raises an OSError without errno.
                if isinstance(error, OSError) and error.errno is not None:
                    raise
                raise Damaged(f"damaged in its archive ({message_of(error)}): {COPY_AGAIN}") from None


def _listed(file: BinaryIO) -> Iterator[Member]:
    """Yield the members of the central directory, a slice at a time: zipfile holds all of it, 0.6 KB per member."""
    start, left, shift, members = _directory(file)
    file.seek(start)
    records, total, room = b"", 0, start
    while left:
        if not (piece := file.read(min(_SLICE, left))):
            raise BadZipFile("truncated central directory")
        left -= len(piece)
        records += piece
        count, size = _whole(records)
        if not left and size < len(records):
            raise BadZipFile("truncated central directory")
        for member in _members(records[:size], count, range(shift, start)):
            # Members that share their bytes could unpack to any size.
            room -= _LOCAL.size + member.packed
            if room < 0:
                raise BadZipFile("its members overlap")
            yield member
        records, total = records[size:], total + count
    file.seek(0)
    if shift > 0 and file.read(4) == b"PK\3\4":
        raise BadZipFile("another ZIP precedes it, as in ZIPs that were joined")
    # The counter of programs without ZIP64 wraps around after 65,535.
    if (total - members) % 2**16:
        raise BadZipFile(f"its directory lists {total} members, its end counts {members}")


def _members(records: bytes, count: int, span: range) -> Iterator[Member]:
    """Yield the members of some whole records; a record that zipfile rejects becomes one odd member.

    Offsets count from the beginning of `span`, and lie before its end.
    """
    try:
        infos = _infos(records, count)
    except _REFUSED as error:
        if count == 1:
            yield _refused(records, span, error)
            return
    else:
        yield from (_member(info, span) for info in infos)
        return
    while records:
        _, *lengths = _RECORD.unpack_from(records)
        size = _RECORD.size + sum(lengths)
        yield from _members(records[:size], 1, span)
        records = records[size:]


def _infos(records: bytes, count: int) -> list[ZipInfo]:
    end = _END.pack(b"PK\5\6", 0, 0, min(count, 0xFFFF), min(count, 0xFFFF), len(records), 0, 0)
    with ZipFile(BytesIO(records + end)) as some:
        return some.infolist()


def _refused(record: bytes, span: range, error: Exception) -> Member:
    """Return the member of a record that zipfile rejects; readable if only its name or an extra field is invalid."""
    name = _name(record).decode(errors="surrogateescape").partition("\0")[0]
    try:
        if isinstance(error, UnicodeDecodeError):
            (info,) = _infos(_with(record, 8, int.from_bytes(record[8:10], "little") & ~_UTF8), 1)
            info.filename = name
            return _member(info, span)
        if isinstance(error, BadZipFile) and not any(record[at : at + 4] == b"\xff" * 4 for at in _LARGE):
            (info,) = _infos(_with(record, 30, 0)[: _RECORD.size] + _name(record) + _comment(record), 1)
            return _member(info, span)
    except _REFUSED:
        pass
    return too_long(name, 0) if len(name) > LONGEST_NAME else _damaged(name, message_of(error))


def _damaged(name: str, why: str) -> Member:
    """Return the member of a record that cannot be true."""
    detail = f"damaged in the archive's directory ({why}): {COPY_AGAIN}"
    return Member(name=name, size=0, offset=0, odd=unreadable(detail))


def _name(record: bytes) -> bytes:
    return record[_RECORD.size : _RECORD.size + _RECORD.unpack_from(record)[1]]


def _comment(record: bytes) -> bytes:
    return record[len(record) - _RECORD.unpack_from(record)[3] :]


def _with(record: bytes, at: int, number: int) -> bytes:
    """Return the record with its 16-bit field at `at` replaced."""
    return record[:at] + number.to_bytes(2, "little") + record[at + 2 :]


def _directory(file: BinaryIO) -> tuple[int, int, int, int]:
    """Return the start of the central directory, its size, the number to add to its offsets, and its member count."""
    length = file.seek(0, os.SEEK_END)
    file.seek(max(0, length - _END.size - _LONGEST_COMMENT))
    tail = file.read()
    at, behind = _end_in(tail)
    end = length - len(tail) + at
    _, disk, _, _, members, size, offset, _ = _END.unpack_from(tail, at)
    if 0 < disk < _NO_DISK:
        raise BadZipFile("one of several disks")
    file.seek(max(0, end - _END64.size))
    before = file.read(_END64.size)
    if len(before) == _END64.size:
        mark, members64, size64, offset64, locator, disks = _END64.unpack(before)
        if locator == b"PK\6\7" and disks > 1:
            raise BadZipFile("one of several disks")
        if (mark, locator) == (b"PK\6\6", b"PK\6\7"):
            end, members, size, offset = end - _END64.size, members64, size64, offset64
    if end < size:
        raise BadZipFile("bad offset for central directory")
    # Offsets don't count data before the archive, such as a self-extracting program.
    shift = end - size - offset
    if shift and behind:
        # The end record belongs to an archive stored in this one, whose own end is missing.
        raise BadZipFile(f"{count_of(behind, 'byte')} after its end")
    return end - size, size, shift, members


def _end_in(tail: bytes) -> tuple[int, int]:
    """Return where in the last bytes of a file the end record is, and how many bytes follow it and its comment."""
    at = last = tail.rfind(b"PK\5\6", 0, len(tail) - _END.size + 4)
    while at >= 0:
        if at + _END.size + _END.unpack_from(tail, at)[-1] == len(tail):
            return at, 0
        at = tail.rfind(b"PK\5\6", 0, at)
    if last < 0:
        raise BadZipFile("file is not a zip file")
    return last, len(tail) - last - _END.size - _END.unpack_from(tail, last)[-1]


def _whole(records: bytes) -> tuple[int, int]:
    """Return the number of whole records at the beginning of these bytes, and their size."""
    count = at = 0
    while at + _RECORD.size <= len(records):
        mark, *lengths = _RECORD.unpack_from(records, at)
        if mark != b"PK\1\2":
            raise BadZipFile("bad magic number for central directory")
        if (end := at + _RECORD.size + sum(lengths)) > len(records):
            break
        count, at = count + 1, end
    return count, at


def _member(info: ZipInfo, span: range) -> Member:
    name, offset = _name_of(info), info.header_offset + span.start
    if info.create_system == _DOS and "/" not in name:
        # Some Windows programs write backslashes.
        name = name.replace("\\", "/")
    if len(name) > LONGEST_NAME:
        return too_long(name, 0)
    if not (0 <= offset < span.stop and info.compress_size < span.stop and info.file_size <= _MOST_SIZE):
        return _damaged(name, "an offset or a size beyond its end")
    return Member(
        name=name,
        size=info.file_size,
        offset=offset,
        packed=info.compress_size,
        method=info.compress_type,
        crc=info.CRC,
        mtime_ns=_mtime_ns(info),
        stamp=stamp_of(str(info.CRC), str(offset), str(info.compress_size)),
        odd=_odd(info),
    )


def _name_of(info: ZipInfo) -> str:
    """Return the member's name; without the UTF-8 flag it may still be UTF-8, as macOS and Info-ZIP write it."""
    if info.flag_bits & _UTF8 or info.filename.isascii():
        return info.filename
    raw = info.orig_filename.encode("cp437")
    for kind, field in _extra(info):
        if kind == _UNICODE_PATH and field[:1] == b"\1" and field[1:5] == zlib.crc32(raw).to_bytes(4, "little"):
            raw = field[5:]
    try:
        return raw.decode().partition("\0")[0]
    except UnicodeDecodeError:
        return info.filename


def _extra(info: ZipInfo) -> Iterator[tuple[int, bytes]]:
    """Return the extra fields of a member, by kind."""
    rest = info.extra
    while len(rest) >= 4:
        kind, size = struct.unpack_from("<HH", rest)
        yield kind, rest[4 : 4 + size]
        rest = rest[4 + size :]


def _odd(info: ZipInfo) -> Odd | None:
    if info.flag_bits & _ENCRYPTED:
        return unreadable("encrypted: extract it with its password")
    if info.create_system == _UNIX and stat.S_ISLNK(info.external_attr >> 16):
        return Odd(fate=Fate.SKIPPED, reason=Reason.LINK, detail="a symbolic link is not followed")
    if info.file_size > _BOMB_SIZE and info.file_size > _BOMB_RATIO * info.compress_size:
        detail = f"compressed {info.file_size // max(1, info.compress_size)}:1, more than any picture: extract it"
        return unreadable(detail)
    return None


def _info(member: Member) -> ZipInfo:
    info = ZipInfo(member.name)
    info.file_size, info.compress_size = member.size, member.packed
    info.compress_type, info.CRC = member.method, member.crc
    return info


def _mtime_ns(info: ZipInfo) -> int:
    for kind, field in _extra(info):
        if kind == _TIMES and len(field) >= 5 and field[0] & 1:
            seconds: int = struct.unpack_from("<i", field, 1)[0]
            return seconds * 10**9
    try:
        return int(datetime(*info.date_time, tzinfo=UTC).timestamp()) * 10**9
    except ValueError:
        return 0
