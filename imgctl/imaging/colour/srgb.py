"""Conversion of any pixels to 8-bit sRGB on a plain background: ICC profiles, depth, CMYK, grey and alpha."""

import math
import struct

from imgctl.imaging.colour.code_points import CodePoints, to_light
from imgctl.imaging.vips import pyvips

PROFILE = "icc-profile-data"
_COLORANTS = {
    b"rXYZ": (0.4361, 0.2225, 0.0139),
    b"gXYZ": (0.3851, 0.7169, 0.0971),
    b"bXYZ": (0.1431, 0.0606, 0.7141),
}
_CURVES = (b"rTRC", b"gTRC", b"bTRC")
# The sRGB curve (IEC 61966-2-1) at three places: a straight gamma of 2.2 misses the first.
_POINTS = ((0.05, 0.003936), (0.5, 0.214041), (0.8, 0.603827))
_XYZ_TOLERANCE, _CURVE_TOLERANCE = 0.0015, 0.0006
_MAX_TAGS = 100
_SPACES = {1: b"GRAY", 3: b"RGB ", 4: b"CMYK"}
_CLASSES = (b"scnr", b"mntr", b"prtr", b"spac")
_TABLES = {b"A2B0", b"A2B1", b"A2B2", b"D2B0", b"D2B1", b"D2B2"}
_SELF_DESCRIBED = {"scrgb", "lab", "labs", "xyz", "yxy", "lch"}
_GREY = {"b-w", "grey16"}
_ENDLESS = 1e30


class ProfileUnusable(Exception):
    """The embedded profile is damaged, or made for another kind of picture."""


def has_alpha(image: pyvips.Image) -> bool:
    """Whether the bands after the colour hold transparency."""
    return bool(image.bands > colour_bands(image))


def to_srgb(image: pyvips.Image, points: CodePoints | None = None) -> pyvips.Image:
    """Convert to three bands of 8-bit sRGB; alpha is dropped. ProfileUnusable before any pixel is computed.

    `points` define the colours of pixels without a profile.
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
    """Convert to sRGB, with transparency flattened on `background` (`#rrggbb`)."""
    alpha = _alpha(image)
    paper = [float(part) for part in bytes.fromhex(background.removeprefix("#"))]
    return to_srgb(image, points).bandjoin(alpha).copy(interpretation="srgb").flatten(background=paper)


def colour_bands(image: pyvips.Image) -> int:
    """Return the number of colour bands, by the interpretation; they come first."""
    if image.interpretation == "cmyk":
        return 4
    return 1 if image.interpretation in _GREY or image.bands < 3 else 3


def without_profile(image: pyvips.Image) -> pyvips.Image:
    """Return the same pixels without the profile, in their interpretation's default space."""
    image = image.copy()
    image.remove(PROFILE)
    return image


def _by_profile(image: pyvips.Image) -> pyvips.Image:
    # Perceptual, as ICC recommends for photographs.
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
    """Return the transparency as 0..255."""
    band = image[colour_bands(image)]
    if band.format == "uchar":
        return band
    if band.format == "ushort":
        return (band / 257).rint().cast("uchar")
    whole = 255 if image.format in {"float", "double"} and image.interpretation == "scrgb" else 1
    return (band * whole).cast("uchar")


def _interpreted(image: pyvips.Image) -> pyvips.Image:
    """Set the colour space of pixels whose loader left it undefined."""
    if image.interpretation in _SELF_DESCRIBED or image.interpretation == "cmyk":
        return image
    wide = image.format == "ushort"
    name = ("grey16" if wide else "b-w") if image.bands < 3 else ("rgb16" if wide else "srgb")
    return image if image.interpretation == name else image.copy(interpretation=name)


def in_range(image: pyvips.Image) -> pyvips.Image:
    """Scale integers and floats of unknown scale to a range from black to white."""
    if image.format in {"uchar", "ushort"} or image.interpretation in _SELF_DESCRIBED:
        return image
    image = finite(image).copy_memory()
    low, high = image.min(), image.max()
    if image.format in {"float", "double"} and low >= 0 and high <= 1:
        # Fractions are linear light, as in scRGB and OpenEXR; a single band is grey.
        linear = image if image.bands >= 3 else image.bandjoin([image, image])
        return linear.cast("float").copy(interpretation="scrgb")
    if low >= 0 and high <= 255:
        return image.cast("uchar")
    if low >= 0 and high <= 65535:
        return image.cast("ushort")
    span = (high - low) or 1
    return ((image - low) * (255 / span)).rint().cast("uchar")


def finite(image: pyvips.Image) -> pyvips.Image:
    """Replace NaN and infinity in floats by black: elevation models have NaN for missing measurements."""
    if image.format not in {"float", "double"}:
        return image
    return (image.abs() < _ENDLESS).ifthenelse(image, 0).cast(image.format)


def is_made_for(profile: bytes, colours: int) -> bool:
    """Whether an ICC profile is whole and describes pixels of `colours` bands; libvips does not check that."""
    size, kind, space = int.from_bytes(profile[:4]), profile[12:16], profile[16:20]
    if profile[36:40] != b"acsp" or size > len(profile) or kind not in _CLASSES or space != _SPACES.get(colours):
        return False
    try:
        tags = _tags(profile)
    except struct.error:
        return False
    needed = {1: {b"kTRC"}, 3: {*_COLORANTS, *_CURVES}}.get(colours, _TABLES)
    return not _TABLES.isdisjoint(tags) or needed <= tags.keys()


def is_srgb(profile: bytes) -> bool:
    """Whether an ICC profile (ICC.1:2022) is a matrix profile with sRGB's primaries and curve; False when unsure."""
    try:
        tags = _tags(profile)
        if profile[16:20] != b"RGB " or b"A2B0" in tags:
            return False
        return all(_near(tags[tag], xyz) for tag, xyz in _COLORANTS.items()) and all(
            _follows(tags[tag]) for tag in _CURVES
        )
    except (KeyError, IndexError, struct.error):
        return False


def _tags(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, 128)
    rows = (struct.unpack_from(">4sII", profile, 132 + 12 * row) for row in range(min(count, _MAX_TAGS)))
    return {tag: profile[at : at + size] for tag, at, size in rows}


def _near(tag: bytes, xyz: tuple[float, float, float]) -> bool:
    stored = struct.unpack_from(">3i", tag, 8)
    return all(abs(part / 65536 - want) < _XYZ_TOLERANCE for part, want in zip(stored, xyz, strict=True))


def _follows(tag: bytes) -> bool:
    return all(abs(_curve(tag, at) - want) < _CURVE_TOLERANCE for at, want in _POINTS)


def _curve(tag: bytes, at: float) -> float:
    """Return the curve's value at 0..1: a table (`curv`) or the parametric form with a linear toe (`para` 3)."""
    if tag[:4] == b"para" and tag[8:10] == b"\0\x03":
        gamma, a, b, c, d = (part / 65536 for part in struct.unpack_from(">5i", tag, 12))
        return c * at if at < d else math.pow(max(0.0, a * at + b), gamma)
    if tag[:4] != b"curv":
        return -1.0
    count = int.from_bytes(tag[8:12])
    place = at * (count - 1)
    low = int(place)
    if count < 3:
        return -1.0
    first, second = (int.from_bytes(tag[12 + 2 * index : 14 + 2 * index]) for index in (low, low + 1))
    return (first + (second - first) * (place - low)) / 65535
