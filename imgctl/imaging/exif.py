"""The four EXIF facts imgctl reads (orientation, capture time, copyright, artist), without an image library."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from imgctl.imaging.source import Data

ORIENTATION, ARTIST, COPYRIGHT, EXIF_POINTER, INTEROP_POINTER = 0x0112, 0x013B, 0x8298, 0x8769, 0xA005
DESCRIPTION = 0x010E
TAKEN_AT, TAKEN_OFFSET, COLOUR_SPACE = 0x9003, 0x9011, 0xA001
HEADER = b"Exif\0\0"
_MAX_ENTRIES = 512
_MAX_TEXT = 4096
_TEXT, _SHORT, _LONG = 2, 3, 4

Field = tuple[int, int, int, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exif:
    """What an EXIF block says: orientation 1-8 (1 unless valid), aware UTC capture time, and who owns it."""

    orientation: int = 1
    taken_at: datetime | None = None
    copyright: bytes = b""
    artist: bytes = b""


NO_EXIF = Exif()


def read_exif(block: Data) -> Exif:
    """Read a TIFF-structured block (an EXIF payload, or a whole TIFF file); damage reads as absence."""
    block = block[len(HEADER) :] if block[: len(HEADER)] == HEADER else block
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None or len(block) < 8:
        return NO_EXIF
    primary = _directory(block, _long(order, block[4:8]), order)
    orientation = _number(primary.get(ORIENTATION), order)
    pointer = _number(primary.get(EXIF_POINTER), order)
    exif = _directory(block, pointer, order) if pointer else {}
    return Exif(
        orientation=orientation if 1 <= orientation <= 8 else 1,
        taken_at=moment(_text(block, exif.get(TAKEN_AT), order), _text(block, exif.get(TAKEN_OFFSET), order)),
        copyright=_text(block, primary.get(COPYRIGHT), order),
        artist=_text(block, primary.get(ARTIST), order),
    )


def read_description(block: bytes) -> bytes:
    """The ImageDescription of a TIFF-structured block, as written; empty where there is none."""
    block = block.removeprefix(HEADER)
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None or len(block) < 8:
        return b""
    return _text(block, _directory(block, _long(order, block[4:8]), order).get(DESCRIPTION), order)


def moment(when: bytes, offset: bytes) -> datetime | None:
    """`2021:05:01 10:00:00` and `+02:00` (or nothing: UTC) as aware UTC; None for what is no date."""
    try:
        text = when[:19].decode("ascii")
        local = datetime.fromisoformat(f"{text[:4]}-{text[5:7]}-{text[8:10]}T{text[11:19]}")
        return (local.replace(tzinfo=_zone(offset))).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _zone(offset: bytes) -> timezone:
    try:
        sign = {43: 1, 45: -1}[offset[0]]
        return timezone(sign * timedelta(hours=int(offset[1:3]), minutes=int(offset[4:6])))
    except (KeyError, IndexError, ValueError):
        return UTC


def _directory(block: Data, at: int, order: str) -> Mapping[int, Field]:
    """The entries of the directory at `at` by tag, as (tag, type, count, four bytes of value or place)."""
    if not 8 <= at <= len(block) - 2:
        return {}
    count = min(int.from_bytes(block[at : at + 2], "little" if order == "<" else "big"), _MAX_ENTRIES)
    whole = min(count, (len(block) - at - 2) // 12)
    entries = struct.iter_unpack(f"{order}HHI4s", block[at + 2 : at + 2 + 12 * whole])
    return {entry[0]: entry for entry in entries}


def _long(order: str, value: bytes) -> int:
    return int.from_bytes(value, "little" if order == "<" else "big")


def _number(field: Field | None, order: str) -> int:
    """A SHORT or a LONG, or 0."""
    if field is None or field[2] < 1:
        return 0
    return _long(order, field[3][:2] if field[1] == _SHORT else field[3]) if field[1] in (_SHORT, _LONG) else 0


def _text(block: Data, field: Field | None, order: str) -> bytes:
    """An ASCII value up to its first NUL, stripped, or nothing."""
    if field is None or field[1] != _TEXT or field[2] > _MAX_TEXT:
        return b""
    at = _long(order, field[3])
    value = field[3][: field[2]] if field[2] <= 4 else block[at : at + field[2]]
    return value.split(b"\0", 1)[0].strip()


def ownership_block(exif: Exif) -> bytes:
    """A new EXIF payload that holds the copyright and the artist and nothing else; empty when both are."""
    kept = [(tag, text + b"\0") for tag, text in ((ARTIST, exif.artist), (COPYRIGHT, exif.copyright)) if text]
    if not kept:
        return b""
    entries, values, at = b"", b"", 8 + 2 + 12 * len(kept) + 4
    for tag, text in kept:
        place = text.ljust(4, b"\0") if len(text) <= 4 else struct.pack("<I", at + len(values))
        entries += struct.pack("<HHI", tag, _TEXT, len(text)) + place
        values += text if len(text) > 4 else b""
    return HEADER + b"II*\0\x08\0\0\0" + struct.pack("<H", len(kept)) + entries + bytes(4) + values
