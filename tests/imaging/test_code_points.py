"""Colour by code points and by unusable profiles, against values computed here."""

import io
import math
import struct
import zlib
from itertools import pairwise

import pytest
from PIL import Image, ImageCms

from imgctl.imaging.render import render
from imgctl.imaging.vips import pyvips
from tests.imaging.pictures import (
    ADOBE_RGB,
    FINE,
    encoded,
    full,
    grey_profile,
    in_srgb,
    middles,
    opened,
    patches,
    rgb_profile,
    worst,
)

TOLERANCE = 3
HUES = [(234, 51, 35), (30, 160, 60), (40, 60, 180), (128, 128, 128), (240, 200, 90), (12, 12, 12), (255, 255, 255)]
XY = {
    1: ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
WHITE = (0.3127, 0.3290)
Rows = list[list[float]]


def solved(rows: Rows, values: list[float]) -> list[float]:
    """Gauss elimination: the x of rows · x = values."""
    table = [[*row, value] for row, value in zip(rows, values, strict=True)]
    for at in range(len(table)):
        pivot = max(range(at, len(table)), key=lambda row: abs(table[row][at]))
        table[at], table[pivot] = table[pivot], table[at]
        table[at] = [part / table[at][at] for part in table[at]]
        for other in range(len(table)):
            if other != at:
                table[other] = [a - table[other][at] * b for a, b in zip(table[other], table[at], strict=True)]
    return [row[-1] for row in table]


def to_xyz(primaries: int) -> Rows:
    stimuli = [[x / y, 1.0, (1 - x - y) / y] for x, y in (*XY[primaries], WHITE)]
    columns = [list(row) for row in zip(*stimuli[:3], strict=True)]
    gains = solved(columns, stimuli[3])
    return [[part * gain for part, gain in zip(row, gains, strict=True)] for row in columns]


def from_pq(code: float) -> float:
    part = math.pow(code, 32 / 2523)
    return 10_000 * math.pow(max(part - 0.8359375, 0) / (18.8515625 - 18.6875 * part), 16384 / 2610)


def in_pq(nits: float) -> float:
    part = math.pow(nits / 10_000, 2610 / 16384)
    return math.pow((0.8359375 + 18.8515625 * part) / (1 + 18.6875 * part), 2523 / 32)


def mapped(nits: float, peak: float) -> float:
    """BT.2390's knee from `peak` to 203 cd/m², by steps: the curve is the Hermite spline of its two ends and slopes."""
    most = in_pq(peak)
    end = in_pq(203) / most
    start = 1.5 * end - 0.5
    code = min(1.0, in_pq(nits) / most)
    if code > start:
        share = (code - start) / (1 - start)
        # de Casteljau on the same spline: level at its end, of slope 1 at its start.
        points = [start, start + (1 - start) / 3, end, end]
        while len(points) > 1:
            points = [one + (two - one) * share for one, two in pairwise(points)]
        code = points[0]
    return from_pq(code * most) / 203


def light(code: float, transfer: int, peak: float = 1000) -> float:
    """Linear light, 1 for SDR's white (where the curve is absolute: what 203 cd/m² are after the knee)."""
    if transfer == 16:
        return mapped(from_pq(code), peak)
    if transfer == 18:
        scene = code**2 / 3 if code <= 0.5 else (math.exp((code - 0.55991073) / 0.17883277) + 0.28466892) / 12
        return mapped(1000 * math.pow(scene, 1.2), 1000)
    if transfer in (4, 8):
        return math.pow(code, {4: 2.2, 8: 1.0}[transfer])
    return code / 12.92 if code <= 0.04045 else math.pow((code + 0.055) / 1.055, 2.4)


def reference(colour: tuple[int, ...], primaries: int, transfer: int, peak: float = 1000) -> tuple[int, ...]:
    linear = [min(1.0, light(part / 255, transfer, peak)) for part in colour]
    xyz = [sum(a * b for a, b in zip(row, linear, strict=True)) for row in to_xyz(primaries)]
    shown = [min(1.0, max(0.0, part)) for part in solved(to_xyz(1), xyz)]
    codes = [12.92 * part if part <= 0.0031308 else 1.055 * part ** (1 / 2.4) - 0.055 for part in shown]
    return tuple(round(255 * code) for code in codes)


def chunked(png: bytes, points: tuple[int, int, int, int]) -> bytes:
    """The PNG with a cICP chunk behind its header."""
    body = b"cICP" + bytes(points)
    return png[:33] + struct.pack(">I", 4) + body + struct.pack(">I", zlib.crc32(body)) + png[33:]


def marked(picture: Image.Image, kind: str, primaries: int, transfer: int) -> bytes:
    if kind == "PNG":
        return chunked(encoded(picture, "PNG"), (primaries, transfer, 0, 1))
    if kind == "HEIF":
        points = {"color_primaries": primaries, "transfer_characteristics": transfer}
        return encoded(picture, "HEIF", matrix_coefficients=6, full_range_flag=1, **points)
    data = encoded(picture, "AVIF")
    at = data.index(b"nclx")
    return data[: at + 4] + struct.pack(">HH", primaries, transfer) + data[at + 8 :]


def shown(data: bytes, count: int = len(HUES)) -> list[tuple[int, ...]]:
    return middles(full(render(data, FINE)), count)


@pytest.mark.parametrize("transfer", [1, 4, 8, 13, 14, 16, 18])
@pytest.mark.parametrize("primaries", XY)
@pytest.mark.parametrize("kind", ["PNG", "HEIF", "AVIF"])
def test_colours_are_converted_by_code_points(kind: str, primaries: int, transfer: int) -> None:
    data = marked(patches(list(HUES)), kind, primaries, transfer)

    # From the decoded codes: luma and chroma round them, and HDR curves turn this into steps.
    codes = list(HUES) if kind == "PNG" else shown(marked(patches(list(HUES)), kind, 1, 13))
    expected = [reference(colour, primaries, transfer) for colour in codes]
    assert worst(shown(data), expected) <= TOLERANCE


@pytest.mark.parametrize("by", ["cLLI", "mDCV"])
@pytest.mark.parametrize("peak", [203, 600, 4000, 10_000])
def test_the_peak_of_an_hdr_picture_becomes_sdr_white(peak: int, by: str) -> None:
    greys = [(round(255 * in_pq(nits)),) * 3 for nits in (1, 50, 100, 203, peak)]
    value = struct.pack(">I", peak * 10_000)
    body = by.encode() + (value + bytes(4) if by == "cLLI" else bytes(16) + value + bytes(4))
    png = chunked(encoded(patches(list(greys)), "PNG"), (9, 16, 0, 1))
    data = png[:33] + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) + png[33:]

    colours = shown(data, len(greys))

    assert worst(colours, [reference(grey, 9, 16, peak) for grey in greys]) <= TOLERANCE
    assert min(colours[-1]) >= 250
    # Dark shades are unchanged, and no two shades become equal.
    assert worst(colours[:1], [reference(greys[0], 9, 16, 203)]) <= TOLERANCE
    assert colours == sorted(colours) and len(set(colours[:4])) == 4


@pytest.mark.parametrize("transfer", [4, 8, 16, 18])
@pytest.mark.parametrize("primaries", XY)
def test_colours_of_sixteen_bits_are_converted_by_code_points(primaries: int, transfer: int) -> None:
    picture = patches(list(HUES))
    wide = pyvips.Image.new_from_memory(picture.tobytes(), picture.width, picture.height, 3, "uchar") * 257
    png = bytes(wide.cast("ushort").copy(interpretation="rgb16").pngsave_buffer())

    colours = shown(chunked(png, (primaries, transfer, 0, 1)))

    assert worst(colours, [reference(colour, primaries, transfer) for colour in HUES]) <= TOLERANCE


@pytest.mark.parametrize("kind", ["PNG", "HEIF", "AVIF"])
@pytest.mark.parametrize("transfer", [4, 16])
def test_grey_is_converted_by_code_points(kind: str, transfer: int) -> None:
    greys = [(0,), (60,), (128,), (148,), (200,)]

    data = marked(patches(list(greys), mode="L"), kind, 9, transfer)

    expected = [reference(colour, 1, transfer) for colour in middles(opened(data), len(greys))]
    assert worst(shown(data, len(greys)), expected) <= TOLERANCE


@pytest.mark.parametrize("kind", ["PNG", "HEIF", "AVIF"])
@pytest.mark.parametrize("points", [(1, 13), (1, 1), (2, 2), (1, 6)])
def test_code_points_of_srgb_or_unspecified_change_nothing(kind: str, points: tuple[int, int]) -> None:
    assert worst(shown(marked(patches(list(HUES)), kind, *points)), list(HUES)) <= TOLERANCE


def test_code_points_of_a_png_outrank_its_profile() -> None:
    png = encoded(patches(list(HUES)), "PNG", icc_profile=rgb_profile(ADOBE_RGB, 1.0))

    colours = shown(chunked(png, (12, 13, 0, 1)))

    assert worst(colours, [reference(colour, 12, 13) for colour in HUES]) <= TOLERANCE


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
def test_a_profile_in_a_container_outranks_code_points(kind: str) -> None:
    profile = rgb_profile(ADOBE_RGB, 2.2)
    picture = patches(list(HUES))

    colours = shown(encoded(picture, kind, icc_profile=profile))

    assert worst(colours, middles(in_srgb(picture, profile), len(HUES))) <= TOLERANCE


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_a_png_of_narrow_range_spans_black_to_white(mode: str) -> None:
    greys = [16, 126, 235]
    picture = patches([(grey,) * 3 for grey in greys]).convert(mode)

    colours = shown(chunked(encoded(picture, "PNG"), (1, 13, 0, 0)), 3)

    assert worst(colours, [(0,) * 3, (128,) * 3, (255,) * 3]) <= TOLERANCE


@pytest.mark.parametrize("range_", ["limited", "full"])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB"])
def test_an_avif_of_either_range_spans_black_to_white(mode: str, range_: str) -> None:
    greys = [0, 60, 128, 255]
    picture = patches([(grey,) * 3 for grey in greys]).convert(mode)

    colours = shown(encoded(picture, "AVIF", range=range_), 4)

    assert worst(colours, [(grey,) * 3 for grey in greys]) <= TOLERANCE


@pytest.mark.parametrize("full_range", [0, 1])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_heic_of_either_range_spans_black_to_white(mode: str, full_range: int) -> None:
    greys = [0, 60, 128, 255]
    picture = patches([(grey,) * 3 for grey in greys]).convert(mode)

    colours = shown(encoded(picture, "HEIF", full_range_flag=full_range), 4)

    assert worst(colours, [(grey,) * 3 for grey in greys]) <= TOLERANCE


def changed(profile: bytes, tag: bytes, at: int, value: bytes) -> bytes:
    """The profile with some bytes of one tag's data replaced."""
    entry = profile.index(tag, 128)
    place = int.from_bytes(profile[entry + 4 : entry + 8]) + at
    return profile[:place] + value + profile[place + len(value) :]


def unusable() -> dict[str, bytes]:
    good = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    adobe = rgb_profile(ADOBE_RGB, 2.2)
    table = bytes(pyvips.Image.profile_load("cmyk"))
    return {
        "curves are junk": changed(good, b"rTRC", 0, b"junk"),
        "a curve too long": changed(adobe, b"rTRC", 8, struct.pack(">I", 1 << 30)),
        "named colours": adobe[:12] + b"nmcl" + adobe[16:],
        "device link": adobe[:12] + b"link" + adobe[16:],
        "no green": good.replace(b"gXYZ", b"zzzz"),
        "half": good[: len(good) // 2],
        "zeros": bytes(600),
        "for ink": table,
        "for grey": grey_profile(2.2),
        "ink for RGB, cut": table[:5000],
        "Lab": ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),
    }


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"])
@pytest.mark.parametrize("name", unusable())
def test_an_unusable_profile_is_ignored_and_reported(name: str, kind: str) -> None:
    rendered = render(encoded(patches(list(HUES)), kind, icc_profile=unusable()[name]), FINE)

    assert worst(middles(full(rendered), len(HUES)), list(HUES)) <= TOLERANCE
    # Some writers and readers drop such a profile.
    assert rendered.damage is None or "colour profile" in rendered.damage
    if kind in ("JPEG", "TIFF"):
        assert rendered.damage is not None


def test_cmyk_with_an_unusable_profile_is_read_as_printers_ink() -> None:
    inks = patches([(200, 30, 20, 0), (0, 180, 190, 10)], mode="CMYK")
    plain = render(encoded(inks, "TIFF"), FINE)

    rendered = render(encoded(inks, "TIFF", icc_profile=unusable()["device link"]), FINE)

    assert rendered.damage is not None and "profile" in rendered.damage
    assert full(rendered).tobytes() == full(plain).tobytes()


def test_a_truncated_picture_with_an_unusable_profile_is_reported_with_both() -> None:
    data = encoded(patches(list(HUES)), "JPEG", icc_profile=unusable()["named colours"])

    damage = render(data[: len(data) * 9 // 10], FINE).damage

    assert damage is not None and "cut off" in damage and "profile" in damage


def test_a_usable_profile_is_not_reported() -> None:
    out = io.BytesIO()
    patches(list(HUES)).save(out, "JPEG", icc_profile=rgb_profile(ADOBE_RGB, 2.2))

    assert render(out.getvalue(), FINE).damage is None
