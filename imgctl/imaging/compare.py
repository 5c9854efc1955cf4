"""Whether two files show the same picture: both rendered once more, small, and their pixels compared."""

from imgctl.errors import ImageRejected
from imgctl.imaging.decoders.decode import Limits
from imgctl.imaging.render import NO_LIMITS, render
from imgctl.imaging.source import Data, Source
from imgctl.imaging.vips import pyvips
from imgctl.model import Recipe, Variant, VariantSpec

EDGE_PX = 64
"""The edge of both in a comparison: small enough to hide effects of encoders, scalers and sharpening."""

THRESHOLD = 7.0
"""Mean difference of 255 beyond which two files show different pictures.

Measured on 38 sample photos of all formats against their variants as JPEG, WebP and AVIF of the default recipe: the same
picture differs by 0.6 in the median of 266 pairs and 4.5 at most (a dithered GIF of a few pixels); mirrored, turned, blank
and foreign ones by 7.8 at least and mostly by 30 and more, unless a picture is flat or both are alike (the frames of a
series): then no viewer sees a difference either.
"""


def small(data: Data | Source, *, background: str, limits: Limits = NO_LIMITS) -> pyvips.Image:
    """Return a picture upright, in sRGB, on the background, at most `EDGE_PX` large; raises the errors of `render`."""
    spec = VariantSpec(variant=Variant.THUMB, max_edge_px=EDGE_PX, quality=100)
    (one,) = render(data, Recipe(variants=(spec,), background=background), limits=limits).variants
    image = pyvips.Image.new_from_buffer(one.data, "")
    # Halve once more, even a tiny picture: encoders keep colour at half the size.
    return image.resize(0.5, kernel="linear") if min(image.width, image.height) > 1 else image


def difference(original: pyvips.Image, variant: pyvips.Image) -> float:
    """Return the mean pixel difference of two small pictures, 0 to 255; 255 if their shapes differ beyond rounding."""
    if abs(original.width - variant.width) > 1 or abs(original.height - variant.height) > 1:
        return 255.0
    try:
        same = variant.resize(original.width / variant.width, vscale=original.height / variant.height)
        return float((original - same.crop(0, 0, original.width, original.height)).abs().avg())
    except pyvips.Error as error:
        raise ImageRejected(f"the pictures cannot be compared: {error}") from error
