"""TIFF and BigTIFF directories by seeking, as files and as EXIF blocks have them."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from imgctl.imaging.metadata.contents import MOST_BLOCK, Contents
from imgctl.imaging.metadata.photoshop import IPTC as IPTC_RESOURCE
from imgctl.imaging.metadata.photoshop import resources
from imgctl.imaging.metadata.source import Source, in_memory

WIDTH, HEIGHT, XMP, IPTC, PHOTOSHOP = 0x0100, 0x0101, 0x02BC, 0x83BB, 0x8649
_HEADER = b"Exif\0\0"
_MAX_ENTRIES = 512
_BIG = 43
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 7: 1, 8: 2, 9: 4, 13: 4, 16: 8, 18: 8, 129: 1}
_WHOLE = frozenset((1, 3, 4, 13, 16, 18))
# Text, and text in UTF-8 as Exif 3.0 has it.
_TEXTS = frozenset((2, 129))

Field = tuple[int, int, int, bytes]


@dataclass(frozen=True, slots=True)
class Directories:
    """The directories of one block or file: `start` is where its TIFF header lies, `first` where its first directory does."""

    source: Source
    start: int
    order: str
    big: bool
    first: int

    def at(self, place: int) -> Mapping[int, Field]:
        """The entries of the directory at `place` by tag, as (tag, type, count, value or its place)."""
        if place < 8:
            return {}
        head, entry = (8, 20) if self.big else (2, 12)
        counted = self.source.read(self.start + place, head)
        if len(counted) < head:
            return {}
        count = min(self.whole(counted), _MAX_ENTRIES)
        data = self.source.read(self.start + place + head, count * entry)
        data = data[: len(data) // entry * entry]
        return {one[0]: one for one in struct.iter_unpack(f"{self.order}{'HHQ8s' if self.big else 'HHI4s'}", data)}

    def number(self, field: Field | None) -> int:
        """The first of a field's whole numbers, 0 where it has none."""
        if field is None or field[1] not in _WHOLE or field[2] < 1:
            return 0
        size = _SIZES[field[1]]
        return self.whole(self.value(field)[:size] if size * field[2] > len(field[3]) else field[3][:size])

    def text(self, field: Field | None) -> bytes:
        """A text up to its first NUL, stripped, or nothing."""
        return self.value(field).split(b"\0", 1)[0].strip() if field is not None and field[1] in _TEXTS else b""

    def value(self, field: Field | None) -> bytes:
        """The bytes of a field."""
        if field is None:
            return b""
        size = _SIZES.get(field[1], 0) * field[2]
        if size <= len(field[3]):
            return field[3][:size]
        return self.source.read(self.start + self.whole(field[3]), size) if size <= MOST_BLOCK else b""

    def whole(self, data: bytes) -> int:
        """An unsigned number in this file's byte order."""
        return int.from_bytes(data, "little" if self.order == "<" else "big")


def directories(source: Source) -> Directories | None:
    """The directories of a TIFF file, or of an EXIF block with or without its signature; None for what is neither."""
    head = source.read(0, 22)
    start = len(_HEADER) if head.startswith(_HEADER) else 0
    head = head[start:]
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        return None
    big = int.from_bytes(head[2:4], "little" if order == "<" else "big") == _BIG
    found = Directories(source, start, order, big, 0)
    return Directories(source, start, order, big, found.whole(head[8:16] if big else head[4:8]))


def read_tiff(source: Source) -> Contents:
    """The first picture of a TIFF file: the file itself is its EXIF block."""
    found = directories(source)
    if found is None:
        return Contents()
    first = found.at(found.first)
    width, height = found.number(first.get(WIDTH)), found.number(first.get(HEIGHT))
    photoshop = found.value(first.get(PHOTOSHOP))
    return Contents(
        size=(width, height) if width and height else None,
        exif=source,
        xmp=found.value(first.get(XMP)),
        iptc=found.value(first.get(IPTC))
        or (resources(in_memory(photoshop)).get(IPTC_RESOURCE, b"") if photoshop else b""),
    )
