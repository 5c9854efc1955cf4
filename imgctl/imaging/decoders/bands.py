"""The visible bands of a picture: colour, and transparency if the file declares a band as such."""

import struct

from imgctl.imaging.colour.srgb import colour_bands, has_alpha
from imgctl.imaging.decoders.psd import has_transparency
from imgctl.imaging.formats import Format
from imgctl.imaging.metadata.tiff import (
    BITS,
    COMPRESSION,
    EXTRA_SAMPLES,
    PHOTOMETRIC,
    PLANAR,
    SAMPLES,
    Directories,
    Entries,
    directories,
)
from imgctl.imaging.source import Data
from imgctl.imaging.vips import load, pyvips

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _YCBCR = 0, 1, 2, 6
_JPEG = 7
# PlanarConfiguration: each band in a separate plane.
_APART = 2
_WHOLE_BYTE = 8
# ExtraSamples of transparency; 0 is any other data, such as Photoshop's saved selections.
_ASSOCIATED, _UNASSOCIATED = 1, 2
_ALPHA = frozenset((_ASSOCIATED, _UNASSOCIATED))
_OPAQUE_BANDS = 3
WHOLE = {"uchar": 255, "ushort": 65535}
"""The value of white by sample format."""


def is_misread(data: Data) -> bool:
    """Whether libvips misreads a TIFF: luma and chroma without JPEG as colours, or bits in separate planes as bytes."""
    found, first = _first_directory(data)
    if found is None:
        return False
    photometric, packing, planar = (found.number(first.get(tag)) for tag in (PHOTOMETRIC, COMPRESSION, PLANAR))
    bits_apart = planar == _APART and found.number(first.get(BITS), 1) < _WHOLE_BYTE
    return bits_apart or (photometric == _YCBCR and packing != _JPEG)


def load_tiff(data: Data, options: dict[str, str | int]) -> pyvips.Image:
    """Open colour and declared transparency: libvips alone treats the first band after the colour as transparency."""
    found, first = _first_directory(data)
    extra = found.numbers(first.get(EXTRA_SAMPLES)) if found else ()
    photometric = found.number(first.get(PHOTOMETRIC), _RGB) if found else _RGB
    # libvips 8.18 reads the rows of grey in the wrong order if it lies in a separate plane beside others, and wrongly
    # divides colours that are premultiplied by alpha, except in RGBA.
    grey_apart = found is not None and _is_grey_apart(found, first, photometric)
    oddly_associated = _ASSOCIATED in extra and (photometric != _RGB or len(extra) > 1)
    if found is None or not (grey_apart or oddly_associated):
        return only_alpha(load("tiffload_source", data, options), extra)
    image = load("tiffload_source", _taken_plainly(data, found, first, grey_apart=grey_apart), options)
    if grey_apart:
        image = image.copy(interpretation="grey16" if image.format == "ushort" else "b-w")
    shown = only_alpha(image, extra)
    if grey_apart and photometric == _WHITE_IS_ZERO:
        shown = shown[0].invert() if shown.bands == 1 else shown[0].invert().bandjoin(shown[1])
    if _ASSOCIATED not in extra or not has_alpha(shown):
        return shown
    return shown.unpremultiply(max_alpha=WHOLE.get(shown.format, 1)).cast(shown.format)


def only_alpha(image: pyvips.Image, extra: tuple[int, ...]) -> pyvips.Image:
    """Keep colour and the first extra band that `extra` (TIFF's ExtraSamples) declares transparency; drop others."""
    colours = colour_bands(image)
    first = image.bands - len(extra)
    alpha = next((first + at for at, what in enumerate(extra) if what in _ALPHA and first + at >= colours), None)
    if image.bands == colours or (alpha == colours and image.bands == colours + 1):
        return image
    colour = image.extract_band(0, n=colours)
    return colour if alpha is None else colour.bandjoin(image[alpha])


def alpha_is_named(data: Data, kind: Format, image: pyvips.Image) -> bool:
    """Whether the file declares Pillow's alpha band as transparency; most formats have no other extra band."""
    if kind is Format.TIFF:
        found, first = _first_directory(data)
        return found is not None and not _ALPHA.isdisjoint(found.numbers(first.get(EXTRA_SAMPLES)))
    if kind is Format.BMP:
        # Writers without transparency leave its bytes zero; browsers also show such a bitmap.
        return bool(image.bands == _OPAQUE_BANDS or image[image.bands - 1].max() > 0)
    if kind is Format.TGA:
        # The descriptor counts the bits of transparency; some files that declare 8 leave them zero.
        return bool(data[17] & 0x0F and image[image.bands - 1].max() > 0)
    return has_transparency(data) if kind is Format.PSD else True


def _first_directory(data: Data) -> tuple[Directories | None, Entries]:
    found = directories(data)
    return found, found.at(found.first) if found else {}


def _is_grey_apart(found: Directories, first: Entries, photometric: int) -> bool:
    bits, samples, planar = (found.number(first.get(tag)) for tag in (BITS, SAMPLES, PLANAR))
    return photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO) and planar == _APART and samples > 1 and bits > 1


def _taken_plainly(data: Data, found: Directories, first: Entries, *, grey_apart: bool) -> bytes:
    """Return the file with fields changed so that libvips returns its bands unchanged."""
    changed = bytearray(data)
    if grey_apart:
        struct.pack_into(f"{found.order}H", changed, found.place(first[PHOTOMETRIC]), _RGB)
    extra = first.get(EXTRA_SAMPLES)
    for at, what in enumerate(found.numbers(extra)):
        if extra is not None and what == _ASSOCIATED:
            struct.pack_into(f"{found.order}H", changed, found.place(extra) + 2 * at, _UNASSOCIATED)
    return bytes(changed)
