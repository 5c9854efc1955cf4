"""Camera raws: EXIF and XMP in a TIFF's directory, CR3's boxes, a RAF's JPEG, an MRW's block; CRW's and X3F's dates.

LibRaw determines the size: width and height in a directory are a preview's, or a sensor's with its borders.
"""

import struct
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from imgctl.imaging.metadata.heif import XMP_UUID, boxes
from imgctl.imaging.metadata.jpeg import read_jpeg
from imgctl.imaging.metadata.tiff import read_tiff
from imgctl.imaging.source import MOST_PARTS, Contents, Source, in_memory

_CANON = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
# The fields of a RAF with the position and length of its JPEG (LibRaw, src/metadata/fuji.cpp).
_RAF, _RAF_JPEG = b"FUJIFILMCCD-RAW", 84
_MRW, _MRW_TIFF = b"\0MRM", b"\0TTW"
# Canon's CIFF: nested heaps; some lists hold values directly (ExifTool, CanonRaw.pm).
_CRW = b"HEAPCCDR"
_CRW_TIME, _CRW_HEAPS, _CRW_KIND, _CRW_IN_LIST, _CRW_ZONE_KNOWN = 0x180E, (0x2800, 0x3000), 0x3800, 0xC000, 1 << 31
# Sigma's sections: in some files a JPEG of the sensor's size, and properties by name (ExifTool, SigmaRaw.pm).
_X3F, _X3F_HEAD, _X3F_JPEG = b"FOVb", 28, (2, 18)
_X3F_NAMED, _X3F_NAMES = int.from_bytes(b"PROP", "little"), 24
_MOST_LISTED, _MOST_DIGITS = 512, 10


def read_raw(source: Source) -> Contents:
    """Read the metadata, without the size; damaged parts count as missing."""
    head = source.read(0, 16)
    if head[4:8] == b"ftyp":
        contents = _cr3(source)
    elif head.startswith(_RAF):
        start, length = struct.unpack(">2I", source.read(_RAF_JPEG, 8).ljust(8, b"\0"))
        contents = read_jpeg(_part(source, start, length))
    elif head.startswith(_MRW):
        contents = _mrw(source)
    elif head[6:14] == _CRW:
        contents = Contents(taken_at=_crw_taken(source, int.from_bytes(head[2:6], "little")))
    elif head.startswith(_X3F):
        contents = _x3f(source)
    else:
        contents = read_tiff(source)
    return replace(contents, size=None, turned=True, pictures=1)


def _cr3(source: Source) -> Contents:
    """Canon's own box in `moov`: CMT1 is the first directory, CMT2 that of EXIF, each a TIFF of its own."""
    blocks: dict[bytes, bytes] = {}
    for kind, start, end in boxes(source):
        if kind == b"moov":
            for name, at, after in boxes(source, start, end):
                if name == b"uuid" and source.read(at, 16) == _CANON:
                    blocks |= {
                        part: source.block(begin, stop)
                        for part, begin, stop in boxes(source, at + 16, after)
                        if part in (b"CMT1", b"CMT2")
                    }
        elif kind == b"uuid" and source.read(start, 16) == XMP_UUID:
            blocks[b"XMP"] = source.block(start + 16, end)
    return Contents(
        exif=in_memory(blocks.get(b"CMT1", b"")),
        exif_apart=in_memory(blocks.get(b"CMT2", b"")),
        xmp=blocks.get(b"XMP", b""),
    )


def _mrw(source: Source) -> Contents:
    at = 8
    for _ in range(MOST_PARTS):
        here = source.read(at, 8)
        if len(here) < 8 or not here.strip(b"\0"):
            break
        length = int.from_bytes(here[4:])
        if here[:4] == _MRW_TIFF:
            return read_tiff(_part(source, at + 8, length))
        at += 8 + length
    return Contents()


def _crw_taken(source: Source, start: int) -> datetime | None:
    """Return the camera's local time, converted to UTC if the file has its zone; a heap's list lies at its end."""
    heaps = [(start, source.size)]
    for _ in range(_MOST_LISTED):
        if not heaps:
            break
        start, end = heaps.pop()
        at = start + _little(source.read(end - 4, 4))
        count = min(_little(source.read(at, 2)), _MOST_LISTED)
        for tag, size, offset in _rows("<HII", source.read(at + 2, 10 * count)):
            if tag & _CRW_IN_LIST:
                continue
            if tag & _CRW_KIND in _CRW_HEAPS and size < end - start:
                heaps.append((start + offset, start + offset + size))
            elif tag == _CRW_TIME:
                seconds, zone, known = struct.unpack("<IiI", source.read(start + offset, 12).ljust(12, b"\0"))
                return _since_1970(seconds - (zone if known == _CRW_ZONE_KNOWN else 0))
    return None


def _x3f(source: Source) -> Contents:
    """The JPEG's metadata, and TIME of the properties: seconds of the camera's local time."""
    listed = _little(source.read(source.size - 4, 4))
    count = min(_little(source.read(listed + 8, 4)), _MOST_LISTED)
    contents, taken_at, left = Contents(), None, source.size
    for offset, size, name in _rows("<3I", source.read(listed + 12, 12 * count)):
        # Sections that overlap could all be of the whole file.
        left -= size
        if left < 0:
            break
        if name == _X3F_NAMED:
            seconds = _property(source.block(offset, offset + size), "TIME")
            taken_at = _since_1970(int(seconds)) if seconds.isdecimal() and len(seconds) <= _MOST_DIGITS else None
        elif struct.unpack("<II", source.read(offset + 8, 8).ljust(8, b"\0")) == _X3F_JPEG and not contents.exif.size:
            contents = read_jpeg(_part(source, offset + _X3F_HEAD, size - _X3F_HEAD))
    return replace(contents, taken_at=taken_at)


def _property(section: bytes, wanted: str) -> str:
    """Return a short value by its name: both have places in a text of UTF-16, and end with a NUL; empty if missing."""
    count = min(_little(section[8:12]), _MOST_LISTED)
    text = section[_X3F_NAMES + 8 * count :].decode("utf-16-le", "replace")
    pairs = _rows("<II", section[_X3F_NAMES : _X3F_NAMES + 8 * count])
    found = next((value for name, value in pairs if text.startswith(f"{wanted}\0", name)), len(text))
    return text[found : found + _MOST_DIGITS + 1].partition("\0")[0]


def _rows(layout: str, data: bytes) -> Iterator[tuple[int, ...]]:
    """Whole rows of a list that may be cut off."""
    size = struct.calcsize(layout)
    return struct.iter_unpack(layout, data[: len(data) // size * size])


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _since_1970(seconds: int) -> datetime | None:
    # A camera without a clock writes zero.
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds) if 0 < seconds < 1 << 32 else None


def _part(source: Source, start: int, length: int) -> Source:
    """A file within the file."""
    size = max(0, min(length, source.size - start))
    return Source(size, fetch=lambda at, wanted: source.read(start + at, min(wanted, size - at)))
