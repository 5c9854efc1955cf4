"""Which of a picture's bands show: colour, and transparency where the file says that a band is that."""

import struct

from imgctl.imaging.colour import colour_bands
from imgctl.imaging.source import Data
from imgctl.imaging.tiff import ALPHA
from imgctl.imaging.vips import pyvips


def only_alpha(image: pyvips.Image, extra: tuple[int, ...]) -> pyvips.Image:
    """Colour, and the first of the last bands that `extra` (TIFF's ExtraSamples) calls transparency; no other."""
    colours = colour_bands(image)
    first = image.bands - len(extra)
    alpha = next((first + at for at, what in enumerate(extra) if what in ALPHA and first + at >= colours), None)
    if image.bands == colours or (alpha == colours and image.bands == colours + 1):
        return image
    colour = image.extract_band(0, n=colours)
    return colour if alpha is None else colour.bandjoin(image[alpha])


def psd_has_transparency(data: Data) -> bool:
    """Whether the fourth channel of a Photoshop file is transparency and no saved selection.

    It is where the count of layers is negative (Adobe Photoshop File Formats, "Layer info").
    """
    try:
        at = 26
        for _ in range(2):  # Colour mode data, image resources.
            at += 4 + struct.unpack_from(">I", data, at)[0]
        whole, layers, count = struct.unpack_from(">IIh", data, at)
    except struct.error:
        return False
    return bool(whole and layers and count < 0)
