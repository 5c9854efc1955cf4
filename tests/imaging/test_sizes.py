import struct
import zlib

import pytest
from PIL import Image, ImageStat

from imgctl.errors import ImageRejected
from imgctl.imaging.decoders.decode import Limits
from imgctl.imaging.probe import probe
from imgctl.imaging.render import configure, render
from imgctl.model import Recipe, Variant, VariantFormat, VariantSpec
from tests.imaging.pictures import FORMATS, encoded, opened, quadrants, recipe_of


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (3, 5), (10_000, 1), (1, 10_000), (319, 320), (5000, 17)])
@pytest.mark.parametrize("kind", VariantFormat)
def test_odd_sizes_are_kept_in_every_variant_format(kind: VariantFormat, size: tuple[int, int]) -> None:
    specs = tuple(
        VariantSpec(variant=variant, max_edge_px=edge, quality=80, format=kind)
        for variant, edge in ((Variant.THUMB, 320), (Variant.FULL, 2048))
    )

    rendered = render(encoded(Image.new("RGB", size, (10, 200, 90)), "PNG"), Recipe(variants=specs))

    assert (rendered.width, rendered.height) == size
    for one, edge in zip(rendered.variants, (320, 2048), strict=True):
        assert opened(one.data).size == (one.width, one.height)
        assert max(one.width, one.height) == min(edge, *[max(size)])
        assert min(one.width, one.height) >= 1


@pytest.mark.parametrize(("length", "across"), [(65_500, 3), (40_000, 7), (40_000, 20)])
@pytest.mark.parametrize("lying", [True, False])
def test_no_row_of_a_strip_is_lost(length: int, across: int, lying: bool) -> None:
    strip = Image.new("L", (length, across), 255)
    strip.paste(0, (0, across - across // 3, length, across))
    data = encoded(strip if lying else strip.transpose(Image.Transpose.ROTATE_90), "JPEG")

    rendered = render(data, recipe_of(edge=1024))

    assert rendered.damage is None
    mean = ImageStat.Stat(opened(rendered.variants[0].data).convert("L")).mean[0]
    assert mean == pytest.approx(255 * (1 - across // 3 / across), abs=6)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_small_picture_is_not_upscaled(kind: str) -> None:
    rendered = render(encoded(quadrants(400, 300), kind), Recipe())

    assert [(one.width, one.height) for one in rendered.variants] == [(320, 240), (400, 300), (400, 300)]


def test_variants_have_the_order_of_the_recipe_at_any_size() -> None:
    specs = (
        VariantSpec(variant=Variant.FULL, max_edge_px=64, quality=80),
        VariantSpec(variant=Variant.THUMB, max_edge_px=90, quality=80, format=VariantFormat.WEBP),
        VariantSpec(variant=Variant.MEDIUM, max_edge_px=64, quality=20),
    )

    rendered = render(encoded(quadrants(), "JPEG"), Recipe(variants=specs))

    assert [one.variant for one in rendered.variants] == [spec.variant for spec in specs]
    assert [one.width for one in rendered.variants] == [64, 90, 64]


@pytest.mark.parametrize("kind", VariantFormat)
def test_a_variant_has_its_format_and_content_type(kind: VariantFormat) -> None:
    (one,) = render(encoded(quadrants(), "PNG"), recipe_of(kind)).variants

    assert opened(one.data).format == kind.value.upper()
    assert (one.content_type, one.extension) == (kind.content_type, kind.extension)


def test_shrinking_on_load_keeps_the_exact_size() -> None:
    rendered = render(encoded(quadrants(4001, 2999), "JPEG", quality=60), recipe_of(edge=333))

    assert (rendered.width, rendered.height) == (4001, 2999)
    assert (rendered.variants[0].width, rendered.variants[0].height) == (333, 250)


@pytest.mark.parametrize("kind", FORMATS)
def test_too_many_pixels_are_refused(kind: str) -> None:
    with pytest.raises(ImageRejected, match="megapixels"):
        render(encoded(quadrants(), kind), Recipe(), limits=Limits(max_pixels=96 * 64 - 1))

    assert render(encoded(quadrants(), kind), Recipe(), limits=Limits(max_pixels=96 * 64)).width == 96


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header announces more pixels than its data contains."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_a_decompression_bomb_is_refused_by_its_header_and_still_probed() -> None:
    data = bomb(60_000, 60_000)

    assert probe(data).width == 60_000
    with pytest.raises(ImageRejected, match="3,600 megapixels"):
        render(data, Recipe())


def test_a_configured_process_renders_the_same() -> None:
    data = encoded(quadrants(700, 500), "JPEG")
    before = render(data, Recipe())

    configure()

    assert render(data, Recipe()) == before
