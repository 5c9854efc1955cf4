"""Encodes pixels as a variant, without metadata; and the pixels in memory, as passed between the rendering steps."""

import io
import struct
from dataclasses import dataclass

from PIL import Image

from imgctl.imaging.vips import pyvips
from imgctl.model import VariantFormat, VariantSpec

_BANDS = 3
# The strip height that libvips uses for steps that need neighbouring lines: a strip stays in the processor's cache.
_STRIP_LINES = 16
_EXIF_FIELD = "exif-data"
_AVIF_EFFORT = 3
# Chroma at half the size in each direction (4:2:0), except for qualities at which its loss would be visible (4:4:4).
_HALVED, _WHOLE = 2, 0
_WHOLE_FROM = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Raster:
    """`data` holds `height` lines of `width` pixels of red, green and blue, one byte each, and no gap."""

    width: int
    height: int
    data: bytearray

    @property
    def image(self) -> pyvips.Image:
        """Return the same memory as a libvips image."""
        view = pyvips.Image.new_from_memory(self.data, self.width, self.height, _BANDS, "uchar")
        return view.copy(interpretation="srgb")


def computed(image: pyvips.Image) -> Raster:
    """Compute a lazy three-band 8-bit picture once, and drop the metadata that libvips passes on.

    The calling thread computes one strip after the other. libvips itself would compute in another thread and wake
    this one for each piece: 570 thread switches a photo, and 15 % more CPU for all three sizes (measured).
    Raises pyvips.Error.
    """
    width, height = image.width, image.height
    line = width * _BANDS
    data = bytearray(line * height)
    region = pyvips.Region.new(image)
    for top in range(0, height, _STRIP_LINES):
        lines = min(_STRIP_LINES, height - top)
        data[top * line : (top + lines) * line] = region.fetch(0, top, width, lines)
    return Raster(width=width, height=height, data=data)


def encode(raster: Raster, spec: VariantSpec, *, exif: bytes = b"") -> bytes:
    """Encode; `exif` is a whole payload (`Exif` header first) to put in, or nothing."""
    if spec.format is VariantFormat.JPEG:
        return _with_segment(_jpeg(raster, spec.quality), exif)
    image = raster.image
    keep = "exif" if exif else "none"
    if exif:
        image = image.copy()
        image.set_type(pyvips.GValue.blob_type, _EXIF_FIELD, exif)
    if spec.format is VariantFormat.WEBP:
        return bytes(image.webpsave_buffer(Q=spec.quality, keep=keep))
    return bytes(image.heifsave_buffer(Q=spec.quality, compression="av1", effort=_AVIF_EFFORT, keep=keep))


def _jpeg(raster: Raster, quality: int) -> bytes:
    # By Pillow, in this thread: libvips uses the same encoder in a second thread, a quarter more CPU (measured).
    # Baseline with the standard tables: optimised ones save 2 % of bytes for 2.6 times the CPU (measured).
    picture = Image.frombuffer("RGB", (raster.width, raster.height), raster.data, "raw", "RGB", 0, 1)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality, subsampling=_WHOLE if quality >= _WHOLE_FROM else _HALVED)
    return out.getvalue()


def _with_segment(jpeg: bytes, exif: bytes) -> bytes:
    """Return the JPEG with an EXIF segment right after its first marker, where readers expect it."""
    if not exif:
        return jpeg
    return b"".join((jpeg[:2], struct.pack(">BBH", 0xFF, 0xE1, len(exif) + 2), exif, jpeg[2:]))
