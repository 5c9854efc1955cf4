"""ZIP archives: their central directory listed, their members read in place."""

import stat
import struct
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from zipfile import BadZipFile, ZipExtFile, ZipFile, ZipInfo

from imgctl.ops.ingest.outcome import Fate, Reason
from imgctl.ops.sources.members import COPY_AGAIN, PIECE, Damaged, Member, Odd, said_of, stamp_of

# Deflate packs at most 1,032 to one, and pictures and films hardly at all: a large file so packed is a trap for the disk.
_BOMB_SIZE, _BOMB_RATIO = 64 * 2**20, 200
_LOCAL = struct.Struct("<4s22xHH")
_UNIX, _DOS = 3, 0
_ENCRYPTED = 0x1
# Info-ZIP's extended timestamp: its modification time is UTC, where the ZIP's own field knows no zone.
_TIMES = 0x5455


class ZipPart:
    """One ZIP file; see Part. Its central directory is in memory while it is listed: 0.6 KB a member."""

    streams = False

    def __init__(self, path: str) -> None:
        self.path = path

    def members(self) -> Iterator[Member]:
        try:
            with ZipFile(self.path) as archive:
                infos = iter(archive.infolist())
        except (BadZipFile, NotImplementedError, ValueError, EOFError, struct.error) as error:
            raise Damaged(f"damaged, cut off or not a ZIP ({said_of(error)}): {COPY_AGAIN}") from None
        return (_member(info) for info in infos if not info.is_dir())

    def pieces(self, member: Member) -> Iterator[bytes]:
        with open(self.path, "rb") as file:  # noqa: PTH123  # a str keeps bytes that are no UTF-8
            try:
                file.seek(member.offset)
                mark, name, extra = _LOCAL.unpack(file.read(_LOCAL.size))
                if mark != b"PK\3\4":
                    raise Damaged(f"damaged in its archive (no header where it should be): {COPY_AGAIN}")
                file.seek(name + extra, 1)
                with ZipExtFile(file, "r", _info(member)) as packed:
                    while piece := packed.read(PIECE):
                        yield piece
            except NotImplementedError:
                raise Damaged(f"packed by a method that is not read (number {member.method}): extract it") from None
            except (BadZipFile, EOFError, zlib.error, ValueError, struct.error) as error:
                raise Damaged(f"damaged in its archive ({said_of(error)}): {COPY_AGAIN}") from None


def _member(info: ZipInfo) -> Member:
    name = info.filename
    if info.create_system == _DOS and "/" not in name:
        # Some programs of Windows write its own separators.
        name = name.replace("\\", "/")
    return Member(
        name=name,
        size=info.file_size,
        offset=info.header_offset,
        packed=info.compress_size,
        method=info.compress_type,
        crc=info.CRC,
        mtime_ns=_mtime_ns(info),
        stamp=stamp_of(str(info.CRC), str(info.header_offset), str(info.compress_size)),
        odd=_odd(info),
    )


def _odd(info: ZipInfo) -> Odd | None:
    if info.flag_bits & _ENCRYPTED:
        return Odd(fate=Fate.FAILED, reason=Reason.UNREADABLE, detail="encrypted: extract it with its password")
    if info.create_system == _UNIX and stat.S_ISLNK(info.external_attr >> 16):
        return Odd(fate=Fate.SKIPPED, reason=Reason.LINK, detail="a symbolic link is not followed")
    if info.file_size > _BOMB_SIZE and info.file_size > _BOMB_RATIO * info.compress_size:
        detail = f"packed {info.file_size // max(1, info.compress_size)}:1, as no picture is: extract it"
        return Odd(fate=Fate.FAILED, reason=Reason.UNREADABLE, detail=detail)
    return None


def _info(member: Member) -> ZipInfo:
    info = ZipInfo(member.name)
    info.file_size, info.compress_size = member.size, member.packed
    info.compress_type, info.CRC = member.method, member.crc
    return info


def _mtime_ns(info: ZipInfo) -> int:
    rest = info.extra
    while len(rest) >= 4:
        kind, size = struct.unpack_from("<HH", rest)
        if kind == _TIMES and size >= 5 and len(rest) >= 9 and rest[4] & 1:
            seconds: int = struct.unpack_from("<i", rest, 5)[0]
            return seconds * 10**9
        rest = rest[4 + size :]
    try:
        return int(datetime(*info.date_time, tzinfo=UTC).timestamp()) * 10**9
    except ValueError:
        return 0
