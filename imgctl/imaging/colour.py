"""From whatever a file holds to 8-bit sRGB on a plain background: profiles, depth, CMYK, grey and alpha."""

from imgctl.imaging.code_points import CodePoints, to_light
from imgctl.imaging.icc import is_made_for, is_srgb
from imgctl.imaging.vips import pyvips

PROFILE = "icc-profile-data"
_SELF_DESCRIBED = {"scrgb", "lab", "labs", "xyz", "yxy", "lch"}
_GREY = {"b-w", "grey16"}


class ProfileUnusable(Exception):
    """The embedded profile cannot be followed: damaged, or of another kind of picture."""


def has_alpha(image: pyvips.Image) -> bool:
    """Whether the bands past the colour hold transparency."""
    return bool(image.bands > colour_bands(image))


def to_srgb(image: pyvips.Image, points: CodePoints | None = None) -> pyvips.Image:
    """Three bands of 8-bit sRGB; alpha is dropped. ProfileUnusable before any pixel is computed.

    `points` say what the pixels mean, where they have no profile.
    """
    if (
        points is None
        and image.bands == 3
        and image.format == "uchar"
        and image.interpretation == "srgb"
        and not image.get_typeof(PROFILE)
    ):
        return image
    colour = image.extract_band(0, n=min(image.bands, colour_bands(image)))
    colour = _interpreted(in_range(colour))
    if colour.get_typeof(PROFILE) and is_srgb(bytes(colour.get(PROFILE))):
        colour.remove(PROFILE)
    colour = to_light(colour, points) if points else _by_profile(colour)
    colour = colour.colourspace("srgb")
    colour = (
        colour.extract_band(0, n=3) if colour.bands >= 3 else colour.extract_band(0).bandjoin([colour[0], colour[0]])
    )
    return colour.cast("uchar")


def on_background(image: pyvips.Image, background: str, points: CodePoints | None = None) -> pyvips.Image:
    """The picture in sRGB with its transparency laid on `background` (`#rrggbb`)."""
    alpha = _alpha(image)
    paper = [float(part) for part in bytes.fromhex(background.removeprefix("#"))]
    return to_srgb(image, points).bandjoin(alpha).copy(interpretation="srgb").flatten(background=paper)


def colour_bands(image: pyvips.Image) -> int:
    """How many of the first bands are colour, by the interpretation."""
    if image.interpretation == "cmyk":
        return 4
    return 1 if image.interpretation in _GREY or image.bands < 3 else 3


def without_profile(image: pyvips.Image) -> pyvips.Image:
    """The same pixels, of the space that their kind has without a profile."""
    image = image.copy()
    image.remove(PROFILE)
    return image


def _by_profile(image: pyvips.Image) -> pyvips.Image:
    # Perceptual as ICC suggests for photographs.
    if image.get_typeof(PROFILE):
        if not is_made_for(bytes(image.get(PROFILE)), image.bands):
            raise ProfileUnusable
        try:
            return image.icc_transform("srgb", embedded=True, intent="perceptual", depth=8)
        except pyvips.Error as error:
            raise ProfileUnusable from error
    if image.interpretation == "cmyk":
        return image.icc_transform("srgb", input_profile="cmyk", intent="perceptual", depth=8)
    return image


def _alpha(image: pyvips.Image) -> pyvips.Image:
    """The transparency as 0..255."""
    band = image[colour_bands(image)]
    if band.format == "uchar":
        return band
    if band.format == "ushort":
        return (band / 257).rint().cast("uchar")
    whole = 255 if image.format in {"float", "double"} and image.interpretation == "scrgb" else 1
    return (band * whole).cast("uchar")


def _interpreted(image: pyvips.Image) -> pyvips.Image:
    """Name the colour space of pixels whose loader left it open."""
    if image.interpretation in _SELF_DESCRIBED or image.interpretation == "cmyk":
        return image
    wide = image.format == "ushort"
    name = ("grey16" if wide else "b-w") if image.bands < 3 else ("rgb16" if wide else "srgb")
    return image if image.interpretation == name else image.copy(interpretation=name)


def in_range(image: pyvips.Image) -> pyvips.Image:
    """Integers and floats of unknown scale in a range that means black to white."""
    if image.format in {"uchar", "ushort"} or image.interpretation in _SELF_DESCRIBED:
        return image
    image = image.copy_memory()
    low, high = image.min(), image.max()
    if image.format in {"float", "double"} and low >= 0 and high <= 1:
        # Fractions are linear light, as in scRGB and OpenEXR; a lone band is its grey.
        linear = image if image.bands >= 3 else image.bandjoin([image, image])
        return linear.cast("float").copy(interpretation="scrgb")
    if low >= 0 and high <= 255:
        return image.cast("uchar")
    if low >= 0 and high <= 65535:
        return image.cast("ushort")
    span = (high - low) or 1
    return ((image - low) * (255 / span)).rint().cast("uchar")
