import io

import pillow_heif
import pytest
from PIL import Image

from imgctl.imaging.probe import probe
from imgctl.imaging.render import render
from tests.imaging.pictures import FINE, distance, encoded, full, quadrants

FIRST = quadrants()
SECOND = Image.new("RGB", FIRST.size, (0, 0, 0))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
def test_an_animation_shows_its_first_frame(kind: str) -> None:
    data = encoded(FIRST, kind, save_all=True, append_images=[SECOND, FIRST])

    assert (probe(data).width, probe(data).height) == FIRST.size
    assert distance(full(render(data, FINE)), FIRST) < 4


def test_a_multi_picture_jpeg_shows_its_primary_and_is_served_as_jpeg() -> None:
    data = encoded(FIRST, "MPO", save_all=True, append_images=[SECOND], quality=98)
    found = probe(data)

    assert (found.format, found.content_type, found.extension) == ("mpo", "image/jpeg", "jpg")
    assert distance(full(render(data, FINE)), FIRST) < 4


@pytest.mark.parametrize("primary", [0, 1])
def test_a_heic_shows_its_primary_image(primary: int) -> None:
    frames = [FIRST, SECOND] if primary == 0 else [SECOND, FIRST]
    out = io.BytesIO()
    container = pillow_heif.HeifFile()  # type: ignore[no-untyped-call]
    for frame in frames:
        container.add_from_pillow(frame)
    container.save(out, quality=-1, primary_index=primary)

    assert distance(full(render(out.getvalue(), FINE)), FIRST) < 4


def test_a_tiff_of_many_pages_shows_its_first() -> None:
    data = encoded(FIRST, "TIFF", save_all=True, append_images=[SECOND])

    assert distance(full(render(data, FINE)), FIRST) < 4
