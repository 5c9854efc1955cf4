"""Colours stay within 3 of 255 per channel of LittleCMS (through Pillow), JPEG's own loss included."""

import math
from collections.abc import Callable

import pytest
from PIL import Image, ImageCms

from imgctl.imaging.colour.srgb import is_srgb
from imgctl.imaging.render import render
from imgctl.imaging.vips import pyvips
from tests.imaging.pictures import (
    ADOBE_RGB,
    DISPLAY_P3,
    FINE,
    encoded,
    full,
    grey_profile,
    in_srgb,
    middles,
    patches,
    recipe_of,
    rgb_profile,
    worst,
)

TOLERANCE = 3
HUES = [(200, 50, 30), (30, 160, 60), (40, 60, 180), (128, 128, 128), (240, 200, 90), (12, 12, 12)]
PROFILES = {"Adobe RGB": rgb_profile(ADOBE_RGB, 2.19921875), "Display P3": rgb_profile(DISPLAY_P3, 2.2)}


def shown(data: bytes, count: int) -> list[tuple[int, ...]]:
    return middles(full(render(data, FINE)), count)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "HEIF", "AVIF"])
@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_wide_gamut_profiles_are_converted_to_srgb(profile: bytes, kind: str) -> None:
    picture = patches(list(HUES))

    colours = shown(encoded(picture, kind, icc_profile=profile), len(HUES))

    assert worst(colours, middles(in_srgb(picture, profile), len(HUES))) <= TOLERANCE
    assert worst(colours, list(HUES)) > 10


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_with_a_profile_is_converted_to_srgb(kind: str) -> None:
    profile = bytes(pyvips.Image.profile_load("cmyk"))
    inks = [(200, 30, 20, 0), (0, 180, 190, 10), (0, 0, 0, 255), (0, 0, 0, 0), (30, 20, 200, 40)]
    picture = patches(list(inks), mode="CMYK")

    colours = shown(encoded(picture, kind, icc_profile=profile), len(inks))

    assert worst(colours, middles(in_srgb(picture, profile), len(inks))) <= TOLERANCE


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_without_a_profile_is_read_as_printers_ink(kind: str) -> None:
    inks = [(255, 0, 0, 0), (0, 255, 0, 0), (0, 0, 255, 0), (0, 0, 0, 255), (0, 0, 0, 0)]

    cyan, magenta, yellow, black, white = shown(encoded(patches(list(inks), mode="CMYK"), kind), len(inks))

    assert cyan[0] < 60 and cyan[1] > 120 and cyan[2] > 180
    assert magenta[0] > 180 and magenta[1] < 60
    assert yellow[0] > 220 and yellow[1] > 200 and yellow[2] < 60
    assert max(black) < 60 and min(white) > 250


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_a_grey_profile_is_applied(kind: str) -> None:
    greys = [(0,), (60,), (128,), (200,), (255,)]
    profile = grey_profile(1.0)

    colours = shown(encoded(patches(list(greys), mode="L"), kind, icc_profile=profile), len(greys))

    expected: list[tuple[int, ...]] = [(round(255 * srgb_of(grey / 255)),) * 3 for (grey,) in greys]
    assert worst(colours, expected) <= TOLERANCE


def srgb_of(linear: float) -> float:
    return 12.92 * linear if linear <= 0.0031308 else 1.055 * math.pow(linear, 1 / 2.4) - 0.055


@pytest.mark.parametrize(
    "profile",
    [
        b"no profile at all" * 20,
        grey_profile(1.0),
        bytes(pyvips.Image.profile_load("cmyk")),
        PROFILES["Adobe RGB"][:150],
    ],
    ids=["garbage", "grey", "cmyk", "cut off"],
)
def test_a_profile_that_does_not_fit_is_ignored(profile: bytes) -> None:
    colours = shown(encoded(patches(list(HUES)), "PNG", icc_profile=profile), len(HUES))

    assert worst(colours, list(HUES)) <= TOLERANCE


def test_only_srgb_profiles_are_recognised_as_srgb() -> None:
    made = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

    assert is_srgb(made) and is_srgb(bytes(pyvips.Image.profile_load("srgb")))
    assert not any(is_srgb(profile) for profile in (*PROFILES.values(), grey_profile(2.2), made[:200], b""))


def grey_row(data: bytes) -> bytes:
    """The middle row of the full variant in grey."""
    picture = full(render(data, FINE)).convert("L")
    return picture.crop((0, picture.height // 2, picture.width, picture.height // 2 + 1)).tobytes()


def wide(bands: int, kind: str) -> bytes:
    ramp = pyvips.Image.identity(ushort=True).resize(256 / 65536, vscale=32, kernel="nearest").cast("ushort")
    image = ramp.bandjoin([ramp] * (bands - 1)) if bands > 1 else ramp
    image = image.copy(interpretation="rgb16" if bands > 2 else "grey16")
    return bytes(image.pngsave_buffer() if kind == "PNG" else image.tiffsave_buffer())


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_not_clipped(kind: str, bands: int) -> None:
    row = grey_row(wide(bands, kind))

    assert max(abs(value - x) for x, value in enumerate(row)) <= TOLERANCE


def test_sixteen_bit_colours_keep_their_profile() -> None:
    picture = patches(list(HUES))
    image = pyvips.Image.new_from_memory(picture.tobytes(), picture.width, picture.height, 3, "uchar")
    image = (image * 257).cast("ushort").copy(interpretation="rgb16")
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", PROFILES["Adobe RGB"])

    colours = shown(bytes(image.tiffsave_buffer()), len(HUES))

    assert worst(colours, middles(in_srgb(picture, PROFILES["Adobe RGB"]), len(HUES))) <= TOLERANCE


@pytest.mark.parametrize("mode", ["1", "P"])
@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "BMP"])
def test_palettes_and_single_bits_shrink_smoothly(kind: str, mode: str) -> None:
    board = Image.new("L", (512, 512))
    board.putdata([255 * ((x ^ y) & 1) for y in range(512) for x in range(512)])

    shrunk = full(render(encoded(board.convert(mode), kind), recipe_of(edge=64))).convert("L")

    pixels = shrunk.crop((2, 2, 62, 62)).tobytes()
    assert 110 < min(pixels) <= max(pixels) < 145


def see_through(mode: str) -> Image.Image:
    image = patches([(255, 0, 0, 255), (255, 0, 0, 0), (0, 0, 0, 128)], mode="RGBA")
    return image if mode == "RGBA" else image.convert("LA")


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_transparency_is_blended_with_white(kind: str) -> None:
    colours = shown(encoded(see_through("RGBA"), kind, **({"exact": True} if kind == "WEBP" else {})), 3)

    assert worst(colours, [(255, 0, 0), (255, 255, 255), (127, 127, 127)]) <= 5


def test_transparent_grey_is_blended_with_white() -> None:
    assert worst(shown(encoded(see_through("LA"), "PNG"), 3), [(76,) * 3, (255,) * 3, (127,) * 3]) <= TOLERANCE


def test_the_background_is_that_of_the_recipe() -> None:
    rendered = render(encoded(see_through("RGBA"), "PNG"), recipe_of(background="#0080ff"))

    assert worst(middles(full(rendered), 3), [(255, 0, 0), (0, 128, 255), (0, 64, 127)]) <= 6


def test_the_colour_of_invisible_pixels_does_not_bleed() -> None:
    image = Image.new("RGBA", (400, 400), (255, 0, 0, 0))
    image.paste((255, 255, 255, 255), (0, 0, 200, 400))

    shrunk = full(render(encoded(image, "PNG"), recipe_of(edge=50, background="#fefefe")))

    assert worst([pixel for _, pixel in colours_of(shrunk)], [(255, 255, 255)] * len(colours_of(shrunk))) <= 2


def colours_of(image: Image.Image) -> list[tuple[int, tuple[int, ...]]]:
    found = image.convert("RGB").getcolors(1 << 20)
    assert found is not None
    return [(count, pixel) for count, pixel in found if isinstance(pixel, tuple)]


def test_a_transparent_palette_entry_is_blended_with_white() -> None:
    image = patches([(0,), (1,)], mode="P")
    image.putpalette([200, 0, 0, 0, 0, 200])

    assert worst(shown(encoded(image, "GIF", transparency=0), 2), [(255, 255, 255), (0, 0, 200)]) <= 5


def linear(image: pyvips.Image) -> bytes:
    return bytes(image.cast("float").tiffsave_buffer())


@pytest.mark.parametrize(
    "build",
    [
        lambda light: linear(light.bandjoin([light, light]).copy(interpretation="scrgb")),
        lambda light: linear(light.copy(interpretation="b-w")),
    ],
    ids=["colour", "grey"],
)
def test_a_linear_float_tiff_is_rendered_as_srgb(build: Callable[[pyvips.Image], bytes]) -> None:
    light = pyvips.Image.xyz(256, 32)[0] / 255

    row = grey_row(build(light))

    assert max(abs(value - 255 * srgb_of(x / 255)) for x, value in enumerate(row)) <= TOLERANCE


def test_wide_integers_span_black_to_white() -> None:
    image = Image.new("I", (256, 32))
    image.putdata([x * 10_000 for _ in range(32) for x in range(256)])

    picture = full(render(encoded(image, "TIFF"), FINE)).convert("L")

    assert picture.getpixel((0, 16)) == 0 and picture.getpixel((255, 16)) == 255
    assert worst(middles(picture, 2), [(64,) * 3, (192,) * 3]) <= TOLERANCE


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "jpeg"])
def test_a_tiff_of_luma_and_chroma_is_converted_to_srgb(compression: str) -> None:
    picture = patches(list(HUES)).convert("YCbCr")

    colours = shown(encoded(picture, "TIFF", compression=compression), len(HUES))

    assert worst(colours, list(HUES)) <= 5
