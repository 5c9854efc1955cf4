"""JPEG XL, bare or in boxes (ISO/IEC 18181-1 and -2): the size as seen, EXIF and XMP."""

from imgctl.imaging.metadata.heif import boxes
from imgctl.imaging.source import MOST_BLOCK, Contents, Source, in_memory

_BARE = b"\xff\x0a"
_HEAD_BYTES = 32
# Width over height, by the three bits of the ratio code.
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_LENGTHS = (9, 13, 18, 30)


def read_jxl(source: Source) -> Contents:
    """A codestream, or the boxes around it; `Exif` has the offset of its TIFF header before it."""
    if source.read(0, 2) == _BARE:
        return Contents(size=_size(source.read(0, _HEAD_BYTES)), turned=True)
    head, exif, xmp = b"", b"", b""
    for name, start, end in boxes(source):
        kind, block = _unpacked(source, name, start, end)
        if kind in (b"jxlc", b"jxlp") and not head:
            head = source.read(start + (4 if kind == b"jxlp" else 0), _HEAD_BYTES)
        elif kind == b"Exif":
            exif = exif or block[4 + int.from_bytes(block[:4]) :]
        elif kind == b"xml ":
            xmp = xmp or block
    return Contents(size=_size(head), turned=True, exif=in_memory(exif), xmp=xmp)


def _unpacked(source: Source, kind: bytes, start: int, end: int) -> tuple[bytes, bytes]:
    """Return a box's kind, and its content if it is metadata; a `brob` box holds another box, compressed by Brotli."""
    content = source.block(start, end) if kind in (b"Exif", b"xml ", b"brob") else b""
    if kind != b"brob" or content[:4] not in (b"Exif", b"xml "):
        return kind, content
    import brotli

    unpacking = brotli.Decompressor()
    try:
        block = unpacking.process(content[4:], output_buffer_limit=MOST_BLOCK)
    except brotli.error:
        return kind, b""
    return content[:4], block if unpacking.is_finished() else b""


class _Bits:
    """Reads bits, lowest first from the first byte on; zeros after the end."""

    def __init__(self, data: bytes) -> None:
        self._rest = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        taken = self._rest & ((1 << count) - 1)
        self._rest >>= count
        return taken


def _size(head: bytes) -> tuple[int, int] | None:
    """SizeHeader and the orientation behind it (18181-1, annex D), which decoders apply."""
    if head[:2] != _BARE:
        return None
    bits = _Bits(head[2:])
    small = bits.take(1)
    height = _edge(bits, small=small)
    ratio = bits.take(3)
    if ratio:
        over, under = _RATIOS[ratio - 1]
        width = height * over // under
    else:
        width = _edge(bits, small=small)
    all_default, extra_fields = bits.take(1), bits.take(1)
    turned = not all_default and extra_fields and bits.take(3) >= 4
    return (height, width) if turned else (width, height)


def _edge(bits: _Bits, *, small: int) -> int:
    return 8 * (bits.take(5) + 1) if small else bits.take(_LENGTHS[bits.take(2)]) + 1
