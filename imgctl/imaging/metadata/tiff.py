"""TIFF and BigTIFF directories (TIFF 6.0, section 2), as files and as EXIF blocks have them."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from imgctl.imaging.metadata.photoshop import IPTC as IPTC_RESOURCE
from imgctl.imaging.metadata.photoshop import resources
from imgctl.imaging.source import MOST_BLOCK, Contents, Data, Source, in_memory, source_of

REDUCED_COPY, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 0x00FE, 0x0100, 0x0101, 0x0102, 0x0103, 0x0106
SAMPLES, PLANAR, SUB_IMAGES, EXTRA_SAMPLES, RAW_VERSION = 0x0115, 0x011C, 0x014A, 0x0152, 0xC612
XMP, IPTC, PHOTOSHOP = 0x02BC, 0x83BB, 0x8649
_HEADER = b"Exif\0\0"
_MAX_ENTRIES, _MAX_NUMBERS = 512, 64
_BIG = 43
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 7: 1, 8: 2, 9: 4, 13: 4, 16: 8, 18: 8, 129: 1}
_WHOLE = frozenset((1, 3, 4, 13, 16, 18))
# Text, and Exif 3.0's UTF-8 text.
_TEXTS = frozenset((2, 129))

Field = tuple[int, int, int, bytes]
"""Tag, type, count, and the value or its place."""
Entries = Mapping[int, Field]


@dataclass(frozen=True, slots=True)
class Directories:
    """The directories of a block or file: `start` is the position of its TIFF header, `first` of the first directory."""

    source: Source
    start: int
    order: str
    big: bool
    first: int

    def at(self, place: int) -> Entries:
        """The entries of the directory at `place` by tag."""
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

    def number(self, field: Field | None, default: int = 0) -> int:
        """Return the first integer of a field, `default` if it has none."""
        if field is None or field[1] not in _WHOLE or field[2] < 1:
            return default
        return self.whole(self.value(field)[: _SIZES[field[1]]])

    def numbers(self, field: Field | None) -> tuple[int, ...]:
        """Return all integers of a field; none if it is truncated or has very many."""
        if field is None or field[1] not in _WHOLE or field[2] > _MAX_NUMBERS:
            return ()
        data, size = self.value(field), _SIZES[field[1]]
        whole = len(data) == size * field[2]
        return tuple(self.whole(data[at : at + size]) for at in range(0, len(data), size)) if whole else ()

    def place(self, field: Field) -> int:
        """Return the position in the source of the value of a field of the first directory."""
        if _SIZES[field[1]] * field[2] > len(field[3]):
            return self.start + self.whole(field[3])
        head, entry = (8, 20) if self.big else (2, 12)
        at = self.start + self.first + head
        while self.whole(self.source.read(at, 2)) != field[0]:
            at += entry
        return at + entry - len(field[3])

    def text(self, field: Field | None) -> bytes:
        """Return a text up to its first NUL, stripped; empty for other types."""
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


def directories(what: Data | Source) -> Directories | None:
    """Return the directories of a TIFF file, or of an EXIF block with or without its signature; None for other data."""
    source = source_of(what)
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
    """Read the first picture of a TIFF file; the file itself is its EXIF block."""
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
        iptc=found.value(first.get(IPTC)) or resources(in_memory(photoshop)).get(IPTC_RESOURCE, b""),
    )
