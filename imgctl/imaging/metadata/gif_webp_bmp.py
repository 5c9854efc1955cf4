"""GIF, WebP and BMP: formats of short headers."""

from collections.abc import Iterator

from imgctl.imaging.source import MOST_BLOCK, MOST_PARTS, Contents, Source, in_memory

# A bitmap's header by its length: the oldest has edges of two bytes (Windows' and OS/2's headers, wingdi.h).
_OLDEST_BMP = 12
_BMP_HEADERS = frozenset((_OLDEST_BMP, 16, 40, 52, 56, 64, 108, 124))
_WEBP_WANTED = frozenset((b"EXIF", b"XMP "))
_WEBP_START = 12
_GIF_XMP = b"\x21\xff\x0bXMP DataXMP"
# The packet is not split into blocks: 258 bytes of descending value after it lead a block reader to its end.
_END = b"\x01\xff\xfe\xfd"
_PIECE = 2**20
_LONGEST = 2**20


def read_gif(source: Source) -> Contents:
    """Size, and the XMP packet in an application extension (XMP part 3, 1.1.2).

    Searches the file for the packet: stepping through a GIF's blocks of 255 bytes would take longer than hashing it."""
    head = source.read(0, 10)
    if len(head) < 10:
        return Contents()
    size = int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    at = _found(source)
    packet = source.read(at + len(_GIF_XMP), _LONGEST).partition(_END)[0] if at else b""
    return Contents(size=size, xmp=packet)


def _found(source: Source) -> int:
    """Return the extension's position, 0 if there is none; in a store only the first and last mebibyte are searched."""
    last = max(0, source.size - _PIECE)
    starts = dict.fromkeys((0, last)) if source.remote else range(0, source.size, _PIECE)
    for start in starts:
        at = source.read(start, _PIECE + len(_GIF_XMP)).find(_GIF_XMP)
        if at >= 0:
            return start + at
    return 0


def read_webp(source: Source) -> Contents:
    """Size, EXIF and XMP by the RIFF chunks (RFC 9649); metadata comes behind the pixels."""
    blocks: dict[bytes, bytes] = {}
    for kind, at, size in _chunks(source):
        if kind in _WEBP_WANTED and size <= MOST_BLOCK:
            blocks.setdefault(kind, source.read(at, size))
        elif kind.startswith(b"VP8"):
            blocks.setdefault(kind, source.read(at, 10))
    return Contents(
        size=_size(blocks),
        exif=in_memory(blocks.get(b"EXIF", b"")),
        xmp=blocks.get(b"XMP ", b""),
    )


def _chunks(source: Source) -> Iterator[tuple[bytes, int, int]]:
    at = _WEBP_START
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


def read_bmp(source: Source) -> Contents:
    """The size; the header's length identifies its version."""
    head = source.read(14, 12)
    length = int.from_bytes(head[:4], "little")
    if len(head) < 12 or length not in _BMP_HEADERS:
        return Contents()
    if length == _OLDEST_BMP:
        return Contents(size=(int.from_bytes(head[4:6], "little"), int.from_bytes(head[6:8], "little")))
    # A negative height means rows from top to bottom.
    width, height = (int.from_bytes(head[at : at + 4], "little", signed=True) for at in (4, 8))
    return Contents(size=(width, abs(height)))
