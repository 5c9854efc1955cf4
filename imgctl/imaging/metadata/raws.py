"""Camera raws: EXIF and XMP in a TIFF's first directory, in CR3's boxes, in the JPEG of a RAF, in a block of an MRW.

The size is LibRaw's to tell: what a directory calls width and height is a preview's, or a sensor's with its borders.
"""

import struct
from dataclasses import replace

from imgctl.imaging.metadata.heif import XMP_UUID, boxes
from imgctl.imaging.metadata.jpeg import read_jpeg
from imgctl.imaging.metadata.tiff import read_tiff
from imgctl.imaging.source import MOST_PARTS, Contents, Source, in_memory

_CANON = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
# Of a RAF: where its JPEG lies, and how long that is (LibRaw, src/metadata/fuji.cpp).
_RAF, _RAF_JPEG = b"FUJIFILMCCD-RAW", 84
_MRW, _MRW_TIFF = b"\0MRM", b"\0TTW"


def read_raw(source: Source) -> Contents:
    """Metadata alone; damage reads as absence."""
    head = source.read(0, 16)
    if head[4:8] == b"ftyp":
        contents = _cr3(source)
    elif head.startswith(_RAF):
        start, length = struct.unpack(">2I", source.read(_RAF_JPEG, 8).ljust(8, b"\0"))
        contents = read_jpeg(_part(source, start, length))
    elif head.startswith(_MRW):
        contents = _mrw(source)
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


def _part(source: Source, start: int, length: int) -> Source:
    """A file within the file."""
    size = max(0, min(length, source.size - start))
    return Source(size, fetch=lambda at, wanted: source.read(start + at, min(wanted, size - at)))
