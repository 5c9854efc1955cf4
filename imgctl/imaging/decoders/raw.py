"""Camera raws by LibRaw: the preview that the camera made where it is large enough, else the sensor's pixels.

Whether a raw is complete follows from the lengths in its directories and boxes.
"""

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING

from imgctl.imaging.decoders.decode import Decoded, Limits, check_memory, check_pixels
from imgctl.imaging.decoders.previews import SWAPPED, Developed, Preview, Way, found_previews, of_preview, same_shape
from imgctl.imaging.formats import Format
from imgctl.imaging.metadata.exif import Exif
from imgctl.imaging.metadata.jpeg import read_jpeg
from imgctl.imaging.metadata.tiff import SUB_IMAGES, Directories, Entries, directories
from imgctl.imaging.probe import read_header
from imgctl.imaging.source import Data, in_memory
from imgctl.imaging.vips import pyvips
from imgctl.units import count_of

# One thread each: workers run one process per core. Both are read once, when the libraries are loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

if TYPE_CHECKING:
    import rawpy

# EXIF's orientation by LibRaw's flip: its bits are mirrored columns, mirrored rows, swapped edges.
_ORIENTATION = (1, 2, 4, 3, 5, 8, 6, 7)
# sRGB's power and the slope of its straight part (IEC 61966-2-1).
_GAMMA = (2.4, 12.92)
# Peak bytes per sensor pixel, measured with VmData; a test checks that they suffice.
HALF_BYTES, FULL_BYTES = 12, 26
_SENSOR_BANDS = 3
_STDERR = 2
_PLACES = ((273, 279), (324, 325), (513, 514))
"""The tags of the offsets and byte counts of pixels: strips, tiles, a JPEG of TIFF 6.0."""
_MOST_DIRECTORIES = 16
_RAF, _RAF_PARTS = b"FUJIFILMCCD-RAW", (84, 92, 100)
_LAYOUT = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}


class RawUnreadable(Exception):
    """LibRaw cannot read the file; the message is LibRaw's."""


def is_raw(data: Data) -> bool:
    """Whether LibRaw recognises a camera raw. As expensive as decoding, so for child processes only."""
    try:
        with closing(_opened(data)):
            return True
    except RawUnreadable:
        return False


def raw_decodes(data: Data, kind: Format, edge: int, limits: Limits) -> Iterator[Way]:
    """Yield the ways to decode, in order: a preview as large as the largest variant, the sensor, any complete preview.

    For a truncated file the preview comes first: it is better than the remaining part of the sensor's pixels.
    """
    exif = read_header(in_memory(data), kind).exif
    try:
        raw = _opened(data)
    except RawUnreadable as error:
        yield False, _failing(error)
        yield from found_previews(data, exif, edge, limits)
        return
    with closing(raw):
        missing = missing_bytes(data)
        damage = f"the file is cut off: it lacks {count_of(missing, 'byte')}" if missing else None
        size = _developed(raw, kind, exif)
        preview = _preview(raw)

        def shown(one: Preview) -> Callable[[], Decoded]:
            return lambda: _marked(of_preview(one, exif, size, edge, limits), damage)

        large = preview is not None and preview.edge >= min(edge, size.edge) and same_shape(preview, size)
        if preview and (large or missing):
            yield False, shown(preview)
        yield False, lambda: _marked(_of_sensor(raw, data, exif, size, edge, limits), damage)
        if preview and not (large or missing):
            yield True, shown(preview)
        yield from found_previews(data, exif, edge, limits, size=size)


def _failing(error: Exception) -> Callable[[], Decoded]:
    def fail() -> Decoded:
        raise error

    return fail


def _marked(decoded: Decoded, damage: str | None) -> Decoded:
    return replace(decoded, damage=damage) if damage else decoded


@contextmanager
def _in_words() -> Iterator[None]:
    """Convert LibRaw's errors to RawUnreadable, and suppress its output on stderr."""
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
        reason = error.args[0] if error.args else b""
        raise RawUnreadable(reason.decode("latin-1") if isinstance(reason, bytes) else str(error)) from error
    finally:
        os.dup2(shown, _STDERR)
        os.close(shown)
        os.close(nothing)


def _opened(data: Data) -> "rawpy.RawPy":
    import rawpy

    raw = rawpy.RawPy()
    try:
        with _in_words():
            # rawpy reads a mapped file completely into memory.
            raw.open_buffer(BytesIO(bytes(data)))
    except BaseException:
        raw.close()
        raise
    return raw


def _developed(raw: "rawpy.RawPy", kind: Format, exif: Exif) -> Developed:
    sizes = raw.sizes
    flip = sizes.flip & 7
    # LibRaw ignores a Minolta's orientation.
    left = exif.orientation if kind is Format.MRW and not flip else 1
    orientation = max(left, _ORIENTATION[flip])
    # Non-square pixels are stretched: narrow ones in width, others in height.
    width = round(sizes.width * max(1.0, sizes.pixel_aspect))
    height = round(sizes.height / min(1.0, sizes.pixel_aspect or 1.0))
    if orientation >= SWAPPED:
        width, height = height, width
    return Developed(width=max(1, width), height=max(1, height), orientation=orientation, left=left)


def _preview(raw: "rawpy.RawPy") -> Preview | None:
    """Return the largest preview that LibRaw can extract, or None."""
    import rawpy

    try:
        with _in_words():
            found = raw.extract_thumb()
    except (RawUnreadable, rawpy.NotSupportedError, MemoryError):
        return None
    if isinstance(found.data, bytes):
        size = read_jpeg(in_memory(found.data)).size
        return Preview(jpeg=found.data, image=None, width=size[0], height=size[1]) if size and all(size) else None
    height, width, *bands = found.data.shape
    if bands != [_SENSOR_BANDS] or not (width and height):
        return None
    image = pyvips.Image.new_from_memory(found.data.tobytes(), width, height, _SENSOR_BANDS, "uchar")
    return Preview(jpeg=b"", image=image.copy(interpretation="srgb"), width=width, height=height)


def _of_sensor(raw: "rawpy.RawPy", data: Data, exif: Exif, size: Developed, edge: int, limits: Limits) -> Decoded:
    """Decode the sensor's pixels: the camera's white balance, sRGB, upright; half the size if that is enough.

    White is the sensor's saturation level, or its brightest pixel if that is at most a quarter darker (LibRaw's remedy
    for pink lights); there is no other brightening, so that a series looks consistent. Raises RawUnreadable.
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
            # LibRaw never halves sensors with three colours a pixel.
            check_memory(pixels * FULL_BYTES + copied, limits.memory_bytes)
        developed = raw.postprocess(
            # Pictures needed at full size are small; PPG costs much less than AHD, LibRaw's default.
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
        orientation=size.left,
        width=width,
        height=height,
        seen=(size.width, size.height),
        exif=exif,
    )


def missing_bytes(data: Data) -> int:
    """Return how many bytes the file lacks at least; 0 if it is complete, or of a format without lengths."""
    return max(0, _end(data) - len(data))


def _end(data: Data) -> int:
    if data[:15] == _RAF:
        parts = (struct.unpack_from(">2I", data, at) for at in _RAF_PARTS if at + 8 <= len(data))
        return max((at + size for at, size in parts), default=0)
    if data[4:8] == b"ftyp":
        return _boxes_end(data)
    found = directories(data)
    return _directories_end(found) if found else 0


def _boxes_end(data: Data) -> int:
    at = 0
    while 0 <= at <= len(data) - 8:
        size = int.from_bytes(data[at : at + 4])
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16])
        if size < 8:
            break
        at += size
    return at


def _directories_end(found: Directories) -> int:
    waiting, seen, end = [found.first], set[int](), 0
    while waiting and len(seen) < _MOST_DIRECTORIES:
        place = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        entries = found.at(place)
        waiting += found.numbers(entries.get(SUB_IMAGES))
        for places, sizes in _PLACES:
            end = max(end, _pieces_end(found, entries, places, sizes))
    return end


def _pieces_end(found: Directories, entries: Entries, places: int, sizes: int) -> int:
    starts, lengths = (_all(found, entries, tag) for tag in (places, sizes))
    return max((found.start + one + size for one, size in zip(starts, lengths, strict=False)), default=0)


def _all(found: Directories, entries: Entries, tag: int) -> tuple[int, ...]:
    """Return every number of a field, where `Directories.numbers` would return only a few."""
    field = entries.get(tag)
    layout = _LAYOUT.get(field[1]) if field else None
    if field is None or layout is None:
        return ()
    value = found.value(field)
    size = struct.calcsize(layout)
    # A list truncated by the file's end ends with part of a number.
    count = len(value) // size
    return struct.unpack(f"{found.order}{count}{layout}", value[: count * size])
