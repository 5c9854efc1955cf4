"""The comparison distinguishes the same picture from another, in every format and size of the recipe."""

from io import BytesIO

import pytest
from PIL import Image, ImageDraw, ImageOps

from imgctl.imaging.compare import THRESHOLD, difference, small
from imgctl.imaging.render import render
from imgctl.model import Recipe, Variant, VariantFormat, VariantSpec
from tests.imaging.pictures import encoded, quadrants
from tests.soak import is_soak

EDGES = {Variant.THUMB: 320, Variant.MEDIUM: 1080, Variant.FULL: 2048}


def _scene(width: int, height: int) -> Image.Image:
    """A sky, a hill, a sun and grain: soft, hard and fine at once."""
    sky = Image.linear_gradient("L").resize((width, height))
    picture = Image.merge(
        "RGB", (sky.point(lambda x: x // 2 + 60), sky.point(lambda x: x // 3 + 90), ImageOps.invert(sky))
    )
    pen = ImageDraw.Draw(picture)
    pen.polygon([(0, height), (width // 4, height // 2), (width, height)], fill=(40, 90, 30))
    pen.ellipse((width * 3 // 4, height // 8, width * 7 // 8, height // 4), fill=(255, 240, 180))
    return Image.blend(picture, Image.effect_noise((width, height), 60).convert("RGB"), 0.15)


PICTURES = {
    "wide": _scene(900, 600),
    "tall": _scene(400, 700),
    "tiny": quadrants(24, 16),
    "line": _scene(800, 30),
}


# Every source and every format of a variant; `make soak` combines all.
PAIRS = [
    (source, kind)
    for source in ("JPEG", "PNG", "WEBP", "TIFF")
    for kind in VariantFormat
    if is_soak() or source == "JPEG" or kind is VariantFormat.JPEG
]


def _recipe(kind: VariantFormat, quality: int) -> Recipe:
    specs = (VariantSpec(variant=one, max_edge_px=edge, quality=quality, format=kind) for one, edge in EDGES.items())
    return Recipe(variants=tuple(specs))


def _apart(original: bytes, variant: bytes) -> float:
    first, second = (small(one, background="#ffffff") for one in (original, variant))
    return difference(first, second)


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize(("source", "kind"), PAIRS)
def test_a_variant_matches_its_original(name: str, kind: VariantFormat, source: str) -> None:
    original = encoded(PICTURES[name], source)
    built = render(original, _recipe(kind, 80)).variants

    assert max(_apart(original, one.data) for one in built) < THRESHOLD * 2 / 3


def _jpeg(picture: Image.Image) -> bytes:
    out = BytesIO()
    picture.save(out, "JPEG", quality=80)
    return out.getvalue()


@pytest.mark.parametrize(
    "other",
    [
        ImageOps.flip(PICTURES["wide"]),
        PICTURES["wide"].rotate(180),
        PICTURES["wide"].rotate(90, expand=True),
        Image.new("RGB", (900, 600), "white"),
        Image.new("RGB", (900, 600), "black"),
        quadrants(900, 600),
        PICTURES["tall"],
    ],
    ids=["upside_down", "turned", "on_its_side", "white", "black", "another", "another_shape"],
)
def test_another_picture_exceeds_the_threshold(other: Image.Image) -> None:
    assert _apart(_jpeg(PICTURES["wide"]), _jpeg(other)) > THRESHOLD


def test_a_turned_original_is_compared_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    out = BytesIO()
    PICTURES["wide"].save(out, "JPEG", quality=90, exif=exif)
    built = render(out.getvalue(), _recipe(VariantFormat.JPEG, 80)).variants

    assert max(_apart(out.getvalue(), one.data) for one in built) < THRESHOLD
