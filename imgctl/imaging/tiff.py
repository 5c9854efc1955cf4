"""The first directory of a TIFF, classic or big, in either byte order (TIFF 6.0, section 2; BigTIFF)."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from imgctl.imaging.source import Data

REDUCED_COPY, BITS, COMPRESSION, PHOTOMETRIC = 0x00FE, 0x0102, 0x0103, 0x0106
SAMPLES, PLANAR, SUB_IMAGES, EXTRA_SAMPLES, RAW_VERSION = 0x0115, 0x011C, 0x014A, 0x0152, 0xC612
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, YCBCR = 0, 1, 2, 6
JPEG_COMPRESSION = 7
APART = 2
"""PlanarConfiguration: each band in a plane of its own."""
ASSOCIATED, UNASSOCIATED = 1, 2
ALPHA = frozenset((ASSOCIATED, UNASSOCIATED))
"""ExtraSamples that are transparency; 0 is anything else, as Photoshop saves a selection."""

_LETTERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_MOST_ENTRIES, _MOST_VALUES = 512, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """Whole numbers by tag, as far as there are few of them, and where in the file each short value stands."""

    order: str
    numbers: Mapping[int, tuple[int, ...]]
    places: Mapping[int, int]

    def number(self, tag: int, default: int = 0) -> int:
        """The first number of a tag."""
        return (self.numbers.get(tag) or (default,))[0]

    @property
    def extra(self) -> tuple[int, ...]:
        """What the bands behind the colour are; bands that are not spoken of here are nothing known."""
        return self.numbers.get(EXTRA_SAMPLES, ())


NO_DIRECTORY = Directory(order="<", numbers=MappingProxyType({}), places=MappingProxyType({}))


def first_directory(data: Data) -> Directory:
    """Read it; what is damaged reads as absent."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return NO_DIRECTORY
    try:
        return _read(data, order, big=data[2:4] in (b"+\0", b"\0+"))
    except struct.error:
        return NO_DIRECTORY


def _read(data: Data, order: str, *, big: bool) -> Directory:
    word, short = (f"{order}Q", f"{order}Q") if big else (f"{order}I", f"{order}H")
    room = struct.calcsize(word)
    (at,) = struct.unpack_from(word, data, room)
    (count,) = struct.unpack_from(short, data, at)
    numbers: dict[int, tuple[int, ...]] = {}
    places: dict[int, int] = {}
    for row in range(min(count, _MOST_ENTRIES)):
        entry = at + struct.calcsize(short) + row * (4 + 2 * room)
        if entry + 4 + 2 * room > len(data):
            break
        tag, kind, amount = struct.unpack_from(f"{order}HH{word[1]}", data, entry)
        letter = _LETTERS.get(kind)
        if letter is None or not 1 <= amount <= _MOST_VALUES:
            continue
        value = entry + 4 + room
        layout = f"{order}{amount}{letter}"
        if struct.calcsize(layout) > room:
            (value,) = struct.unpack_from(word, data, value)
        if value + struct.calcsize(layout) <= len(data):
            numbers[tag], places[tag] = struct.unpack_from(layout, data, value), value
    return Directory(order=order, numbers=numbers, places=places)


def is_grey_apart(found: Directory) -> bool:
    """Whether grey lies in a plane of its own beside others: libvips 8.18 reads rows of such planes in disorder."""
    grey = found.number(PHOTOMETRIC, RGB) in (WHITE_IS_ZERO, BLACK_IS_ZERO)
    return grey and found.number(PLANAR) == APART and found.number(SAMPLES) > 1 and found.number(BITS) > 1


def is_oddly_associated(found: Directory) -> bool:
    """Whether colours are multiplied by alpha in any other layout than RGBA: libvips 8.18 divides some wrongly."""
    return ASSOCIATED in found.extra and (found.number(PHOTOMETRIC) != RGB or len(found.extra) > 1)


def taken_plainly(data: Data, found: Directory) -> bytes:
    """The same file with fields changed so that libvips hands its bands out as they are."""
    changed = bytearray(data)
    if is_grey_apart(found):
        struct.pack_into(f"{found.order}H", changed, found.places[PHOTOMETRIC], RGB)
    for at, what in enumerate(found.extra):
        if what == ASSOCIATED:
            struct.pack_into(f"{found.order}H", changed, found.places[EXTRA_SAMPLES] + 2 * at, UNASSOCIATED)
    return bytes(changed)
