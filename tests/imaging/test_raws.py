"""Camera raws of every maker: recognised by content, upright, in the camera's colours, from a preview or the sensor."""

import pytest
from PIL import Image

from imgctl.errors import ImageRejected
from imgctl.imaging.decoders.choose import recognised
from imgctl.imaging.decoders.decode import RESERVED_BYTES, Limits
from imgctl.imaging.decoders.raw import missing_bytes
from imgctl.imaging.formats import KNOWN, Kind
from imgctl.imaging.probe import recognise
from imgctl.imaging.recognise import sniff, sniff_named
from imgctl.imaging.render import render
from tests.imaging.pictures import FINE, distance, encoded, full, quadrants, recipe_of
from tests.imaging.raws import (
    DEVELOPED,
    RAWS,
    RIGHT,
    SHOWN,
    SIZE,
    UPRIGHT,
    cr3,
    directory,
    dng,
    in_tiff,
    longs,
    preview,
    scene,
)

SEEN = SIZE[::-1]
# Of 255, on average over all channels and pixels; a sensor is compared with its source picture.
TOLERANCE = 2.0
NIKON = (b"NIKON CORPORATION", b"NIKON D70")
TURNS = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_270, 8: Image.Transpose.ROTATE_90}


def test_every_supported_raw_format_is_tested() -> None:
    assert {kind for kind, _ in RAWS.values()} == {row.format for row in KNOWN.values() if row.kind is Kind.RAW}


@pytest.mark.parametrize("name", RAWS)
def test_a_raw_is_recognised_by_content(name: str) -> None:
    kind, made = RAWS[name]
    data = made()
    found = sniff(data)

    assert found is not None and KNOWN[found].kind is Kind.RAW
    # A maker's names for files of the same structure differ only by name.
    assert sniff_named(data, kind) is kind
    assert recognise(data).kind is found
    assert missing_bytes(data) == 0


@pytest.mark.parametrize("name", DEVELOPED)
@pytest.mark.parametrize("edge", [1000, 300])
def test_a_raw_without_a_preview_is_developed(name: str, edge: int) -> None:
    rendered = render(DEVELOPED[name][1](), recipe_of(edge=edge))

    assert (rendered.width, rendered.height, rendered.damage) == (*SEEN, None)
    shown = full(rendered)
    assert distance(shown, UPRIGHT.resize(shown.size)) < TOLERANCE


@pytest.mark.parametrize(("orientation", "turn"), TURNS.items())
def test_a_raw_is_turned_by_its_flip_value(orientation: int, turn: Image.Transpose | None) -> None:
    wanted = scene() if turn is None else scene().transpose(turn)

    developed = full(render(dng(orientation=orientation), FINE))
    previewed = full(render(in_tiff(*NIKON, orientation=orientation), FINE))

    assert distance(developed, wanted) < TOLERANCE
    assert distance(previewed, wanted.resize(previewed.size)) < TOLERANCE


@pytest.mark.parametrize("name", SHOWN)
def test_a_raw_is_rendered_from_a_preview_that_is_large_enough(name: str) -> None:
    rendered = render(SHOWN[name][1](), FINE)

    # LibRaw leaves out the borders of some makers' sensors.
    assert all(abs(one - two) < 3 for one, two in zip((rendered.width, rendered.height), SEEN, strict=True))
    assert rendered.damage is None
    shown = full(rendered)
    assert distance(shown, UPRIGHT.resize(shown.size)) < TOLERANCE


def test_a_raw_that_libraw_cannot_open_is_rendered_from_its_preview() -> None:
    rendered = render(cr3().replace(b"CMP1", b"CMP9"), FINE)

    assert rendered.damage is not None
    assert (rendered.width, rendered.height) == SEEN
    assert distance(full(rendered), UPRIGHT) < TOLERANCE


def test_a_raw_with_a_small_preview_is_developed() -> None:
    wrong = encoded(Image.new("RGB", (160, 120), "white"), "JPEG")

    rendered = render(in_tiff(b"SAMSUNG", b"NX300", shown=wrong), recipe_of(edge=640))

    assert rendered.damage is None
    assert full(rendered).getpixel((5, 5)) != (255, 255, 255)


def test_an_upright_preview_is_not_turned() -> None:
    upright = encoded(UPRIGHT, "JPEG")

    shown = full(render(in_tiff(*NIKON, orientation=RIGHT, shown=upright), FINE))

    assert distance(shown, UPRIGHT.resize(shown.size)) < TOLERANCE


@pytest.mark.parametrize("cut", [1, 1000, 500_000])
def test_a_truncated_raw_is_rendered_from_its_preview_and_reported(cut: int) -> None:
    data = in_tiff(*NIKON)[:-cut]

    rendered = render(data, FINE)

    assert rendered.damage is not None and "cut off" in rendered.damage and f"{cut:,}" in rendered.damage
    assert distance(full(rendered), UPRIGHT.resize(full(rendered).size)) < TOLERANCE


def test_a_truncated_list_of_strips_is_not_an_error() -> None:
    strips = 1000
    head = b"II*\0\x08\0\0\0" + directory([longs(273, *range(strips)), longs(279, *[1] * strips)], 8)

    assert missing_bytes(head[:-2]) == 0


def test_a_small_preview_of_a_damaged_raw_is_not_enlarged() -> None:
    data = in_tiff(*NIKON, shown=preview((160, 120)))[:-1000]

    rendered = render(data, FINE)

    assert full(rendered).size == (120, 160)
    assert rendered.damage is not None and (rendered.width, rendered.height) != (120, 160)


def test_a_raw_truncated_before_its_pixels_is_rejected_with_the_reason(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ImageRejected, match="cut off"):
        render(dng()[:5000], FINE)

    # LibRaw itself writes there.
    assert capfd.readouterr().err == ""


def test_a_raw_with_a_damaged_preview_is_developed() -> None:
    whole = preview()
    broken = whole[: len(whole) // 2]

    rendered = render(in_tiff(b"SAMSUNG", b"NX300", shown=broken), FINE)

    assert rendered.damage is None


def test_pixel_and_memory_limits_apply_to_raws() -> None:
    with pytest.raises(ImageRejected, match="megapixels"):
        render(dng(), FINE, limits=Limits(max_pixels=1000))
    with pytest.raises(ImageRejected, match="memory"):
        render(dng(), FINE, limits=Limits(memory_bytes=RESERVED_BYTES + 2**20))


def test_a_tiff_with_a_raw_name_has_the_format_that_libraw_detects() -> None:
    plain, nikon = encoded(quadrants(), "TIFF"), in_tiff(*NIKON)
    kind, _ = SHOWN["nef"]

    assert recognised(plain, sniff(plain), kind) is recognised(plain, sniff(plain), None)
    assert recognised(nikon, sniff(nikon), kind) is kind
