"""The shared folder of files that break image tools: each one renders or raises ImgctlError, and none hangs."""

from pathlib import Path

import pytest

from imgctl.errors import ImageRejected
from imgctl.imaging.probe import probe
from imgctl.imaging.render import render
from imgctl.model import Recipe
from tests.imaging.pictures import opened

ODD = Path(__file__).parents[3] / "shared" / "photos" / "odd"
FILES = sorted(path.name for path in ODD.iterdir() if path.name != "LICENSE") if ODD.is_dir() else []
REJECTED = {"broken.png", "decompression_bomb.gif"}
DAMAGED = {"broken_data_stream.png", "hopper_bad_exif.jpg", "truncated_image.png", "truncated_jpeg.jpg"}

pytestmark = pytest.mark.skipif(not FILES, reason="the shared photos are not here")


@pytest.mark.parametrize("name", [name for name in FILES if name not in REJECTED])
def test_an_odd_photo_renders(name: str) -> None:
    data = (ODD / name).read_bytes()

    rendered = render(data, Recipe())

    assert (rendered.width, rendered.height) == (probe(data).width, probe(data).height)
    assert (rendered.damage is not None) == (name in DAMAGED)
    for one in rendered.variants:
        assert opened(one.data).size == (one.width, one.height)


@pytest.mark.parametrize("name", sorted(REJECTED))
def test_a_file_beyond_repair_is_accepted_by_probe_and_rejected_by_render(name: str) -> None:
    data = (ODD / name).read_bytes()

    assert probe(data).format in {"png", "gif"}
    with pytest.raises(ImageRejected):
        render(data, Recipe())
