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
    head, blocks = b"", dict[bytes, bytes]()
    for name, start, end in boxes(source):
        if name in (b"jxlc", b"jxlp") and not head:
            head = source.read(start + (4 if name == b"jxlp" else 0), _HEAD_BYTES)
            continue
        # A `brob` box holds another box, compressed by Brotli.
        kind = source.read(start, 4) if name == b"brob" else name
        # Unpacked only once for each kind: a file may hold thousands of boxes that unpack to mebibytes.
        if kind in (b"Exif", b"xml ") and kind not in blocks:
            content = source.block(start, end)
            blocks[kind] = _unpacked(content[4:]) if name == b"brob" else content
    exif = blocks.get(b"Exif", b"")
    return Contents(
        size=_size(head),
        turned=True,
        exif=in_memory(exif[4 + int.from_bytes(exif[:4]) :]),
        xmp=blocks.get(b"xml ", b""),
    )


def _unpacked(data: bytes) -> bytes:
    import brotli

    unpacking = brotli.Decompressor()
    try:
        block = unpacking.process(data, output_buffer_limit=MOST_BLOCK)
    except brotli.error:
        return b""
    return block if unpacking.is_finished() else b""


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
