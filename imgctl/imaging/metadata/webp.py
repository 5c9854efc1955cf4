"""A WebP by its RIFF chunks (RFC 9649): size, EXIF and XMP, which come behind the pixels."""

from collections.abc import Iterator

from imgctl.imaging.metadata.contents import MOST_BLOCK, MOST_PARTS, Contents
from imgctl.imaging.metadata.source import Source, in_memory

_WANTED = frozenset((b"EXIF", b"XMP "))
_START = 12


def read_webp(source: Source) -> Contents:
    """Walk the chunks from one to the next."""
    blocks: dict[bytes, bytes] = {}
    for kind, at, size in _chunks(source):
        if kind in _WANTED and size <= MOST_BLOCK:
            blocks.setdefault(kind, source.read(at, size))
        elif kind.startswith(b"VP8"):
            blocks.setdefault(kind, source.read(at, 10))
    return Contents(
        size=_size(blocks),
        exif=in_memory(blocks.get(b"EXIF", b"")),
        xmp=blocks.get(b"XMP ", b""),
    )


def _chunks(source: Source) -> Iterator[tuple[bytes, int, int]]:
    at = _START
    for _ in range(MOST_PARTS):
        here = source.read(at, 8)
        if len(here) < 8:
            return
        size = int.from_bytes(here[4:], "little")
        yield here[:4], at + 8, size
        at += 8 + size + size % 2


def _size(blocks: dict[bytes, bytes]) -> tuple[int, int] | None:
    canvas, lossless, lossy = (blocks.get(kind, b"") for kind in (b"VP8X", b"VP8L", b"VP8 "))
    if len(canvas) == 10:
        return int.from_bytes(canvas[4:7], "little") + 1, int.from_bytes(canvas[7:10], "little") + 1
    if len(lossless) >= 5 and lossless[0] == 0x2F:
        bits = int.from_bytes(lossless[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if len(lossy) == 10 and lossy[3:6] == b"\x9d\x01\x2a":
        width, height = int.from_bytes(lossy[6:8], "little"), int.from_bytes(lossy[8:10], "little")
        return width & 0x3FFF, height & 0x3FFF
    return None
