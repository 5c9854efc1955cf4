"""The previews in a camera raw: the camera's JPEGs, turned by the raw's orientation, or found by search if damaged."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from imgctl.imaging.decoders.decode import Decoded, Limits, check_pixels, with_libvips
from imgctl.imaging.formats import Format
from imgctl.imaging.metadata.exif import Exif
from imgctl.imaging.metadata.jpeg import read_jpeg
from imgctl.imaging.source import Data, in_memory
from imgctl.imaging.vips import pyvips

Way = tuple[bool, Callable[[], Decoded]]
"""Whether the decoder ignores damage, and the decode, which raises any error of its library."""

SWAPPED = 5
"""From this EXIF orientation on, width and height are swapped."""
_SAME_SHAPE = 0.03
_JPEG = b"\xff\xd8\xff"
_MOST_TRIED = 64
_MOST_FOUND = 3
_HEADER_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Developed:
    """LibRaw's developed picture: its size as seen, its stored orientation, and the remaining turn."""

    width: int
    height: int
    orientation: int
    left: int

    @property
    def edge(self) -> int:
        return max(self.width, self.height)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The camera's JPEG, or pixels; with the stored size."""

    jpeg: bytes
    image: pyvips.Image | None
    width: int
    height: int

    @property
    def edge(self) -> int:
        return max(self.width, self.height)


def same_shape(preview: Preview, size: Developed) -> bool:
    """Whether the preview has the sensor's shape, upright or not; a camera may crop it."""
    seen, whole = (max(one.width, one.height) / min(one.width, one.height) for one in (preview, size))
    return abs(seen / whole - 1) < _SAME_SHAPE


def of_preview(preview: Preview, exif: Exif, size: Developed | None, edge: int, limits: Limits) -> Decoded:
    """Decode a preview, turned by the raw's orientation unless its edges show that the camera already turned it."""
    if preview.image is None:
        decoded = with_libvips(preview.jpeg, Format.JPEG, max_edge_px=edge, limits=limits, lenient=False)
    else:
        check_pixels(preview.width, preview.height, limits.max_pixels)
        decoded = Decoded(image=preview.image, orientation=1, width=preview.width, height=preview.height, exif=exif)
    if size is None:
        return replace(decoded, exif=exif, orientation=max(decoded.orientation, exif.orientation))
    swapped = size.orientation >= SWAPPED
    lies = (size.height >= size.width) if swapped else (size.width >= size.height)
    turned_already = swapped and (preview.width >= preview.height) is not lies
    whole = (size.width, size.height) if same_shape(preview, size) else None
    return replace(decoded, orientation=1 if turned_already else size.orientation, seen=whole, exif=exif)


def found_previews(
    data: Data, exif: Exif, edge: int, limits: Limits, *, size: Developed | None = None
) -> Iterator[Way]:
    """Yield the largest JPEGs in a file whose directories are damaged."""

    def shown(at: int, width: int, height: int) -> Callable[[], Decoded]:
        def decode() -> Decoded:
            preview = Preview(jpeg=bytes(data[at:]), image=None, width=width, height=height)
            return of_preview(preview, exif, size, edge, limits)

        return decode

    for area, at, width in _jpegs_in(data):
        yield True, shown(at, width, area // width)


def _jpegs_in(data: Data) -> list[tuple[int, int, int]]:
    """Return area, position and width of the largest few JPEGs."""
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
