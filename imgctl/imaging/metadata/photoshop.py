"""Photoshop's image resources, which JPEG, TIFF and PSD hold alike, and the PSD file around them."""

from imgctl.imaging.metadata.contents import MOST_BLOCK, MOST_PARTS, Contents
from imgctl.imaging.metadata.source import Source, in_memory

IPTC, EXIF, XMP = 0x0404, 0x0422, 0x0424
_WANTED = frozenset((IPTC, EXIF, XMP))
_SIGNATURE = b"8BIM"
_NAME = 0xFF
_HEADER = 26


def resources(source: Source, at: int = 0, end: int | None = None) -> dict[int, bytes]:
    """The metadata among the resources from `at` on, by number; each is `8BIM`, a number, a padded name, a size, padded data."""
    found: dict[int, bytes] = {}
    end = source.size if end is None else min(end, source.size)
    for _ in range(MOST_PARTS):
        here = source.read(at, 12 + _NAME)
        if at + 12 > end or len(here) < 12 or here[:4] != _SIGNATURE:
            break
        number = int.from_bytes(here[4:6])
        start = 6 + (here[6] + 2) // 2 * 2
        size = int.from_bytes(here[start : start + 4])
        if number in _WANTED and size <= MOST_BLOCK:
            found.setdefault(number, source.read(at + start + 4, size))
        at += start + 4 + (size + 1) // 2 * 2
    return found


def read_psd(source: Source) -> Contents:
    """A PSD (or PSB): header, colour table, resources, each with its size before it (Adobe's file format, 2019)."""
    head = source.read(0, _HEADER + 4)
    if len(head) < _HEADER + 4:
        return Contents()
    at = _HEADER + 4 + int.from_bytes(head[_HEADER:])
    start = at + 4
    found = resources(source, start, start + int.from_bytes(source.read(at, 4)))
    return Contents(
        size=(int.from_bytes(head[18:22]), int.from_bytes(head[14:18])),
        exif=in_memory(found.get(EXIF, b"")),
        xmp=found.get(XMP, b""),
        iptc=found.get(IPTC, b""),
    )
