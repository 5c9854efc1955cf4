"""Formats whose first bytes hold the size and no other metadata: PNM, TGA, PCX, ICO, SGI, DDS and QOI."""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

from imgctl.imaging.source import Contents, Source

HEAD_BYTES = 4096
_MOST_DIGITS = 9
PNM = rb"P[1-6fF]\s(?:\s|#[^\n]*\n)*(\d{1,9})\s+(?:#[^\n]*\n\s*)*(\d{1,9})\s"
_PAM_LINE = rb"(?<=\n)(WIDTH|HEIGHT|DEPTH|MAXVAL|TUPLTYPE)[ \t]+([^\n]+)\n"
_PAM_END = b"\nENDHDR\n"
_ICON_ENTRY = 16

Size = tuple[int, int]


def _sized(measure: Callable[[bytes], Size | None]) -> Callable[[Source], Contents]:
    """Return a reader of the size alone; a truncated header has no size."""

    def read(source: Source) -> Contents:
        try:
            return Contents(size=measure(source.read(0, HEAD_BYTES)))
        except struct.error:
            return Contents()

    return read


@dataclass(frozen=True, slots=True, kw_only=True)
class Pam:
    """The header of Netpbm's PAM: `depth` samples a pixel from 0 to `most`; pixels begin at `pixels_at`."""

    width: int
    height: int
    depth: int
    most: int
    kind: bytes
    pixels_at: int


def pam_of(head: bytes) -> Pam | None:
    """Read a PAM's header from the first bytes of a file; None if it is another format or incomplete."""
    end = head.find(_PAM_END)
    if head[:3] != b"P7\n" or end < 0:
        return None
    header = dict(re.findall(_PAM_LINE, head[: end + 1]))
    values = [header.get(name, b"").strip() for name in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL")]
    if not all(value.isdigit() and len(value) <= _MOST_DIGITS for value in values):
        return None
    width, height, depth, most = map(int, values)
    kind = header.get(b"TUPLTYPE", b"").strip()
    return Pam(width=width, height=height, depth=depth, most=most, kind=kind, pixels_at=end + len(_PAM_END))


def _pnm(head: bytes) -> Size | None:
    if pam := pam_of(head):
        return pam.width, pam.height
    found = re.match(PNM, head)
    return (int(found[1]), int(found[2])) if found else None


def _two(layout: str, at: int) -> Callable[[bytes], Size]:
    def measure(head: bytes) -> Size:
        width, height = struct.unpack_from(layout, head, at)
        return width, height

    return measure


def _pcx(head: bytes) -> Size:
    left, top, right, bottom = struct.unpack_from("<4H", head, 4)
    return right - left + 1, bottom - top + 1


def _icon(head: bytes) -> Size | None:
    """Return the size of the largest picture, which viewers show; 0 means 256."""
    (count,) = struct.unpack_from("<H", head, 4)
    places = range(6, min(6 + _ICON_ENTRY * count, len(head) - _ICON_ENTRY + 1), _ICON_ENTRY)
    sizes = [(head[at] or 256, head[at + 1] or 256) for at in places]
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


def _dds(head: bytes) -> Size:
    height, width = struct.unpack_from("<2I", head, 12)
    return width, height


read_pnm = _sized(_pnm)
read_tga = _sized(_two("<2H", 12))
read_pcx = _sized(_pcx)
read_icon = _sized(_icon)
read_sgi = _sized(_two(">2H", 6))
read_dds = _sized(_dds)
read_qoi = _sized(_two(">2I", 4))
