"""Camera raws by LibRaw: the preview that the camera made where it is large enough, else the sensor's pixels."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING

from imgctl.imaging.decoders.decode import Decoded, Limits, check_memory, check_pixels, with_libvips
from imgctl.imaging.decoders.whole import missing_bytes
from imgctl.imaging.formats import Format
from imgctl.imaging.metadata.exif import Exif
from imgctl.imaging.metadata.jpeg import read_jpeg
from imgctl.imaging.probe import read_header
from imgctl.imaging.source import Data, in_memory
from imgctl.imaging.vips import pyvips
from imgctl.units import count_of

# One thread each: the worker has a process for every processor. Both are read once, when the libraries are loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

if TYPE_CHECKING:
    import rawpy

Way = tuple[bool, Callable[[], Decoded]]
"""Whether it overlooks damage, and the decode; that raises whatever its library raises."""

# EXIF's orientation by LibRaw's flip: its bits are mirrored columns, mirrored rows, edges exchanged.
_ORIENTATION = (1, 2, 4, 3, 5, 8, 6, 7)
_SWAPPED = 4
# sRGB's power and the slope of its straight part (IEC 61966-2-1).
_GAMMA = (2.4, 12.92)
# Bytes a pixel of the sensor at the peak, measured with VmData; a test holds them to be enough.
HALF_BYTES, FULL_BYTES = 12, 26
_SAME_SHAPE = 0.03
_SENSOR_BANDS = 3
_STDERR = 2
_JPEG = b"\xff\xd8\xff"
_MOST_TRIED = 64
_MOST_FOUND = 3
_HEADER_BYTES = 2**20


class RawUnreadable(Exception):
    """What LibRaw says of a file that it cannot read, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Developed:
    """The picture that LibRaw would develop: its size as seen, and the orientation it is stored in."""

    width: int
    height: int
    orientation: int

    @property
    def edge(self) -> int:
        return max(self.width, self.height)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Preview:
    """A JPEG as the camera wrote it, or pixels; its size as it is stored."""

    jpeg: bytes
    image: pyvips.Image | None
    width: int
    height: int

    @property
    def edge(self) -> int:
        return max(self.width, self.height)


def is_raw(data: Data) -> bool:
    """Whether LibRaw knows it as a camera's raw. Takes what decoders take, so for child processes only."""
    try:
        with closing(_opened(data)):
            return True
    except RawUnreadable:
        return False


def raw_decodes(data: Data, kind: Format, edge: int, limits: Limits) -> Iterator[Way]:
    """The preview where it is as large as the largest variant, else the sensor's pixels, else any preview that is whole.

    Of a file that is cut off its preview comes first: then it is worth more than the part of the sensor that is left.
    """
    exif = read_header(in_memory(data), kind).exif
    try:
        raw = _opened(data)
    except RawUnreadable as error:
        yield False, _failing(error)
        yield from _found_previews(data, exif, edge, limits)
        return
    with closing(raw):
        missing = missing_bytes(data)
        damage = f"the file is cut off: it lacks {count_of(missing, 'byte')}" if missing else None
        size = _developed(raw)
        preview = _preview(raw)

        def shown(one: _Preview) -> Callable[[], Decoded]:
            return lambda: _marked(_of_preview(one, exif, size, edge, limits), damage)

        large = preview is not None and preview.edge >= min(edge, size.edge) and _same_shape(preview, size)
        if preview and (large or missing):
            yield False, shown(preview)
        yield False, lambda: _marked(_of_sensor(raw, data, exif, size, edge, limits), damage)
        if preview and not (large or missing):
            yield True, shown(preview)
        yield from _found_previews(data, exif, edge, limits, size=size)


def _failing(error: Exception) -> Callable[[], Decoded]:
    def fail() -> Decoded:
        raise error

    return fail


def _marked(decoded: Decoded, damage: str | None) -> Decoded:
    return replace(decoded, damage=damage) if damage else decoded


@contextmanager
def _in_words() -> Iterator[None]:
    """LibRaw's errors as RawUnreadable; what it writes to the standard error output is left out."""
    import rawpy

    shown = os.dup(_STDERR)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, _STDERR)
    try:
        yield
    except rawpy.LibRawUnsufficientMemoryError as error:
        raise RawUnreadable("out of memory") from error
    except rawpy.LibRawIOError as error:
        raise RawUnreadable("unexpected end of file") from error
    except rawpy.LibRawError as error:
        said = error.args[0] if error.args else b""
        raise RawUnreadable(said.decode("latin-1") if isinstance(said, bytes) else str(error)) from error
    finally:
        os.dup2(shown, _STDERR)
        os.close(shown)
        os.close(nothing)


def _opened(data: Data) -> "rawpy.RawPy":
    import rawpy

    raw = rawpy.RawPy()
    try:
        with _in_words():
            # rawpy reads the whole file into memory where it is mapped.
            raw.open_buffer(BytesIO(bytes(data)))
    except BaseException:
        raw.close()
        raise
    return raw


def _developed(raw: "rawpy.RawPy") -> _Developed:
    sizes = raw.sizes
    # Pixels that are not square are stretched: narrow ones in their width, others in their height.
    width = round(sizes.width * max(1.0, sizes.pixel_aspect))
    height = round(sizes.height / min(1.0, sizes.pixel_aspect or 1.0))
    flip = sizes.flip & 7
    if flip & _SWAPPED:
        width, height = height, width
    return _Developed(width=max(1, width), height=max(1, height), orientation=_ORIENTATION[flip])


def _preview(raw: "rawpy.RawPy") -> _Preview | None:
    """The largest that LibRaw finds, None where there is none that it can take out."""
    import rawpy

    try:
        with _in_words():
            found = raw.extract_thumb()
    except (RawUnreadable, rawpy.NotSupportedError, MemoryError):
        return None
    if isinstance(found.data, bytes):
        size = read_jpeg(in_memory(found.data)).size
        return _Preview(jpeg=found.data, image=None, width=size[0], height=size[1]) if size and all(size) else None
    height, width, *bands = found.data.shape
    if bands != [_SENSOR_BANDS] or not (width and height):
        return None
    image = pyvips.Image.new_from_memory(found.data.tobytes(), width, height, _SENSOR_BANDS, "uchar")
    return _Preview(jpeg=b"", image=image.copy(interpretation="srgb"), width=width, height=height)


def _same_shape(preview: _Preview, size: _Developed) -> bool:
    """Whether the preview shows what the sensor saw, upright or not; a camera may cut it to another shape."""
    seen, whole = (max(one.width, one.height) / min(one.width, one.height) for one in (preview, size))
    return abs(seen / whole - 1) < _SAME_SHAPE


def _of_preview(preview: _Preview, exif: Exif, size: _Developed | None, edge: int, limits: Limits) -> Decoded:
    """A preview turned as the raw says, unless its edges say that the camera has turned it already."""
    if preview.image is None:
        decoded = with_libvips(preview.jpeg, Format.JPEG, max_edge_px=edge, limits=limits, lenient=False)
    else:
        check_pixels(preview.width, preview.height, limits.max_pixels)
        decoded = Decoded(image=preview.image, orientation=1, width=preview.width, height=preview.height, exif=exif)
    if size is None:
        return replace(decoded, exif=exif)
    swapped = size.orientation >= _ORIENTATION[_SWAPPED]
    lies = (size.height >= size.width) if swapped else (size.width >= size.height)
    turned_already = swapped and (preview.width >= preview.height) is not lies
    whole = (size.width, size.height) if _same_shape(preview, size) else None
    return replace(decoded, orientation=1 if turned_already else size.orientation, seen=whole, exif=exif)


def _of_sensor(raw: "rawpy.RawPy", data: Data, exif: Exif, size: _Developed, edge: int, limits: Limits) -> Decoded:
    """The sensor's pixels: white as the camera saw it, sRGB, upright; half the size where that is enough.

    White is what the sensor calls full, or its brightest pixel where that is at most a quarter darker (LibRaw's remedy
    for pink lights); there is no other brightening, so that a series stays one. Raises RawUnreadable.
    """
    import rawpy

    sizes = raw.sizes
    check_pixels(size.width, size.height, limits.max_pixels)
    half = size.edge // 2 >= edge
    copied = 0 if isinstance(data, bytes) else len(data)
    pixels = max(sizes.raw_width * sizes.raw_height, size.width * size.height)
    check_memory(pixels * (HALF_BYTES if half else FULL_BYTES) + copied, limits.memory_bytes)
    with _in_words():
        raw.unpack()
        if half and raw.raw_type is rawpy.RawType.Stack:
            # Three colours a pixel are never halved.
            check_memory(pixels * FULL_BYTES + copied, limits.memory_bytes)
        developed = raw.postprocess(
            # Pictures that are wanted whole are small; PPG costs much less than AHD, the choice of LibRaw.
            demosaic_algorithm=rawpy.DemosaicAlgorithm.PPG,
            half_size=half,
            use_camera_wb=True,
            no_auto_bright=True,
            gamma=_GAMMA,
            output_color=rawpy.ColorSpace.sRGB,
            output_bps=8,
        )
    height, width, bands = developed.shape
    if bands != _SENSOR_BANDS:
        developed = developed[:, :, :1].repeat(_SENSOR_BANDS, axis=2)
    image = pyvips.Image.new_from_memory(developed.tobytes(), width, height, _SENSOR_BANDS, "uchar")
    return Decoded(
        image=image.copy(interpretation="srgb"),
        orientation=1,
        width=width,
        height=height,
        seen=(size.width, size.height),
        exif=exif,
    )


def _found_previews(
    data: Data, exif: Exif, edge: int, limits: Limits, *, size: _Developed | None = None
) -> Iterator[Way]:
    """The largest JPEGs in a file whose lists of parts cannot be followed."""

    def shown(at: int, width: int, height: int) -> Callable[[], Decoded]:
        def decode() -> Decoded:
            preview = _Preview(jpeg=bytes(data[at:]), image=None, width=width, height=height)
            return _of_preview(preview, exif, size, edge, limits)

        return decode

    for area, at, width in _jpegs_in(data):
        yield True, shown(at, width, area // width)


def _jpegs_in(data: Data) -> list[tuple[int, int, int]]:
    """Area, place and width of the largest few."""
    places: list[tuple[int, int, int]] = []
    at = data.find(_JPEG)
    for _ in range(_MOST_TRIED):
        if at < 0:
            break
        size = read_jpeg(in_memory(data[at : at + _HEADER_BYTES])).size
        if size and all(size):
            places.append((size[0] * size[1], at, size[0]))
        at = data.find(_JPEG, at + len(_JPEG))
    return sorted(places, reverse=True)[:_MOST_FOUND]
