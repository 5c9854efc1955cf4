"""The header of a JPEG by its markers (ITU T.81, annex B): size, metadata, and how many pictures an MPO holds."""

import struct
from collections.abc import Iterator

from imgctl.imaging.metadata.photoshop import IPTC, resources
from imgctl.imaging.source import MOST_PARTS, Contents, Source, in_memory

_NO_FRAME = frozenset((0xC4, 0xC8, 0xCC))
_BARE = frozenset((0x01, *range(0xD0, 0xD9)))
_END = frozenset((0xD9, 0xDA))
_EXIF, _MPF = b"Exif\0\0", b"MPF\0"
_XMP, _PHOTOSHOP = b"http://ns.adobe.com/xap/1.0/\0", b"Photoshop 3.0\0"
_LONGEST_SIGNATURE = 32
_MOST_RESOURCES = 2**20
# How far to search for the next marker after damage.
_SEARCHED = 2**16
_PICTURE_COUNT = 0xB001
_MPF_ENTRIES = 16


def read_jpeg(source: Source) -> Contents:
    """Walk the markers from the start up to the frame header."""
    size: tuple[int, int] | None = None
    exif = xmp = photoshop = b""
    pictures = 1
    for marker, at, end in _segments(source):
        start = source.read(at, _LONGEST_SIGNATURE) if 0xE1 <= marker <= 0xED else b""
        if marker == 0xE1 and not exif and start.startswith(_EXIF):
            exif = source.read(at, end - at)
        elif marker == 0xE1 and not xmp and start.startswith(_XMP):
            xmp = source.read(at, end - at)[len(_XMP) :]
        elif marker == 0xE2 and start.startswith(_MPF):
            pictures = _picture_count(source.read(at, end - at)[len(_MPF) :])
        elif marker == 0xED and len(photoshop) < _MOST_RESOURCES and start.startswith(_PHOTOSHOP):
            # A segment holds 64 KiB; longer blocks continue in the next.
            photoshop += source.read(at, end - at)[len(_PHOTOSHOP) :]
        elif 0xC0 <= marker <= 0xCF:
            size = _frame(source.read(at, 5))
    iptc = resources(in_memory(photoshop)).get(IPTC, b"") if photoshop else b""
    return Contents(size=size, exif=in_memory(exif), xmp=xmp, iptc=iptc, pictures=pictures)


def _segments(source: Source) -> Iterator[tuple[int, int, int]]:
    """Each marker with where its payload begins and ends, up to and with the frame header."""
    at = 2
    for _ in range(MOST_PARTS):
        here = source.read(at, 4)
        if len(here) < 4:
            break
        if here[0] != 0xFF:
            found = source.read(at, _SEARCHED).find(b"\xff")
            if found < 0:
                break
            at += found
            continue
        marker = here[1]
        if marker == 0xFF:
            at += 1
        elif marker in _BARE or marker == 0:
            at += 2
        elif marker in _END:
            break
        else:
            end = at + 2 + max(2, here[2] << 8 | here[3])
            if marker not in _NO_FRAME:
                yield marker, at + 4, end
            if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME:
                break
            at = end


def _frame(data: bytes) -> tuple[int, int] | None:
    if len(data) < 5:
        return None
    height, width = struct.unpack_from(">HH", data, 1)
    return (width, height) if width and height else None


def _picture_count(block: bytes) -> int:
    """Return the number of pictures in an MPF index (CIPA DC-007, 5.2.3), 1 if it cannot be read."""
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None or len(block) < 8:
        return 1
    (at,) = struct.unpack_from(f"{order}4xI", block)
    count = int.from_bytes(block[at : at + 2], "little" if order == "<" else "big")
    whole = min(count, _MPF_ENTRIES, max(0, len(block) - at - 2) // 12)
    entries = struct.iter_unpack(f"{order}H6xI", block[at + 2 : at + 2 + 12 * whole])
    return next((value for tag, value in entries if tag == _PICTURE_COUNT), 1)
