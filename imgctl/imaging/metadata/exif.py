"""The EXIF fields that imgctl reads: orientation, capture times, caption, copyright and artist."""

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

from imgctl.imaging.metadata.tiff import Directories, Field, directories
from imgctl.imaging.source import Data, Source, in_memory

MAKER_NOTE = 0x927C
ORIENTATION, ARTIST, COPYRIGHT, EXIF_POINTER = 0x0112, 0x013B, 0x8298, 0x8769
DESCRIPTION = 0x010E
MODIFIED, TAKEN_AT, DIGITISED = 0x0132, 0x9003, 0x9004
MODIFIED_OFFSET, TAKEN_OFFSET, DIGITISED_OFFSET = 0x9010, 0x9011, 0x9012
HEADER = b"Exif\0\0"
_TEXT = 2
# Apple's maker note: a directory after a marker, with offsets from the marker's start (ExifTool, Apple.pm).
_APPLE = b"Apple iOS\0"
_APPLE_HEADER_BYTES, _APPLE_CONTENT_IDENTIFIER = 14, 0x0011


@dataclass(frozen=True, slots=True, kw_only=True)
class Exif:
    """The fields of an EXIF block: orientation 1-8 (1 unless valid), aware UTC times, caption, copyright and artist.

    `content_identifier` is shared by the two files of an iPhone's Live Photo.

    `taken_at` is the time of the shutter, `digitised_at` when a scanner or camera created the pixels, and
    `modified_at`, the least reliable, when a program last wrote the file.
    """

    orientation: int = 1
    taken_at: datetime | None = None
    digitised_at: datetime | None = None
    modified_at: datetime | None = None
    description: bytes = b""
    copyright: bytes = b""
    artist: bytes = b""
    content_identifier: str = ""


NO_EXIF = Exif()


def read_exif(block: Data | Source, apart: Source | None = None) -> Exif:
    """Read a TIFF-structured block (an EXIF payload, or a whole TIFF file); damaged fields count as missing.

    `apart` is the EXIF directory if it is a separate block, as in Canon's CR3.
    """
    found = directories(block if isinstance(block, Source) else in_memory(block))
    if found is None:
        return NO_EXIF
    primary = found.at(found.first)
    pointer = found.number(primary.get(EXIF_POINTER))
    within, exif = found, found.at(pointer) if pointer else {}
    if apart is not None and (other := directories(apart)) is not None:
        within, exif = other, other.at(other.first)
    orientation = found.number(primary.get(ORIENTATION))
    offsets = {tag: within.text(exif.get(tag)) for tag in (TAKEN_OFFSET, DIGITISED_OFFSET, MODIFIED_OFFSET)}
    # Some writers store the offset only once, for any of the three times.
    any_offset = next(filter(None, offsets.values()), b"")

    def time_of(text: bytes, tag: int) -> datetime | None:
        return moment(text, offsets[tag] or any_offset) if text else None

    return Exif(
        orientation=orientation if 1 <= orientation <= 8 else 1,
        taken_at=time_of(within.text(exif.get(TAKEN_AT)), TAKEN_OFFSET),
        digitised_at=time_of(within.text(exif.get(DIGITISED)), DIGITISED_OFFSET),
        modified_at=time_of(found.text(primary.get(MODIFIED)), MODIFIED_OFFSET),
        description=found.text(primary.get(DESCRIPTION)),
        copyright=found.text(primary.get(COPYRIGHT)),
        artist=found.text(primary.get(ARTIST)),
        content_identifier=_content_identifier(within, exif.get(MAKER_NOTE)),
    )


def _content_identifier(found: Directories, note: Field | None) -> str:
    start = found.start + found.whole(note[3]) if note is not None else 0
    if not start or found.source.read(start, len(_APPLE)) != _APPLE:
        return ""
    apple = Directories(found.source, start, ">", big=False, first=_APPLE_HEADER_BYTES)
    return apple.text(apple.at(_APPLE_HEADER_BYTES).get(_APPLE_CONTENT_IDENTIFIER)).decode("latin-1")


def moment(when: bytes, offset: bytes) -> datetime | None:
    """`2021:05:01 10:00:00` and `+02:00` (or nothing: UTC) as aware UTC; None if invalid."""
    try:
        text = when[:19].decode("ascii")
        local = datetime.fromisoformat(f"{text[:4]}-{text[5:7]}-{text[8:10]}T{text[11:19]}")
        return (local.replace(tzinfo=_zone(offset))).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


@lru_cache(maxsize=64)
def _zone(offset: bytes) -> timezone:
    try:
        sign = {43: 1, 45: -1}[offset[0]]
        return timezone(sign * timedelta(hours=int(offset[1:3]), minutes=int(offset[4:6])))
    except (KeyError, IndexError, ValueError):
        return UTC


def ownership_block(exif: Exif) -> bytes:
    """Build an EXIF payload with only copyright and artist; empty if both are."""
    kept = [(tag, text + b"\0") for tag, text in ((ARTIST, exif.artist), (COPYRIGHT, exif.copyright)) if text]
    if not kept:
        return b""
    entries, values, at = b"", b"", 8 + 2 + 12 * len(kept) + 4
    for tag, text in kept:
        place = text.ljust(4, b"\0") if len(text) <= 4 else struct.pack("<I", at + len(values))
        entries += struct.pack("<HHI", tag, _TEXT, len(text)) + place
        values += text if len(text) > 4 else b""
    return HEADER + b"II*\0\x08\0\0\0" + struct.pack("<H", len(kept)) + entries + bytes(4) + values
