"""Shared inputs whose metadata was once misread, if they are beside the checkout; other tests cover each kind."""

from pathlib import Path

import pytest

from imgctl.imaging.probe import recognise
from imgctl.imaging.render import render
from imgctl.ops.ingest.describe import Description, describe
from imgctl.ops.ingest.photo_sidecars import PhotoSidecars
from imgctl.ops.ingest.sidecar import SidecarFiles
from tests.imaging.pictures import FINE

INPUTS = Path(__file__).parents[4] / "shared" / "faults" / "inputs"
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".heic", ".avif", ".tif")

pytestmark = pytest.mark.skipif(not INPUTS.is_dir(), reason="the shared inputs are not here")


def pictures(*folders: str) -> list[Path]:
    found = (path for folder in folders for path in (INPUTS / folder).glob("*"))
    return sorted(path for path in found if path.suffix.lower() in PICTURES)


def description_of(path: Path) -> Description:
    return describe(recognise(path.read_bytes()), path=str(path), beside=PhotoSidecars(SidecarFiles(), str(path)))


@pytest.mark.parametrize("path", pictures("xmp", "capitals", "takeout"), ids=lambda path: path.name)
def test_both_caption_and_time_are_read(path: Path) -> None:
    found = description_of(path)

    assert found.caption in ("Harbour at dawn", "From the ferry")
    assert found.taken_at is not None


@pytest.mark.parametrize("path", pictures("caption"), ids=lambda path: path.name)
def test_the_caption_is_read(path: Path) -> None:
    assert description_of(path).caption == "Grandmother's garden"


@pytest.mark.parametrize("path", pictures("dates"), ids=lambda path: path.name)
def test_a_date_is_read_unless_it_is_impossible(path: Path) -> None:
    assert (description_of(path).taken_at is None) is (path.stem in ("year-one", "zeros"))


@pytest.mark.parametrize("path", pictures("turn"), ids=lambda path: path.name)
def test_a_picture_is_turned_for_its_size_and_its_variants_alike(path: Path) -> None:
    data = path.read_bytes()
    rendered = render(data, FINE)

    # An orientation in XMP is ignored.
    seen = (360, 240) if path.stem == "xmp6" else (240, 360)
    assert recognise(data).size == (rendered.width, rendered.height) == seen
