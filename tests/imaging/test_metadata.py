import io

import pytest
from PIL import ExifTags, Image

from bench.exif_block import ExifBlock, ifd_entry
from imgctl.imaging.render import render
from imgctl.model import Recipe, Variant, VariantFormat, VariantSpec
from tests.imaging.pictures import ADOBE_RGB, encoded, opened, quadrants, rgb_profile

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><secret/></x:xmpmeta>'
ARTIST, COPYRIGHT = 0x013B, 0x8298
SECRETS = (
    b"GPS",
    b"SecretCam",
    b"xmpmeta",
    b"secret",
    b"ICC_PROFILE",
    b"acsp",
    b"hidden remark",
    b"JFXX",
    b"Photoshop",
)


def laden(kind: str) -> bytes:
    thumbnail = encoded(quadrants(40, 30), "JPEG")
    block = ExifBlock(
        primary=(
            ifd_entry(0x010F, b"SecretCam\0"),
            ifd_entry(ARTIST, b"Ann Example\0"),
            ifd_entry(COPYRIGHT, b"(c) 2021 Ann\0"),
        ),
        exif=(ifd_entry(0x9003, b"2021:05:01 10:00:00\0"),),
        gps=(ifd_entry(1, b"N\0"), ifd_entry(2, (52, 31, 12))),
        thumbnail=thumbnail if kind == "JPEG" else b"",
    )
    options: dict[str, object] = {"exif": block.payload() if kind == "JPEG" else block.tiff()}
    options |= {"xmp": XMP, "icc_profile": rgb_profile(ADOBE_RGB, 2.2)} if kind in {"JPEG", "WEBP"} else {}
    options |= {"comment": b"hidden remark"} if kind == "JPEG" else {}
    return encoded(quadrants(640, 480), kind, **options)


def recipe(kind: VariantFormat, *keep: str) -> Recipe:
    specs = (
        VariantSpec(variant=Variant.FULL, max_edge_px=2048, quality=85, format=kind),
        VariantSpec(variant=Variant.THUMB, max_edge_px=320, quality=80, format=kind),
    )
    return Recipe(variants=specs, keep=keep)


def tags(image: Image.Image) -> dict[int, object]:
    exif = image.getexif()
    inner = [exif.get_ifd(place) for place in (ExifTags.IFD.GPSInfo, ExifTags.IFD.IFD1)]
    return {**exif, **inner[0], **inner[1]}


@pytest.mark.parametrize("out", VariantFormat)
@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG", "HEIF"])
def test_a_variant_carries_no_metadata(kind: str, out: VariantFormat) -> None:
    for one in render(laden(kind), recipe(out)).variants:
        image = opened(one.data)

        assert tags(image) == {}
        assert not {"exif", "xmp", "icc_profile", "comment", "photoshop"}.intersection(image.info)
        assert not any(secret in one.data for secret in SECRETS)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG", "HEIF"])
def test_a_kept_copyright_is_the_only_metadata(kind: str) -> None:
    for one in render(laden(kind), recipe(VariantFormat.JPEG, "copyright")).variants:
        assert tags(opened(one.data)) == {ARTIST: "Ann Example", COPYRIGHT: "(c) 2021 Ann"}
        assert not any(secret in one.data for secret in SECRETS)


@pytest.mark.parametrize("out", [VariantFormat.WEBP, VariantFormat.AVIF])
def test_a_copyright_is_kept_in_other_formats(out: VariantFormat) -> None:
    for one in render(laden("JPEG"), recipe(out, "copyright")).variants:
        found = tags(opened(one.data))

        assert (found[ARTIST], found[COPYRIGHT]) == ("Ann Example", "(c) 2021 Ann")
        assert not any(secret in one.data for secret in SECRETS)


def test_a_tiff_keeps_its_copyright() -> None:
    out = io.BytesIO()
    exif = Image.Exif()
    exif[COPYRIGHT] = "(c) 2021 Ann"
    quadrants().save(out, "TIFF", exif=exif)

    (one, _) = render(out.getvalue(), recipe(VariantFormat.JPEG, "copyright")).variants

    assert tags(opened(one.data)) == {COPYRIGHT: "(c) 2021 Ann"}


def test_keeping_a_missing_copyright_adds_no_metadata() -> None:
    data = encoded(quadrants(), "JPEG")

    assert render(data, recipe(VariantFormat.JPEG, "copyright")) == render(data, recipe(VariantFormat.JPEG))
