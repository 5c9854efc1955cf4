"""Restricted use of Pillow: sizes before decoding, and pixels that libvips cannot decode."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image, ImageFile

from imgctl.imaging.formats import Format
from imgctl.imaging.metadata.exif import read_exif
from imgctl.imaging.source import Data, as_file

# imgctl checks the header's pixel count itself, with a configurable limit.
Image.MAX_IMAGE_PIXELS = None

# The only Pillow plugins in use: none that starts another program (EPS, WMF), none without damage tests.
PLUGIN: dict[Format, tuple[str, ...]] = {
    Format.JPEG: ("JPEG",),
    Format.MPO: ("MPO",),
    Format.PNG: ("PNG",),
    Format.GIF: ("GIF",),
    Format.WEBP: ("WEBP",),
    Format.TIFF: ("TIFF",),
    Format.HEIC: ("HEIF",),
    Format.AVIF: ("AVIF",),
    Format.BMP: ("BMP",),
    Format.JPEG2000: ("JPEG2000",),
    Format.PSD: ("PSD",),
    Format.PNM: ("PPM",),
    Format.TGA: ("TGA",),
    Format.PCX: ("PCX",),
    Format.ICO: ("ICO", "CUR"),
    Format.SGI: ("SGI",),
    Format.DDS: ("DDS",),
    Format.QOI: ("QOI",),
}
_LINES_A_TIME = 64
_GLOBALS = threading.RLock()


@contextmanager
def _quiet(*, lenient: bool = False) -> Iterator[None]:
    # Pillow's warnings and its tolerance of truncated files are global to the process: one thread at a time.
    with _GLOBALS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = ImageFile.LOAD_TRUNCATED_IMAGES
        ImageFile.LOAD_TRUNCATED_IMAGES = lenient
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = before


def _open(data: Data, kind: Format) -> Image.Image:
    if kind is Format.HEIC:
        import pillow_heif

        pillow_heif.register_heif_opener(thumbnails=False)
    # Only the sniffed format's plugin: an upload's content must never choose the decoder alone.
    return Image.open(as_file(data), formats=PLUGIN[kind])


def size_of(data: Data, kind: Format) -> tuple[int, int] | None:
    """Return the size of Pillow's decoded picture, or None if it cannot read the header; never raises."""
    try:
        with _quiet(), _open(data, kind) as image:
            return image.size
    except Exception:  # Pillow's plugins raise any exception: OSError, SyntaxError, struct.error, KeyError …
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pixels:
    """The first frame in one of the modes L, LA, RGB, RGBA, CMYK, I;16, I, F, with its colour information.

    `orientation` is the remaining turn if the plugin overrides the file's header, else None.
    """

    mode: str
    size: tuple[int, int]
    data: bytearray
    icc_profile: bytes
    orientation: int | None = None


def decode(data: Data, kind: Format, *, lenient: bool = False) -> Pixels:
    """Decode the first frame; raises any of Pillow's errors. `lenient` fills the missing part of a truncated file."""
    with _quiet(lenient=lenient), _open(data, kind) as image:
        orientation = _orientation(image, kind)
        profile = image.info.get("icc_profile")
        image.load()
        plain = _plain(image)
        return Pixels(
            mode=plain.mode,
            size=plain.size,
            data=_packed(plain),
            icc_profile=profile if isinstance(profile, bytes) else b"",
            orientation=orientation,
        )


def _packed(image: Image.Image) -> bytearray:
    """Return the pixels without gaps, copied some lines at a time: `tobytes` would hold them twice."""
    width, height = image.size
    line = len(image.crop((0, 0, width, 1)).tobytes())
    data = bytearray(line * height)
    for top in range(0, height, _LINES_A_TIME):
        bottom = min(top + _LINES_A_TIME, height)
        data[top * line : bottom * line] = image.crop((0, top, width, bottom)).tobytes()
    return data


def _orientation(image: Image.Image, kind: Format) -> int | None:
    if kind is Format.TIFF:
        # The plugin turns the picture itself, and reports the turned size.
        return 1
    if kind is Format.AVIF:
        # The plugin doesn't apply the container's turns, and passes them on as EXIF.
        exif = image.info.get("exif")
        return read_exif(exif).orientation if isinstance(exif, bytes) else 1
    return None


def _plain(image: Image.Image) -> Image.Image:
    """Convert the picture to a mode with a libvips layout."""
    if image.mode == "I" and image.format == "PPM":
        # 16-bit grey, whatever its brightest pixel.
        return image.convert("I;16")
    if image.mode.startswith("I;16"):
        return image.convert("I;16") if image.mode != "I;16" else image
    if image.mode in {"L", "LA", "RGB", "RGBA", "CMYK", "I", "F"} and "transparency" not in image.info:
        return image
    if image.mode == "1":
        return image.convert("L")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")
