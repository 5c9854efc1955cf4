"""Tests that only declared alpha is alpha, and that a picture that would become blank is an error."""

import io
import struct
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from imgctl.errors import ImageRejected
from imgctl.imaging.encode import Raster
from imgctl.imaging.largest_variant import is_flat
from imgctl.imaging.render import render
from imgctl.imaging.vips import pyvips
from tests.imaging.pictures import FINE, distance, encoded, full, middles, quadrants, recipe_of, worst
from tests.imaging.tiffs import CMYK, GREY, RGB, Layout, Pixel, tiff
from tests.soak import rounds

COLOURS: dict[int, list[Pixel]] = {
    GREY: [(60,), (200,)],
    RGB: [(200, 50, 30), (30, 160, 60)],
    CMYK: [(200, 30, 20, 0), (0, 180, 190, 10)],
}
SIDE = 16
TOLERANCE = 3


def layout(photometric: int, extra: tuple[int, ...] | None, bands: int = 0, **more: object) -> Layout:
    colours = len(COLOURS[photometric][0])
    count = colours + (bands if extra is None else len(extra))
    return Layout(photometric=photometric, bands=count, extra=extra, **more)  # type: ignore[arg-type]


def drawn(wanted: Layout, alpha: int = 255) -> bytes:
    """Two squares of colour; the other bands hold zeros, which would make the picture vanish as alpha."""
    extra = wanted.extra or (0,) * (wanted.bands - wanted.colours)
    shown = next((at for at, what in enumerate(extra) if what in (1, 2)), None)
    scale = alpha / 255 if shown is not None and extra[shown] == 1 else 1.0

    def pixel(colour: Pixel) -> Pixel:
        return tuple(round(part * scale) for part in colour) + tuple(
            alpha if at == shown else 0 for at in range(len(extra))
        )

    row = [pixel(colour) for colour in COLOURS[wanted.photometric] for _ in range(SIDE)]
    return tiff(wanted, [row] * SIDE)


def shown(data: bytes) -> list[tuple[int, ...]]:
    return middles(full(render(data, FINE)), 2)


def plain(photometric: int) -> list[tuple[int, ...]]:
    return shown(drawn(layout(photometric, None)))


@settings(deadline=None, max_examples=rounds(40, 400))
@given(
    photometric=st.sampled_from([GREY, RGB, CMYK]),
    extra=st.lists(st.sampled_from([0, 1, 2]), max_size=4).map(tuple),
    bits=st.sampled_from([8, 16]),
    planar=st.booleans(),
    order=st.sampled_from("<>"),
    big=st.booleans(),
    alpha=st.sampled_from([0, 128, 255]),
)
def test_every_layout_of_bands_is_rendered_with_its_colour_and_only_its_alpha(
    photometric: int, extra: tuple[int, ...], bits: int, planar: bool, order: str, big: bool, alpha: int
) -> None:
    # More than one associated alpha is a contradiction: only libtiff uses the first.
    extra = tuple(2 if what == 1 and 1 in extra[:at] else what for at, what in enumerate(extra))
    extra = tuple(0 if what in (1, 2) and {1, 2}.intersection(extra[:at]) else what for at, what in enumerate(extra))
    data = drawn(layout(photometric, extra, bits=bits, planar=planar, order=order, big=big), alpha)
    see_through = alpha if {1, 2}.intersection(extra) else 255
    if see_through == 0 and 1 in extra:
        # The samples were multiplied by zero, so no colour is left.
        assert shown(data) == [(255, 255, 255)] * 2
        return
    if see_through == 0:
        with pytest.raises(ImageRejected, match="one flat colour"):
            render(data, FINE)
        return

    colours = shown(data)

    laid = [
        tuple(round((part * see_through + 255 * (255 - see_through)) / 255) for part in one)
        for one in plain(photometric)
    ]
    assert worst(colours, laid) <= TOLERANCE


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("bands", [1, 2, 3])
@pytest.mark.parametrize("photometric", COLOURS)
def test_bands_without_an_extra_samples_field_are_dropped(
    photometric: int, bands: int, bits: int, planar: bool
) -> None:
    data = drawn(layout(photometric, None, bands, bits=bits, planar=planar))

    assert worst(shown(data), plain(photometric)) <= TOLERANCE


def test_rows_of_grey_planes_stay_in_order() -> None:
    wanted = Layout(photometric=GREY, bands=3, extra=(0, 0), planar=True)
    rows = [[(8 * y, 0, 255)] * 32 for y in range(32)]

    picture = full(render(tiff(wanted, rows), FINE)).convert("L")

    assert max(abs(cast("int", picture.getpixel((16, y))) - 8 * y) for y in range(32)) <= TOLERANCE


@pytest.mark.parametrize("tile", [False, True])
@pytest.mark.parametrize("format_", ["uchar", "ushort"])
@pytest.mark.parametrize("extra", range(4))
@pytest.mark.parametrize("space", ["b-w", "srgb", "cmyk"])
def test_every_layout_that_libvips_writes_is_rendered(space: str, extra: int, format_: str, tile: bool) -> None:
    photometric = {"b-w": GREY, "srgb": RGB, "cmyk": CMYK}[space]
    flat = [pyvips.Image.black(SIDE, SIDE, bands=len(one)) + list(one) for one in COLOURS[photometric]]
    image = flat[0].join(flat[1], "horizontal")
    # libvips treats the first band after the colours as alpha, and ignores the others.
    for value in (255, 0, 0)[:extra]:
        image = image.bandjoin(value)
    wide = image * (257 if format_ == "ushort" else 1)
    name = {"b-w": "grey16", "srgb": "rgb16"}.get(space, space) if format_ == "ushort" else space
    data = bytes(wide.cast(format_).copy(interpretation=name).tiffsave_buffer(tile=tile, tile_width=16, tile_height=16))

    assert worst(shown(data), plain(photometric)) <= TOLERANCE


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "RGBX", "CMYK", "I;16"])
def test_every_mode_that_pillow_writes_is_rendered(mode: str, compression: str) -> None:
    picture = quadrants()
    if mode == "I;16":
        grey = picture.convert("L")
        picture = Image.frombytes("I;16", grey.size, b"".join(struct.pack("<H", 257 * one) for one in grey.tobytes()))
    else:
        picture = picture.convert(mode)

    variant = full(render(encoded(picture, "TIFF", compression=compression), FINE))

    assert len(set(middles(variant.resize((2, 2), Image.Resampling.BOX), 2))) == 2


def psd(layers: int, fourth: int) -> bytes:
    """A flattened Photoshop file of four channels: three of colour and one of `fourth`."""
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, 4, SIDE, 2 * SIDE, 8, 3)
    info = struct.pack(">Ih", 2, layers) if layers else b"\0\0\0\0"
    body = b""
    for band in range(3):
        body += b"".join(bytes([colour[band]]) * SIDE for colour in COLOURS[RGB]) * SIDE
    planes = body + bytes([fourth]) * (2 * SIDE * SIDE)
    return header + bytes(4) + bytes(4) + struct.pack(">I", len(info)) + info + struct.pack(">H", 0) + planes


def test_a_saved_selection_of_a_photoshop_file_is_not_used_as_alpha() -> None:
    assert worst(shown(psd(layers=0, fourth=0)), plain(RGB)) <= TOLERANCE
    assert worst(shown(psd(layers=2, fourth=0)), plain(RGB)) <= TOLERANCE


def test_transparency_of_a_photoshop_file_is_blended_with_white() -> None:
    half = [tuple(round((part + 255) / 2) for part in one) for one in COLOURS[RGB]]

    assert worst(shown(psd(layers=-2, fourth=128)), half) <= TOLERANCE


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_a_picture_hidden_by_its_transparency_is_rejected(kind: str) -> None:
    unseen = quadrants().convert("RGBA")
    unseen.putalpha(0)
    logo = Image.new("RGBA", (64, 64), (255, 255, 255, 0))
    logo.paste((255, 255, 255, 255), (16, 16, 48, 48))
    options: dict[str, object] = {"exact": True} if kind == "WEBP" else {}

    for picture in (unseen, logo):
        with pytest.raises(ImageRejected, match="one flat colour") as caught:
            render(encoded(picture, kind, **options), FINE)
        assert caught.value.hint is not None and "background" in caught.value.hint


def test_a_white_picture_on_another_background_is_accepted() -> None:
    logo = Image.new("RGBA", (64, 64), (255, 255, 255, 0))
    logo.paste((255, 255, 255, 255), (16, 16, 48, 48))

    assert render(encoded(logo, "PNG"), recipe_of(background="#204060")).damage is None


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (12, 200, 90)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF", "GIF", "BMP"])
def test_a_picture_of_one_colour_is_accepted(kind: str, colour: tuple[int, int, int]) -> None:
    assert render(encoded(Image.new("RGB", (640, 480), colour), kind), FINE).damage is None


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_a_picture_of_one_transparent_colour_is_flat(mode: str) -> None:
    assert render(encoded(Image.new("RGBA", (64, 64), (90, 90, 90, 0)).convert(mode), "PNG"), FINE).damage is None


@given(width=st.integers(1, 9), height=st.integers(1, 9), colour=st.binary(min_size=3, max_size=3), at=st.integers(0))
def test_one_different_sample_is_not_flat(width: int, height: int, colour: bytes, at: int) -> None:
    data = bytearray(colour * width * height)

    assert is_flat(Raster(width=width, height=height, data=data))
    if width * height > 1:
        data[at % len(data)] ^= 1
        assert not is_flat(Raster(width=width, height=height, data=data))


def test_an_alpha_mask_of_zeros_in_a_bitmap_is_ignored() -> None:
    out = io.BytesIO()
    unseen = quadrants().convert("RGBA")
    unseen.putalpha(0)
    unseen.save(out, "BMP")

    assert distance(full(render(out.getvalue(), FINE)), quadrants()) < 2
