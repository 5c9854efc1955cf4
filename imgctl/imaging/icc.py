"""ICC profiles by their header and tags: whether one is made for a picture, and whether it says no more than sRGB."""

import math
import struct

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


def is_made_for(profile: bytes, colours: int) -> bool:
    """Whether an ICC profile is whole and describes pixels of so many colour bands; libvips takes another in silence."""
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
    """The curve's value at 0..1: a table (`curv`) or the parametric form with a linear toe (`para` 3)."""
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
