"""Netpbm's PAM and PFM for libvips, as Pillow reads neither in colour: a few lines of text, then plain samples."""

import re
import sys

from imgctl.imaging.colour.srgb import finite
from imgctl.imaging.metadata.size_only import HEAD_BYTES, PNM, pam_of
from imgctl.imaging.source import Data
from imgctl.imaging.vips import pyvips

_OPENINGS = (b"P7\n", b"PF", b"Pf")
_SCALE = re.compile(rb"\s*([-+]?)[\d.eE+-]{1,30}\s")
_BYTES = {"uchar": 1, "ushort": 2, "float": 4}
_BYTE_MOST, _SHORT_MOST = 255, 65535


def is_pam_or_pfm(data: Data) -> bool:
    """Whether a PNM is a PAM or PFM."""
    return bytes(data[:3]).startswith(_OPENINGS)


def load_pnm(data: Data, options: dict[str, str | int]) -> pyvips.Image:
    """Open the picture lazily; a truncated file gives its existing rows if `fail_on` is "none", else ValueError."""
    head = bytes(data[:HEAD_BYTES])
    lenient = options["fail_on"] == "none"
    return _pam(data, head, lenient=lenient) if head.startswith(_OPENINGS[0]) else _pfm(data, head, lenient=lenient)


def _pam(data: Data, head: bytes, *, lenient: bool) -> pyvips.Image:
    pam = pam_of(head)
    if pam is None or not 0 < pam.most <= _SHORT_MOST or not pam.depth:
        raise ValueError("bad header")
    if pam.kind.startswith(b"CMYK"):
        raise ValueError("unsupported: TUPLTYPE CMYK")
    wide = pam.most > _BYTE_MOST
    sample, white = ("ushort", _SHORT_MOST) if wide else ("uchar", _BYTE_MOST)
    image = _rows(data, pam.pixels_at, (pam.width, pam.height, pam.depth), sample, lenient=lenient)
    if wide and sys.byteorder == "little":
        image = image.byteswap()
    colours = 1 if pam.depth < 3 else 3
    # Only the channels that the file names: others after the colours are dropped.
    shown = min(pam.depth, colours + pam.kind.endswith(b"_ALPHA"))
    image = image.extract_band(0, n=shown)
    if pam.most != white:
        image = (image * (white / pam.most)).rint().cast(sample)
    names = ("grey16", "rgb16") if wide else ("b-w", "srgb")
    return image.copy(interpretation=names[colours > 1])


def _pfm(data: Data, head: bytes, *, lenient: bool) -> pyvips.Image:
    """Read rows from the lowest up (netpbm, pfm(5)), of linear light, or of 0 to 255 as Pillow writes them.

    A negative scale means little-endian; its size is ignored.
    """
    sizes = re.match(PNM, head)
    scale = _SCALE.match(head, sizes.end() - 1) if sizes else None
    if sizes is None or scale is None:
        raise ValueError("bad header")
    bands = 3 if head.startswith(b"PF") else 1
    image = _rows(data, scale.end(), (int(sizes[1]), int(sizes[2]), bands), "float", lenient=lenient)
    if (scale[1] == b"-") != (sys.byteorder == "little"):
        image = image.byteswap()
    image = finite(image).flipver()
    # Linear light averages around middle grey, 0.18; bytes are far above.
    if image.avg() > 1:
        return image.cast("uchar").copy(interpretation="srgb" if bands > 1 else "b-w")
    return (image if bands > 1 else image.bandjoin([image, image])).copy(interpretation="scrgb")


def _rows(data: Data, at: int, size: tuple[int, int, int], sample: str, *, lenient: bool) -> pyvips.Image:
    """Return the stored samples, black after the file's end."""
    width, height, bands = size
    line = width * bands * _BYTES[sample]
    if not line or not height:
        raise ValueError("bad header")
    there = min(height, (len(data) - at) // line)
    if there < height and not (lenient and there):
        raise ValueError("unexpected end of file")
    pixels = memoryview(data)[at : at + there * line]
    image = pyvips.Image.new_from_memory(pixels, width, there, bands, sample)
    return image if there == height else image.embed(0, 0, width, height)
