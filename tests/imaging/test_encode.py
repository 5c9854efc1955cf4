"""Pixels computed strip by strip equal those of libvips, and need no second thread."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgctl.imaging.encode import Raster, computed, encode
from imgctl.imaging.vips import pyvips
from imgctl.model import Variant, VariantSpec
from tests.imaging.pictures import encoded, opened, quadrants

SIDES = st.integers(1, 70)
RENDERS_ALONE = """
import os, sys
from imgctl.imaging.render import configure, render
from imgctl.model import Recipe
configure()
data = sys.stdin.buffer.read()
before = os.listdir("/proc/self/task")
render(data, Recipe())
print(len(os.listdir("/proc/self/task")) - len(before))
"""


@given(width=SIDES, height=SIDES, edge=SIDES)
def test_strips_have_the_pixels_of_the_whole_picture(width: int, height: int, edge: int) -> None:
    lazy = pyvips.Image.xyz(width, height).bandjoin(7).cast("uchar").resize(edge / max(width, height))

    raster = computed(lazy)

    assert (raster.width, raster.height) == (lazy.width, lazy.height)
    assert bytes(raster.data) == lazy.write_to_memory()
    assert bytes(raster.data) == raster.image.write_to_memory()


def test_a_truncated_picture_raises() -> None:
    whole = encoded(quadrants(640, 480), "JPEG")
    lazy = pyvips.Image.jpegload_buffer(whole[: len(whole) // 2], access="sequential", fail_on="warning")

    with pytest.raises(pyvips.Error):
        computed(lazy)


@pytest.mark.parametrize(("quality", "halves"), [(20, (2, 2)), (85, (2, 2)), (89, (2, 2)), (90, (1, 1)), (100, (1, 1))])
def test_a_jpeg_has_the_pixels_that_libvips_writes(quality: int, halves: tuple[int, int]) -> None:
    raster = _raster()
    spec = VariantSpec(variant=Variant.FULL, max_edge_px=2048, quality=quality)

    ours = encode(raster, spec)

    theirs = raster.image.jpegsave_buffer(Q=quality, keep="none")
    assert opened(ours).tobytes() == opened(theirs).tobytes()
    assert opened(ours).layer[0][1:3] == halves  # type: ignore[attr-defined]


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted where Linux lists them")
def test_a_jpeg_is_rendered_by_one_thread() -> None:
    done = subprocess.run(
        [sys.executable, "-c", RENDERS_ALONE],
        input=encoded(quadrants(3000, 2000), "JPEG"),
        capture_output=True,
        check=True,
        timeout=60,
    )

    assert int(done.stdout) == 0


def _raster() -> Raster:
    picture = quadrants(97, 61)
    return computed(pyvips.Image.pngload_buffer(encoded(picture, "PNG")))
