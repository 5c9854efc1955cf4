"""A GIF: its size, and the XMP packet in an application extension (XMP part 3, section 1.1.2)."""

from imgctl.imaging.metadata.contents import Contents
from imgctl.imaging.metadata.source import Source

_XMP = b"\x21\xff\x0bXMP DataXMP"
# The packet is not cut into blocks: 258 bytes of falling value behind it lead a reader of blocks out of it.
_END = b"\x01\xff\xfe\xfd"
_PIECE = 2**20
_LONGEST = 2**20


def read_gif(source: Source) -> Contents:
    """Search the file for the packet: to step through a GIF's blocks of 255 bytes would take longer than to hash it."""
    head = source.read(0, 10)
    if len(head) < 10:
        return Contents()
    size = int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    at = _found(source)
    packet = source.read(at + len(_XMP), _LONGEST).partition(_END)[0] if at else b""
    return Contents(size=size, xmp=packet)


def _found(source: Source) -> int:
    """Where the extension begins, 0 when there is none; in a store only the first and the last mebibyte are searched."""
    last = max(0, source.size - _PIECE)
    starts = dict.fromkeys((0, last)) if source.remote else range(0, source.size, _PIECE)
    for start in starts:
        at = source.read(start, _PIECE + len(_XMP)).find(_XMP)
        if at >= 0:
            return start + at
    return 0
