"""An EXIF APP1 payload from parts: the four directories of a camera's JPEG (Exif 2.32, section 4.6)."""

import struct
from dataclasses import dataclass

Entry = tuple[int, int, int, bytes]
EXIF_POINTER, GPS_POINTER, THUMBNAIL_OFFSET, THUMBNAIL_BYTES = 0x8769, 0x8825, 0x0201, 0x0202


def ifd_entry(tag: int, value: int | bytes | tuple[int, ...], *, kind: int | None = None) -> Entry:
    """Return (tag, type, count, bytes) in big endian: an int as SHORT, bytes as ASCII, a tuple as whole RATIONALs."""
    if isinstance(value, bytes):
        return tag, kind or 2, len(value), value
    if isinstance(value, tuple):
        return tag, 5, len(value), b"".join(struct.pack(">II", part, 1) for part in value)
    return (tag, 4, 1, struct.pack(">I", value)) if kind == 4 else (tag, 3, 1, struct.pack(">H", value))


@dataclass(frozen=True, slots=True, kw_only=True)
class ExifBlock:
    """The directories of one EXIF block; an empty thumbnail leaves the second image directory out."""

    primary: tuple[Entry, ...] = ()
    exif: tuple[Entry, ...] = ()
    gps: tuple[Entry, ...] = ()
    thumbnail: bytes = b""

    def payload(self) -> bytes:
        """The bytes of the APP1 segment, `Exif` header included."""
        return b"Exif\0\0" + self.tiff()

    def tiff(self) -> bytes:
        """The block as WebP, PNG and HEIC hold it: a TIFF header and its directories."""
        exif_at = 8 + _size((*self.primary, _pointer(EXIF_POINTER, 0), _pointer(GPS_POINTER, 0)))
        gps_at = exif_at + _size(self.exif)
        second_at = gps_at + _size(self.gps)
        pixels_at = second_at + _size((_pointer(THUMBNAIL_OFFSET, 0), _pointer(THUMBNAIL_BYTES, 0)))
        primary = (*self.primary, _pointer(EXIF_POINTER, exif_at), _pointer(GPS_POINTER, gps_at))
        second = (_pointer(THUMBNAIL_OFFSET, pixels_at), _pointer(THUMBNAIL_BYTES, len(self.thumbnail)))
        parts = [b"MM\0*\0\0\0\x08", _directory(primary, 8, second_at if self.thumbnail else 0)]
        parts += [_directory(self.exif, exif_at), _directory(self.gps, gps_at)]
        if self.thumbnail:
            parts += [_directory(second, second_at), self.thumbnail]
        return b"".join(parts)


def _pointer(tag: int, at: int) -> Entry:
    return ifd_entry(tag, at, kind=4)


def _size(entries: tuple[Entry, ...]) -> int:
    return 6 + 12 * len(entries) + sum(len(value) + len(value) % 2 for *_, value in entries if len(value) > 4)


def _directory(entries: tuple[Entry, ...], at: int, following: int = 0) -> bytes:
    head, tail = [struct.pack(">H", len(entries))], b""
    tail_at = at + 6 + 12 * len(entries)
    for tag, kind, count, value in sorted(entries):
        field = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack(">I", tail_at + len(tail))
        head.append(struct.pack(">HHI", tag, kind, count) + field)
        if len(value) > 4:
            tail += value + bytes(len(value) % 2)
    return b"".join((*head, struct.pack(">I", following), tail))
