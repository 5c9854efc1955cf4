import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from imgctl.imaging.probe import probe
from imgctl.imaging.render import render
from imgctl.model import Recipe
from tests.imaging.containers import chunk, profile
from tests.imaging.metadata import xmp_packet
from tests.imaging.pictures import FINE, distance, encoded, full, opened, quadrants

ORIENTATION = 0x0112
PHOTOS = Path(__file__).parents[3] / "shared" / "photos" / "orientation"
Turn = Image.Transpose
# The orientation of the sensor: the inverse of the turn in the tag (Exif 2.32, tag 274).
STORED: dict[int, Callable[[Image.Image], Image.Image]] = {
    1: lambda image: image,
    2: lambda image: image.transpose(Turn.FLIP_LEFT_RIGHT),
    3: lambda image: image.transpose(Turn.ROTATE_180),
    4: lambda image: image.transpose(Turn.FLIP_TOP_BOTTOM),
    5: lambda image: image.transpose(Turn.TRANSPOSE),
    6: lambda image: image.transpose(Turn.ROTATE_90),
    7: lambda image: image.transpose(Turn.TRANSVERSE),
    8: lambda image: image.transpose(Turn.ROTATE_270),
}


def held(image: Image.Image, kind: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(STORED[orientation](image), kind, exif=exif if kind == "TIFF" else exif.tobytes())


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "HEIF", "TIFF", "PNG", "AVIF"])
def test_every_orientation_of_every_format_is_rendered_upright(kind: str, orientation: int) -> None:
    picture = quadrants()

    rendered = render(held(picture, kind, orientation), FINE)

    assert (rendered.width, rendered.height) == picture.size
    assert distance(full(rendered), picture) < 4


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "HEIF", "TIFF", "PNG", "AVIF"])
def test_probe_returns_the_upright_size(kind: str, orientation: int) -> None:
    found = probe(held(quadrants(), kind, orientation))

    assert (found.width, found.height) == (96, 64)


def turned_by_exif_alone(orientation: int, kind: str) -> bytes:
    """A picture without a turn in its container, as some phones write it; Pillow would move the turn there."""
    exif = Image.Exif()
    exif[ORIENTATION + 1] = orientation
    data = encoded(STORED[orientation](quadrants()), kind, exif=exif.tobytes())
    assert b"irot" not in data
    for order in "<>":
        other, turn = (struct.pack(f"{order}HHI", tag, 3, 1) for tag in (ORIENTATION + 1, ORIENTATION))
        data = data.replace(other, turn)
    return data


@pytest.mark.parametrize("orientation", STORED)
def test_a_heic_turned_only_by_exif_is_rendered_upright(orientation: int) -> None:
    data = turned_by_exif_alone(orientation, "HEIF")

    rendered, found = render(data, FINE), probe(data)

    assert (found.width, found.height) == (rendered.width, rendered.height) == (96, 64)
    assert distance(full(rendered), quadrants()) < 4


def test_a_heic_turned_by_container_and_exif_is_turned_once() -> None:
    data = bytearray(held(quadrants(), "HEIF", 6))
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    assert b"irot" in data
    at = max(data.rfind(struct.pack(order + "HHI", ORIENTATION, 3, 1)) for order in "<>")
    data[at + 8 : at + 10] = b"\0\6" if data[at] == 0x01 else b"\6\0"

    rendered, found = render(bytes(data), FINE), probe(bytes(data))

    assert (found.width, found.height) == (rendered.width, rendered.height) == (96, 64)
    assert distance(full(rendered), quadrants()) < 4


def test_an_avif_turned_only_by_exif_is_not_turned_as_in_browsers() -> None:
    data = turned_by_exif_alone(6, "AVIF")

    rendered, found = render(data, FINE), probe(data)

    assert (found.width, found.height) == (rendered.width, rendered.height) == (64, 96)
    assert distance(full(rendered), STORED[6](quadrants())) < 4


def behind_the_pixels(kind: str) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    plain = encoded(STORED[6](quadrants()), "PNG")
    extra = chunk(b"eXIf", exif.tobytes()[6:]) if kind == "eXIf" else profile("exif", exif.tobytes())
    return plain[:-12] + extra + plain[-12:]


@pytest.mark.parametrize("kind", ["eXIf", "text"])
def test_a_png_is_turned_by_exif_behind_its_pixels(kind: str) -> None:
    data = behind_the_pixels(kind)

    rendered, found = render(data, FINE), probe(data)

    assert (found.width, found.height) == (rendered.width, rendered.height) == (96, 64)
    assert distance(full(rendered), quadrants()) < 2


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_an_orientation_in_xmp_is_ignored(kind: str) -> None:
    packet = xmp_packet("", 'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"')
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", packet.decode())
    data = encoded(quadrants(), kind, **({"pnginfo": info} if kind == "PNG" else {"xmp": packet}))

    rendered, found = render(data, FINE), probe(data)

    assert b"Orientation" in data
    assert (found.width, found.height) == (rendered.width, rendered.height) == (96, 64)
    assert distance(full(rendered), quadrants()) < 4


def test_every_variant_is_upright_not_only_the_largest() -> None:
    picture = quadrants(3000, 2000)

    rendered = render(held(picture, "JPEG", 6), Recipe())

    assert [(one.width, one.height) for one in rendered.variants] == [(320, 213), (1080, 720), (2048, 1365)]
    for one in rendered.variants:
        assert distance(opened(one.data), picture.resize((one.width, one.height))) < 2


@pytest.mark.parametrize("tag", [0, 9, 65535])
def test_an_invalid_orientation_is_ignored(tag: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = tag

    rendered = render(encoded(quadrants(), "JPEG", exif=exif.tobytes()), FINE)

    assert distance(full(rendered), quadrants()) < 2


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the shared photos are not here")
@pytest.mark.parametrize("name", ["Landscape", "Portrait"])
def test_a_photo_has_the_same_pixels_in_all_eight_orientations(name: str) -> None:
    upright = full(render((PHOTOS / f"{name}_1.jpg").read_bytes(), Recipe()))

    for orientation in range(2, 9):
        turned = full(render((PHOTOS / f"{name}_{orientation}.jpg").read_bytes(), Recipe()))
        assert distance(turned, upright) < 4
