"""Decoding bytes to pixels: by libvips, or by Pillow if libvips cannot, within the memory limit."""

from dataclasses import dataclass

from imgctl.errors import ImageRejected
from imgctl.imaging.colour.code_points import CodePoints, code_points, is_grey_avif, means_srgb
from imgctl.imaging.colour.srgb import PROFILE, colour_bands, without_profile
from imgctl.imaging.decoders import pillow
from imgctl.imaging.decoders.bands import alpha_is_named, is_misread, load_tiff, only_alpha
from imgctl.imaging.decoders.pillow import Pixels
from imgctl.imaging.decoders.pnm import is_pam_or_pfm, load_pnm
from imgctl.imaging.decoders.psd import load_psd
from imgctl.imaging.formats import Format
from imgctl.imaging.metadata.exif import Exif
from imgctl.imaging.probe import read_header
from imgctl.imaging.source import Data, in_memory
from imgctl.imaging.vips import load, pyvips
from imgctl.units import format_bytes

RESERVED_BYTES = 256 * 2**20
"""The other memory of a rendering process: interpreter, libraries, other originals, variants."""

_LOADERS = {
    Format.JPEG: "jpegload_source",
    Format.PNG: "pngload_source",
    Format.GIF: "gifload_source",
    Format.WEBP: "webpload_source",
    Format.TIFF: "tiffload_source",
    Format.AVIF: "heifload_source",
}
# Pillow opens many other files as one of these.
_WEAK = frozenset((Format.MPO, Format.TGA, Format.PCX, Format.ICO, Format.SGI, Format.PNM))
_BY_BANDS = {Format.TIFF: load_tiff, Format.PSD: load_psd, Format.PSB: load_psd, Format.PNM: load_pnm}
_BANDS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4, "I;16": 1, "I": 1, "F": 1}
_SAMPLE = {"I;16": "ushort", "I": "int", "F": "float"}
# Peak bytes per pixel, measured with VmData; formats not listed stream. A test checks that they suffice.
_LIBVIPS = {Format.WEBP: 20, Format.AVIF: 17, Format.GIF: 7, Format.PSD: 8, Format.PSB: 8}
_LIBVIPS_INTERLACED = {Format.JPEG: 7, Format.PNG: 9}
_PILLOW = {Format.HEIC: 11, Format.AVIF: 16, Format.WEBP: 16, Format.JPEG2000: 22, Format.TGA: 20}
_PILLOW_OTHERS = 10
_STREAMS = 0
# So that what is dropped is less than a hundredth of an edge.
_STEPS_AN_EDGE = 100
_HALF_FLOATS = "F;16"


class MemoryNeeded(ImageRejected):
    """A decode doesn't fit into memory; another decoder may."""


def libvips_bytes(kind: Format, pixels: int, *, interlaced: bool) -> int:
    """Return the peak bytes of libvips; it holds a progressive JPEG and an interlaced PNG completely."""
    held = _LIBVIPS_INTERLACED if interlaced else _LIBVIPS
    return pixels * held.get(kind, _STREAMS)


def pillow_bytes(kind: Format, pixels: int, *, copied_bytes: int) -> int:
    """Return the peak bytes of Pillow; `copied_bytes` are those of a file that is not yet in memory."""
    return pixels * _PILLOW.get(kind, _PILLOW_OTHERS) + copied_bytes


def check_memory(needed: int, memory_bytes: int) -> None:
    """Raise MemoryNeeded if a decode needs more than a process may use (0: no bound)."""
    if not memory_bytes or not needed or needed + RESERVED_BYTES <= memory_bytes:
        return
    raise MemoryNeeded(
        f"decoding it takes about {format_bytes(needed)} of memory; a rendering process may take"
        f" {format_bytes(memory_bytes)}, {format_bytes(RESERVED_BYTES)} of it for itself",
        hint=f"raise [work] memory to {-(-(needed + RESERVED_BYTES) // 2**30)}GiB",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most pixels of a picture, and the most memory of a decode (0: unbounded), for either decoder."""

    max_pixels: int = 500_000_000
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A picture not yet upright: lazy pixels, the EXIF orientation to apply, its full size as stored.

    `seen` is the size as seen if these pixels are only a preview of a raw: the raw's size.
    """

    image: pyvips.Image
    orientation: int
    width: int
    height: int
    exif: Exif
    points: CodePoints | None = None
    seen: tuple[int, int] | None = None
    damage: str | None = None


def picture_opened_as(data: Data) -> Format | None:
    """Return the first format whose decoder opens the data, or None: decoders may tolerate a damaged signature."""
    by_libvips = (kind for kind in _LOADERS if _opens(data, kind))
    by_pillow = (kind for kind in pillow.PLUGIN if kind not in _WEAK and pillow.size_of(data, kind))
    return next(by_libvips, None) or next(by_pillow, None)


def _opens(data: Data, kind: Format) -> bool:
    try:
        load(_LOADERS[kind], data, {"access": "sequential", "fail_on": "none"})
    except pyvips.Error:
        return False
    return True


def can_libvips(data: Data, kind: Format) -> bool:
    """Whether libvips decodes this correctly.

    Its HEIF loader lacks HEVC and doesn't expand grey of limited range; its TIFF loader misreads some files.
    """
    if kind is Format.TIFF:
        return not is_misread(data)
    if kind is Format.AVIF:
        return not is_grey_avif(data)
    if kind is Format.PNM:
        return is_pam_or_pfm(data)
    return kind in _LOADERS or kind in _BY_BANDS


def with_libvips(data: Data, kind: Format, *, max_edge_px: int, limits: Limits, lenient: bool) -> Decoded:
    """Open lazily, a JPEG already shrunk towards `max_edge_px`; raises pyvips.Error or ImageRejected."""
    options: dict[str, str | int] = {"access": "sequential", "fail_on": _fail_on(kind, lenient=lenient)}
    by_bands = _BY_BANDS.get(kind)
    image = by_bands(data, options) if by_bands else load(_LOADERS[kind], data, options)
    width, height = image.width, image.height
    check_pixels(width, height, limits.max_pixels)
    interlaced = bool(image.get_typeof("interlaced")) and kind in (Format.JPEG, Format.PNG)
    check_memory(libvips_bytes(kind, width * height, interlaced=interlaced), limits.memory_bytes)
    shrink = _jpeg_shrink(width, height, max_edge_px) if kind is Format.JPEG else 1
    if shrink > 1:
        image = load(_LOADERS[kind], data, {**options, "shrink": shrink})
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
    """Decode completely; raises ImageRejected, or any of Pillow's errors."""
    size = pillow.size_of(data, kind)
    if size is not None:
        _check_size(size, data, kind, limits)
    return _of_pixels(pillow.decode(data, kind, lenient=lenient), data, kind)


def with_libjxl(data: Data, *, max_edge_px: int, limits: Limits) -> Decoded:
    """Decode completely, or as the JPEG it was converted from; raises ImageRejected or ValueError."""
    header = read_header(in_memory(data), Format.JXL)
    if header.size is None:
        raise ValueError("bad header")
    _check_size(header.size, data, Format.JXL, limits)
    pixels = _decode_jxl(data)
    if isinstance(pixels, bytes):
        return with_libvips(pixels, Format.JPEG, max_edge_px=max_edge_px, limits=limits, lenient=False)
    return _of_pixels(pixels, data, Format.JXL)


def _decode_jxl(data: Data) -> Pixels | bytes:
    """Return the first frame, upright, or the JPEG that the file losslessly contains. Raises ValueError."""
    # Not by Pillow's plugin: that decodes in as many threads as there are processors, and a lossless JPEG twice.
    from pillow_jxl import Decoder

    try:
        is_jpeg, info, pixels, profile, _ = Decoder(num_threads=0)(bytes(data))
    except RuntimeError as error:
        # The file contains the data to rebuild the JPEG.
        raise ValueError("libjxl: corrupt, cut off, or of a kind that it does not know") from error
    if is_jpeg:
        return bytes(pixels)
    if info.mode == _HALF_FLOATS:
        raise ValueError("unsupported: floats of 16 bits")
    return Pixels(
        mode=info.mode,
        size=(info.width, info.height),
        data=bytearray(pixels),
        icc_profile=bytes(profile or b""),
        orientation=1,
    )


def _of_pixels(pixels: pillow.Pixels, data: Data, kind: Format) -> Decoded:
    width, height = pixels.size
    image = pyvips.Image.new_from_memory(
        pixels.data, width, height, _BANDS[pixels.mode], _SAMPLE.get(pixels.mode, "uchar")
    ).copy(interpretation=_interpretation(pixels.mode))
    if not alpha_is_named(data, kind, image):
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


def _check_size(size: tuple[int, int], data: Data, kind: Format, limits: Limits) -> None:
    width, height = size
    check_pixels(width, height, limits.max_pixels)
    copied = 0 if isinstance(data, bytes) else len(data)
    check_memory(pillow_bytes(kind, width * height, copied_bytes=copied), limits.memory_bytes)


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """Raise ImageRejected for more pixels than the operator allows."""
    if width * height > max_pixels:
        raise ImageRejected(
            f"the picture has {width} × {height} = {width * height / 1e6:,.0f} megapixels,"
            f" more than the limit of {max_pixels / 1e6:,.0f}",
            hint="raise [work] max_pixels",
        )


def _pointed(image: pyvips.Image, data: Data, kind: Format) -> tuple[pyvips.Image, CodePoints | None]:
    """Return the picture in full range, and its code points unless they mean sRGB.

    In a PNG they outrank a profile (PNG, third edition, 4.3), in HEIF and AVIF a profile outranks them.
    """
    points = code_points(data, kind)
    if points is None or (kind is not Format.PNG and image.get_typeof(PROFILE)):
        return image, None
    if kind is Format.PNG:
        image = without_profile(image)
        image = image if points.full_range else _in_full_range(image)
    return image, None if means_srgb(points) else points


def _in_full_range(image: pyvips.Image) -> pyvips.Image:
    """Expand black from 16 to 0, white from 235 to 255, transparency unchanged; decoders do so for luma and chroma."""
    colours = colour_bands(image)
    step = 257 if image.format == "ushort" else 1
    colour = image.extract_band(0, n=colours)
    whole = ((colour - 16 * step) * (255 / 219)).rint().cast(image.format)
    kept = whole if image.bands == colours else whole.bandjoin(image.extract_band(colours, n=image.bands - colours))
    return kept.copy(interpretation=image.interpretation)


def _fail_on(kind: Format, *, lenient: bool) -> str:
    # libjpeg only warns of corrupt data; libtiff warns of every private tag.
    return "none" if lenient else "warning" if kind is Format.JPEG else "error"


def _jpeg_shrink(width: int, height: int, max_edge_px: int) -> int:
    """Return how much the JPEG decoder may shrink; a factor of two is left to the finer filter.

    libvips drops the rows and columns that fill no whole step: of a strip of 20 rows by 8 the last four.
    """
    most = min(max(width, height) / (2 * max_edge_px), min(width, height) / _STEPS_AN_EDGE)
    return next((shrink for shrink in (8, 4, 2) if most >= shrink), 1)


def _interpretation(mode: str) -> str:
    return {"CMYK": "cmyk", "L": "b-w", "LA": "b-w", "I;16": "grey16", "I": "b-w", "F": "b-w"}.get(mode, "srgb")
