"""The header of a JPEG by its markers (ITU T.81, annex B): size, metadata, and how many pictures an MPO holds."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_NO_FRAME = frozenset((0xC4, 0xC8, 0xCC))
_BARE = frozenset((0x01, *range(0xD0, 0xD9)))
_END = frozenset((0xD9, 0xDA))
_EXIF, _MPF = b"Exif\0\0", b"MPF\0"
_XMP, _PHOTOSHOP = b"http://ns.adobe.com/xap/1.0/\0", b"Photoshop 3.0\0"
_MOST_RESOURCES = 2**20
_PICTURE_COUNT = 0xB001
_MPF_ENTRIES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class JpegHeader:
    """Size as stored (None when no frame header is found), the number of pictures, and what is said about them.

    The payloads of EXIF, of the XMP packet and of Photoshop's image resources are empty where there are none.
    """

    size: tuple[int, int] | None
    exif: bytes
    pictures: int
    xmp: bytes
    resources: bytes


def read_header(data: bytes) -> JpegHeader:
    """Walk the markers from the start up to the frame header; never raises."""
    size: tuple[int, int] | None = None
    exif = xmp = resources = b""
    pictures = 1
    for marker, at, end in _segments(data):
        if marker == 0xE1 and not exif and data.startswith(_EXIF, at):
            exif = data[at + len(_EXIF) : end]
        elif marker == 0xE1 and not xmp and data.startswith(_XMP, at):
            xmp = data[at + len(_XMP) : end]
        elif marker == 0xE2 and data.startswith(_MPF, at):
            pictures = _picture_count(data[at + len(_MPF) : end])
        elif marker == 0xED and len(resources) < _MOST_RESOURCES and data.startswith(_PHOTOSHOP, at):
            # One segment holds 64 KiB; what is longer goes on in the next.
            resources += data[at + len(_PHOTOSHOP) : end]
        elif 0xC0 <= marker <= 0xCF:
            size = _frame(data, at)
    return JpegHeader(size=size, exif=exif, pictures=pictures, xmp=xmp, resources=resources)


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Each marker with where its payload begins and ends, up to and with the frame header."""
    at, length = 2, len(data)
    while at + 4 <= length:
        if data[at] != 0xFF:
            at = data.find(b"\xff", at)
            if at < 0:
                break
            continue
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _BARE or marker == 0:
            at += 2
        elif marker in _END:
            break
        else:
            end = at + 2 + max(2, _short(data, at + 2))
            if marker not in _NO_FRAME:
                yield marker, at + 4, end
            if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME:
                break
            at = end


def _short(data: bytes, at: int) -> int:
    return data[at] << 8 | data[at + 1]


def _frame(data: bytes, at: int) -> tuple[int, int] | None:
    if len(data) < at + 5:
        return None
    width, height = _short(data, at + 3), _short(data, at + 1)
    return (width, height) if width and height else None


def _picture_count(block: bytes) -> int:
    """The number of pictures in an MPF index (CIPA DC-007, 5.2.3), 1 when it cannot be read."""
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None or len(block) < 8:
        return 1
    (at,) = struct.unpack_from(f"{order}4xI", block)
    count = int.from_bytes(block[at : at + 2], "little" if order == "<" else "big")
    whole = min(count, _MPF_ENTRIES, max(0, len(block) - at - 2) // 12)
    entries = struct.iter_unpack(f"{order}H6xI", block[at + 2 : at + 2 + 12 * whole])
    return next((value for tag, value in entries if tag == _PICTURE_COUNT), 1)
