"""Pictures with a gain map: variants show their base picture, of standard range."""

import io

import pillow_heif
from PIL import Image

from imgctl.imaging.render import render
from tests.imaging.grids import heic_with_auxiliary
from tests.imaging.pictures import FINE, distance, encoded, full, quadrants

ULTRA_HDR = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"/></rdf:RDF></x:xmpmeta>'
)
APPLE = b"urn:com:apple:photo:2020:aux:hdrgainmap"
GAIN = Image.linear_gradient("L").resize((48, 32))


def test_ultra_hdr_is_rendered_from_its_base_picture() -> None:
    out = io.BytesIO()
    quadrants().save(out, "MPO", save_all=True, append_images=[GAIN.convert("RGB")], quality=98, subsampling=0)
    plain = out.getvalue()
    packet = b"http://ns.adobe.com/xap/1.0/\0" + ULTRA_HDR
    # As an Android phone writes it: the packet of the base picture announces a gain map.
    data = plain[:2] + b"\xff\xe1" + (len(packet) + 2).to_bytes(2) + packet + plain[2:]

    rendered = render(data, FINE)

    assert rendered.damage is None
    assert distance(full(rendered), quadrants()) < 2


def test_a_heic_with_several_pictures_is_rendered_from_the_primary_one() -> None:
    pillow_heif.register_heif_opener()
    data = encoded(quadrants(), "HEIF", save_all=True, append_images=[GAIN.convert("RGB")], primary_index=0)

    assert distance(full(render(data, FINE)), quadrants()) < 2


def test_a_picture_with_an_apple_gain_map_is_rendered_from_its_base() -> None:
    data = heic_with_auxiliary(quadrants(), GAIN.convert("RGB"), APPLE)

    # pillow_heif finds the map, so it is a valid one.
    assert APPLE.decode() in pillow_heif.open_heif(data).info["aux"]
    rendered = render(data, FINE)
    assert (rendered.width, rendered.height, rendered.damage) == (*quadrants().size, None)
    assert distance(full(rendered), quadrants()) < 2
