"""Bytes to pixels: libvips first, Pillow where libvips cannot, and what each says when it fails."""

from dataclasses import dataclass

from imgctl.errors import ImageRejected
from imgctl.imaging import pillow
from imgctl.imaging.code_points import CodePoints, code_points, is_grey_avif, says_srgb
from imgctl.imaging.colour import PROFILE, colour_bands, has_alpha, without_profile
from imgctl.imaging.exif import Exif
from imgctl.imaging.extra import only_alpha, psd_has_transparency
from imgctl.imaging.formats import Format
from imgctl.imaging.memory import check_memory, libvips_bytes, pillow_bytes
from imgctl.imaging.metadata.header import read_header
from imgctl.imaging.metadata.source import in_memory
from imgctl.imaging.source import Data
from imgctl.imaging.tiff import (
    ALPHA,
    ASSOCIATED,
    COMPRESSION,
    JPEG_COMPRESSION,
    PHOTOMETRIC,
    WHITE_IS_ZERO,
    YCBCR,
    first_directory,
    is_grey_apart,
    is_oddly_associated,
    taken_plainly,
)
from imgctl.imaging.vips import pyvips

LOADERS = {
    Format.JPEG: "jpegload_source",
    Format.PNG: "pngload_source",
    Format.GIF: "gifload_source",
    Format.WEBP: "webpload_source",
    Format.TIFF: "tiffload_source",
    Format.AVIF: "heifload_source",
}
_OPAQUE_BANDS = 3
_WHOLE = {"uchar": 255, "ushort": 65535}
_BANDS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4, "I;16": 1, "I": 1, "F": 1}
_SAMPLE = {"I;16": "ushort", "I": "int", "F": "float"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a picture may have, and a decode take, by whichever decoder; `memory_bytes` 0 is no bound."""

    max_pixels: int = 500_000_000
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A picture not yet upright: lazy pixels, the EXIF orientation still to apply, its full size as stored."""

    image: pyvips.Image
    orientation: int
    width: int
    height: int
    exif: Exif
    points: CodePoints | None = None


def opens(data: Data, kind: Format) -> bool:
    """Whether libvips' loader of this format, asked by name, finds a header it can read."""
    try:
        _load(data, kind, {"access": "sequential", "fail_on": "none"})
    except pyvips.Error:
        return False
    return True


def can_libvips(data: Data, kind: Format) -> bool:
    """Whether libvips decodes this rightly.

    Its HEIF loader knows no HEVC and takes grey of limited range as it is, its TIFF loader no bare YCbCr.
    """
    if kind is Format.TIFF:
        found = first_directory(data)
        return found.number(PHOTOMETRIC) != YCBCR or found.number(COMPRESSION) == JPEG_COMPRESSION
    if kind is Format.AVIF:
        return not is_grey_avif(data)
    return kind in LOADERS


def with_libvips(data: Data, kind: Format, *, max_edge_px: int, limits: Limits, lenient: bool) -> Decoded:
    """Open lazily, a JPEG already shrunk towards `max_edge_px`; raises pyvips.Error or ImageRejected."""
    options: dict[str, str | int] = {"access": "sequential", "fail_on": _fail_on(kind, lenient=lenient)}
    image = _load_tiff(data, options) if kind is Format.TIFF else _load(data, kind, options)
    width, height = image.width, image.height
    _check_pixels(width, height, limits.max_pixels)
    interlaced = bool(image.get_typeof("interlaced")) and kind in (Format.JPEG, Format.PNG)
    check_memory(libvips_bytes(kind, width * height, interlaced=interlaced), limits.memory_bytes)
    shrink = _jpeg_shrink(max(width, height) / max_edge_px) if kind is Format.JPEG else 1
    if shrink > 1:
        image = _load(data, kind, {**options, "shrink": shrink})
    image, points = _pointed(image, data, kind)
    header = read_header(in_memory(data), kind)
    return Decoded(
        image=image,
        orientation=header.orientation,
        width=width,
        height=height,
        exif=header.exif,
        points=points,
    )


def with_pillow(data: Data, kind: Format, *, limits: Limits, lenient: bool) -> Decoded:
    """Decode whole; raises ImageRejected, or whatever Pillow raises."""
    size = pillow.size_of(data, kind)
    if size is not None:
        width, height = size
        _check_pixels(width, height, limits.max_pixels)
        copied = 0 if isinstance(data, bytes) else len(data)
        check_memory(pillow_bytes(kind, width * height, copied_bytes=copied), limits.memory_bytes)
    pixels = pillow.decode(data, kind, lenient=lenient)
    width, height = pixels.size
    image = pyvips.Image.new_from_memory(
        pixels.data, width, height, _BANDS[pixels.mode], _SAMPLE.get(pixels.mode, "uchar")
    ).copy(interpretation=_interpretation(pixels.mode))
    if not _alpha_is_named(data, kind, image):
        image = only_alpha(image, ())
    if pixels.icc_profile:
        image.set_type(pyvips.GValue.blob_type, PROFILE, pixels.icc_profile)
    image, points = _pointed(image, data, kind)
    header = read_header(in_memory(data), kind)
    return Decoded(
        image=image,
        orientation=header.orientation if pixels.orientation is None else pixels.orientation,
        width=width,
        height=height,
        exif=header.exif,
        points=points,
    )


def _check_pixels(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise ImageRejected(
            f"the picture has {width} × {height} = {width * height / 1e6:,.0f} megapixels,"
            f" more than the limit of {max_pixels / 1e6:,.0f}",
            hint="raise [work] max_pixels",
        )


def _load(data: Data, kind: Format, options: dict[str, str | int]) -> pyvips.Image:
    # By a source: libvips reads the bytes where they lie, where a buffer would be copied first.
    return getattr(pyvips.Image, LOADERS[kind])(pyvips.Source.new_from_memory(data), **options)


def _load_tiff(data: Data, options: dict[str, str | int]) -> pyvips.Image:
    """Colour and named transparency: libvips takes the first band behind the colour for that, whatever it is."""
    found = first_directory(data)
    apart = is_grey_apart(found)
    if not apart and not is_oddly_associated(found):
        return only_alpha(_load(data, Format.TIFF, options), found.extra)
    # By a buffer, which libvips copies: nothing else holds these bytes once this function has returned.
    image = pyvips.Image.tiffload_buffer(taken_plainly(data, found), **options)
    if apart:
        image = image.copy(interpretation="grey16" if image.format == "ushort" else "b-w")
    shown = only_alpha(image, found.extra)
    if apart and found.number(PHOTOMETRIC) == WHITE_IS_ZERO:
        shown = shown[0].invert() if shown.bands == 1 else shown[0].invert().bandjoin(shown[1])
    if ASSOCIATED not in found.extra or not has_alpha(shown):
        return shown
    return shown.unpremultiply(max_alpha=_WHOLE.get(shown.format, 1)).cast(shown.format)


def _alpha_is_named(data: Data, kind: Format, image: pyvips.Image) -> bool:
    """Whether the band that Pillow calls alpha is transparency by the file; most formats know no other."""
    if kind is Format.TIFF:
        return not ALPHA.isdisjoint(first_directory(data).extra)
    if kind is Format.BMP:
        # Writers that know no transparency leave its bytes zero; browsers show such a bitmap too.
        return bool(image.bands == _OPAQUE_BANDS or image[image.bands - 1].max() > 0)
    return psd_has_transparency(data) if kind is Format.PSD else True


def _pointed(image: pyvips.Image, data: Data, kind: Format) -> tuple[pyvips.Image, CodePoints | None]:
    """The picture in full range, and what its pixels mean by code points unless that is sRGB.

    In a PNG they outrank a profile (PNG, third edition, 4.3), in HEIF and AVIF a profile outranks them.
    """
    points = code_points(data, kind)
    if points is None or (kind is not Format.PNG and image.get_typeof(PROFILE)):
        return image, None
    if kind is Format.PNG:
        image = without_profile(image)
        image = image if points.full_range else _in_full_range(image)
    return image, None if says_srgb(points) else points


def _in_full_range(image: pyvips.Image) -> pyvips.Image:
    """Black from 16 to 0 and white from 235 to 255, transparency as it is; decoders do it for luma and chroma."""
    colours = colour_bands(image)
    step = 257 if image.format == "ushort" else 1
    colour = image.extract_band(0, n=colours)
    whole = ((colour - 16 * step) * (255 / 219)).rint().cast(image.format)
    kept = whole if image.bands == colours else whole.bandjoin(image.extract_band(colours, n=image.bands - colours))
    return kept.copy(interpretation=image.interpretation)


def _fail_on(kind: Format, *, lenient: bool) -> str:
    # libjpeg only warns of corrupt data; libtiff warns of every private tag.
    return "none" if lenient else "warning" if kind is Format.JPEG else "error"


def _jpeg_shrink(factor: float) -> int:
    """How much the JPEG decoder may shrink: it leaves a factor of two for the finer filter."""
    return next((shrink for shrink in (8, 4, 2) if factor >= 2 * shrink), 1)


def _interpretation(mode: str) -> str:
    return {"CMYK": "cmyk", "L": "b-w", "LA": "b-w", "I;16": "grey16", "I": "b-w", "F": "b-w"}.get(mode, "srgb")
