"""The last look at what was rendered: variants of one flat colour are believed only of a picture that is flat."""

from collections.abc import Callable, Iterable
from itertools import islice

from imgctl.errors import ImgctlError
from imgctl.imaging.colour import in_range
from imgctl.imaging.decode import Decoded
from imgctl.imaging.raster import Raster
from imgctl.imaging.vips import pyvips

_LOOK_EDGE_PX = 256
# In steps of 8 bits: less is what encoders and profiles level out.
VISIBLE_STEPS = 4
_WHOLE = {"uchar": 255, "ushort": 65535}


def is_flat(raster: Raster) -> bool:
    """Whether every pixel has the colour of the first one; stops at the first that differs."""
    pixels = memoryview(raster.data)
    return pixels[3:] == pixels[:-3]


def look_edge(raster: Raster) -> int:
    """How large to look at the original: so small that a difference must show in what was rendered too."""
    return min(_LOOK_EDGE_PX, max(1, max(raster.width, raster.height) // 2))


def is_hidden(decodes: Iterable[Callable[[], Decoded]], edge: int) -> bool:
    """Whether any of these ways to decode finds colour or transparency that varies; a failure finds nothing."""
    return any(_varies(decode, edge) for decode in decodes)


def _varies(decode: Callable[[], Decoded], edge: int) -> bool:
    try:
        image = decode().image
        image = in_range(image.resize(min(1.0, edge / max(image.width, image.height)), kernel="linear"))
        whole = _WHOLE.get(image.format, 1.0)
        # A row for each band behind the one for all: its first two columns are the least and the greatest value.
        rows = islice(_rows(image.stats()), 1, None)
        return any(high - low > whole * VISIBLE_STEPS / 255 for low, high in rows)
    except (pyvips.Error, ImgctlError, MemoryError, OSError, ValueError, SyntaxError):
        return False


def _rows(stats: pyvips.Image) -> Iterable[tuple[float, float]]:
    for row in range(stats.height):
        yield stats(0, row)[0], stats(1, row)[0]
