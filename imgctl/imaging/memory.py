"""How much memory a decode takes, known from the header alone: what cannot fit is refused before it is tried."""

from imgctl.errors import ImageRejected
from imgctl.imaging.formats import Format
from imgctl.units import format_bytes

RESERVED_BYTES = 256 * 2**20
"""What a rendering process takes besides: the interpreter, libraries, other originals, the variants."""

# Bytes a pixel at the peak, measured with VmData; what is not named streams. A test holds them to be enough.
_LIBVIPS = {Format.WEBP: 20, Format.AVIF: 17, Format.GIF: 7}
_LIBVIPS_INTERLACED = {Format.JPEG: 7, Format.PNG: 9}
_PILLOW = {Format.HEIC: 11, Format.AVIF: 16, Format.WEBP: 16, Format.JPEG2000: 22}
_PILLOW_OTHERS = 10
_STREAMS = 0


class MemoryNeeded(ImageRejected):
    """A decode that does not fit; another decoder may."""


def libvips_bytes(kind: Format, pixels: int, *, interlaced: bool) -> int:
    """What libvips holds at most; a progressive JPEG and an interlaced PNG are held whole."""
    held = _LIBVIPS_INTERLACED if interlaced else _LIBVIPS
    return pixels * held.get(kind, _STREAMS)


def pillow_bytes(kind: Format, pixels: int, *, copied_bytes: int) -> int:
    """What Pillow holds at most; `copied_bytes` are those of a file that is not in memory yet."""
    return pixels * _PILLOW.get(kind, _PILLOW_OTHERS) + copied_bytes


def check_memory(needed: int, memory_bytes: int) -> None:
    """Raise MemoryNeeded where a decode takes more than a process may (0: no bound)."""
    if not memory_bytes or not needed or needed + RESERVED_BYTES <= memory_bytes:
        return
    raise MemoryNeeded(
        f"decoding it takes about {format_bytes(needed)} of memory; a rendering process may take"
        f" {format_bytes(memory_bytes)}, {format_bytes(RESERVED_BYTES)} of it for itself",
        hint=f"raise [work] memory to {-(-(needed + RESERVED_BYTES) // 2**30)}GiB",
    )
