"""Each format of scanners and painting programs is recognised by content, and rendered in its original colours."""

import io
import struct
from collections.abc import Callable

import pytest
from PIL import Image

from imgctl.errors import ImageRejected
from imgctl.imaging.decoders.pillow import PLUGIN
from imgctl.imaging.formats import KNOWN, Format
from imgctl.imaging.probe import probe
from imgctl.imaging.render import render
from tests.imaging.pictures import FINE, distance, full, middles, patches, quadrants
from tests.imaging.stills import SMALL, STILLS, bitmap, pam, pfm, photoshop, saved

# Of 255, on average over all channels and pixels, compared with the picture that Pillow wrote.
TOLERANCE = 1.0


@pytest.mark.parametrize("name", STILLS)
def test_a_still_is_recognised_and_rendered_in_its_colours(name: str) -> None:
    kind, made = STILLS[name]
    data = made()

    rendered = render(data, FINE)

    assert (probe(data).format, probe(data).width, probe(data).height) == (kind, *SMALL.size)
    assert (rendered.width, rendered.height, rendered.damage) == (*SMALL.size, None)
    assert distance(full(rendered), SMALL) < TOLERANCE


@pytest.mark.parametrize(
    "made", [lambda grey: pam(grey, b"GRAYSCALE"), lambda grey: pam(grey, b"GRAYSCALE_ALPHA", behind=b"\xff"), pfm]
)
def test_a_grey_netpbm_file_is_rendered_in_grey(made: Callable[[Image.Image], bytes]) -> None:
    grey = SMALL.convert("L")

    assert distance(full(render(made(grey), FINE)), grey.convert("RGB")) < TOLERANCE


@pytest.mark.parametrize(
    "made",
    [
        bitmap,
        lambda bits: pam(bits.convert("L"), b"BLACKANDWHITE", most=1),
        lambda bits: saved("TIFF", "1", bits, tiffinfo={284: 2}),
    ],
    ids=["psd", "pam", "tiff of planes"],
)
def test_a_picture_of_one_bit_a_pixel_is_black_and_white(made: Callable[[Image.Image], bytes]) -> None:
    bits = SMALL.convert("1", dither=Image.Dither.NONE)

    assert distance(full(render(made(bits), FINE)), bits.convert("RGB")) < TOLERANCE


@pytest.mark.parametrize("made", [lambda: pam(SMALL, b"RGB"), lambda: pfm(SMALL)])
def test_rows_of_a_truncated_netpbm_file_are_rendered(made: Callable[[], bytes]) -> None:
    data = made()

    rendered = render(data[: len(data) * 3 // 4], FINE)

    assert rendered.damage is not None and "cut off" in rendered.damage
    assert (rendered.width, rendered.height) == SMALL.size
    with pytest.raises(ImageRejected, match="cut off"):
        render(data[:80], FINE)


def test_nan_samples_are_black(capfd: pytest.CaptureFixture[str]) -> None:
    holes = (float("nan"), float("inf"), -float("inf"))
    pixels = struct.pack("<12f", *holes, 0.2, 0.2, 0.2, *holes, 1, 1, 1)
    rows = b"PF\n2 2\n-1.0\n" + pixels
    grey = Image.new("F", (2, 1))
    grey.putdata([float("nan"), 0.5])

    assert middles(full(render(rows, FINE)), 2)[0] == (0, 0, 0)
    assert middles(full(render(saved("TIFF", "F", grey), FINE)), 2)[0] == (0, 0, 0)
    # GLib itself writes there.
    assert capfd.readouterr().err == ""


def test_the_list_of_plugins_is_explicit() -> None:
    starts_programs = {"EPS", "WMF"}

    assert starts_programs.isdisjoint(name for names in PLUGIN.values() for name in names)
    assert {KNOWN[kind].kind for kind in PLUGIN} == {"picture"}


def test_a_jpeg_in_a_jxl_is_rendered_like_the_jpeg(tmp_path: object) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    path = f"{tmp_path}/a.jpg"
    SMALL.save(path, quality=98, subsampling=0, exif=turned)
    with Image.open(path) as picture, pytest.warns(UserWarning, match="JPEG reconstruction"):
        data = saved_jxl(picture)

    rendered = render(data, FINE)

    assert (probe(data).format, probe(data).width, probe(data).height) == (Format.JXL, 64, 96)
    assert (rendered.width, rendered.height) == (64, 96)
    assert distance(full(rendered), SMALL.transpose(Image.Transpose.ROTATE_270)) < 2


def saved_jxl(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JXL")
    return out.getvalue()


def test_dark_grey_of_16_bits_keeps_its_depth() -> None:
    dark = b"P5 2 1 65535\n" + b"\0\x10\0\xf0"

    assert max(full(render(dark, FINE)).convert("L").tobytes()) < 3


@pytest.mark.parametrize(("layers", "seen"), [(1, False), (-1, True)])
@pytest.mark.parametrize("big", [False, True])
def test_a_photoshop_channel_is_alpha_if_the_layer_count_is_negative(layers: int, seen: bool, big: bool) -> None:
    picture = patches([(200, 30, 30, 255), (200, 30, 30, 0)], mode="RGBA")
    size = 8 if big else 4
    section = (2).to_bytes(size) + layers.to_bytes(2, signed=True)

    shown = middles(full(render(photoshop(picture, layers=section, big=big), FINE)), 2)

    assert (shown[1] == (255, 255, 255)) is seen
    assert max(abs(one - two) for one, two in zip(shown[0], (200, 30, 30), strict=True)) <= 3


def test_merged_transparency_of_16_bits_is_applied() -> None:
    picture = patches([(200, 30, 30, 255), (200, 30, 30, 0)], mode="RGBA")
    section = bytes(4) + bytes(4) + b"8BIMMt16" + bytes(4)

    shown = middles(full(render(photoshop(picture, layers=section, bits=16), FINE)), 2)

    assert shown[1] == (255, 255, 255)


def test_a_targa_with_an_empty_alpha_channel_is_opaque() -> None:
    clear = quadrants()
    clear.putalpha(0)

    assert distance(full(render(saved("TGA", "RGBA", clear), FINE)), SMALL) < TOLERANCE


def test_a_truncated_photoshop_file_is_rendered_and_reported() -> None:
    data = photoshop(SMALL, bits=16, packed=False)

    rendered = render(data[: len(data) * 9 // 10], FINE)

    assert rendered.damage is not None
    assert (rendered.width, rendered.height) == SMALL.size
