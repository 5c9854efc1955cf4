"""The estimated memory of a decode suffices for it, and a picture that cannot fit is rejected by its header."""

import io
import random
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from imgctl.errors import ImageRejected
from imgctl.imaging.decoders.decode import RESERVED_BYTES, Limits, libvips_bytes, pillow_bytes
from imgctl.imaging.decoders.raw import FULL_BYTES, HALF_BYTES
from imgctl.imaging.formats import Format
from imgctl.imaging.recognise import sniff
from imgctl.imaging.render import render, time_allowed
from imgctl.imaging.vips import pyvips
from imgctl.model import Recipe
from tests.imaging.grids import TILE, heic_grid, jp2_tiled, tiff_luma_and_chroma
from tests.imaging.pictures import FAST_HEIF, encoded, middles, opened, recipe_of, worst
from tests.imaging.raws import dng
from tests.imaging.stills import pam_header

EDGE = 2500
PLUGIN_ONLY = {Format.JXL, Format.TGA, Format.SGI, Format.PCX, Format.PNM, Format.DDS}
PIXELS = EDGE * EDGE
SLACK_BYTES = 64 * 2**20
# Above the hundred megapixels of Pillow's former limit, and a whole number of tiles.
HUGE = (20 * TILE, 20 * TILE)
RED, TEAL = (200, 30, 30), (0, 128, 128)
RENDERS_WITHIN = """
import mmap, sys
from pathlib import Path
from imgctl.imaging.render import configure, render
from imgctl.model import Recipe
from imgctl.run.limits import limit_memory
configure()
small, large, room = sys.argv[1:]
# What is imported for the first picture is no part of the second.
render(Path(small).read_bytes(), Recipe())
with open(large, "rb") as file:
    data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
status = Path("/proc/self/status").read_text().split()
limit_memory(int(status[status.index("VmData:") + 1]) * 1024 + int(room))
rendered = render(data, Recipe())
assert rendered.damage is None, rendered.damage
print(rendered.width, rendered.height)
"""


def assert_renders_within(size: int, small: Path, large: Path, *, edge: int) -> None:
    """Assert that `large`, a square of `edge`, renders in as many bytes, after `small` has loaded the libraries."""
    done = subprocess.run(
        [sys.executable, "-c", RENDERS_WITHIN, small, large, str(size + SLACK_BYTES)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )

    assert done.stdout.split() == [str(edge)] * 2, done.stderr


def rgb(edge: int) -> Image.Image:
    return Image.merge("RGB", [Image.radial_gradient("L").resize((edge, edge)).rotate(90 * turn) for turn in range(3)])


def interlaced(image: Image.Image) -> bytes:
    vips = pyvips.Image.new_from_memory(image.tobytes(), image.width, image.height, 3, "uchar")
    return bytes(vips.copy(interpretation="srgb").pngsave_buffer(interlace=True, compression=1))


def psd(image: Image.Image) -> bytes:
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, image.height, image.width, 8, 3) + bytes(12) + b"\0\0"
    return header + b"".join(band.tobytes() for band in image.split())


def saved(kind: str, mode: str = "RGB", **options: object) -> Callable[[Image.Image], bytes]:
    def save(image: Image.Image) -> bytes:
        out = io.BytesIO()
        image.convert(mode).save(out, kind, **options)
        return out.getvalue()

    return save


def in_tiles(image: Image.Image) -> bytes:
    places = [(x, y) for y in range(0, image.height, TILE) for x in range(0, image.width, TILE)]
    return heic_grid(*image.size, [image.crop((x, y, x + TILE, y + TILE)) for x, y in places])


WRITERS: dict[str, Callable[[Image.Image], bytes]] = {
    "jpeg": saved("JPEG"),
    "jpeg progressive": saved("JPEG", progressive=True, subsampling=0),
    "jpeg cmyk": saved("JPEG", "CMYK"),
    "png": saved("PNG", compress_level=1),
    "png alpha": saved("PNG", "RGBA", compress_level=1),
    "png interlaced": interlaced,
    "gif": saved("GIF", "P"),
    "webp": saved("WEBP", quality=40, method=0),
    "webp lossless": saved("WEBP", "RGBA", lossless=True, method=0, quality=0),
    "tiff": saved("TIFF"),
    "tiff luma and chroma": saved("TIFF", "YCbCr", compression="tiff_lzw"),
    "bmp": saved("BMP"),
    "jp2": saved("JPEG2000", quality_mode="rates", quality_layers=[80]),
    "psd": psd,
    "jxl": saved("JXL", lossless=True, effort=1),
    "jxl alpha": saved("JXL", "RGBA", effort=1),
    "tga": saved("TGA", "RGBA"),
    "sgi": saved("SGI"),
    "pcx": saved("PCX"),
    "ppm": saved("PPM"),
    "pam": lambda image: pam_header(image, 3, 255, b"RGB") + image.tobytes(),
    "dds": saved("DDS", "RGBA"),
    "heic": saved("HEIF", quality=20, enc_params=FAST_HEIF),
    "heic alpha": saved("HEIF", "RGBA", quality=20, enc_params=FAST_HEIF),
    "heic grid": in_tiles,
    "avif": saved("AVIF", quality=20, speed=10),
    "avif grey": saved("AVIF", "L", quality=20, speed=10),
}


@pytest.mark.skipif(sys.platform != "linux", reason="the limit and what is held are Linux's")
@pytest.mark.parametrize("name", WRITERS)
def test_a_decode_fits_in_its_estimated_memory(name: str, tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(WRITERS[name](rgb(64)))
    large.write_bytes(WRITERS[name](rgb(EDGE)))
    kind = sniff(large.read_bytes())
    assert kind is not None
    by_pillow = (kind in PLUGIN_ONLY and name != "pam") or name in {
        "tiff luma and chroma",
        "bmp",
        "jp2",
        "psd",
        "heic",
        "heic alpha",
        "heic grid",
        "avif grey",
    }
    estimate = (
        pillow_bytes(kind, PIXELS, copied_bytes=large.stat().st_size)
        if by_pillow
        else libvips_bytes(kind, PIXELS, interlaced="progressive" in name or "interlaced" in name)
    )

    assert_renders_within(estimate, small, large, edge=EDGE)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit and what is held are Linux's")
@pytest.mark.parametrize(
    ("edge", "colours", "each"), [(EDGE, 1, FULL_BYTES), (4100, 1, HALF_BYTES), (4100, 3, FULL_BYTES)]
)
def test_developing_a_raw_fits_in_its_estimated_memory(edge: int, colours: int, each: int, tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(dng(colours=colours))
    pixels = random.Random(edge).randbytes(2 * colours * edge * edge)
    large.write_bytes(dng(colours=colours, size=(edge, edge), pixels=pixels))
    estimate = edge * edge * each + large.stat().st_size

    assert_renders_within(estimate, small, large, edge=edge)


@pytest.mark.parametrize("kind", ["HEIF", "AVIF", "WEBP", "GIF", "BMP", "JPEG2000"])
def test_a_picture_larger_than_the_memory_is_refused_by_its_header(kind: str) -> None:
    data = encoded(Image.new("RGB", (640, 480), "teal"), kind)

    with pytest.raises(ImageRejected, match=r"takes about .* of memory") as caught:
        render(data, Recipe(), limits=Limits(memory_bytes=RESERVED_BYTES + 2**20))

    assert caught.value.hint is not None and "[work] memory" in caught.value.hint
    assert render(data, Recipe(), limits=Limits(memory_bytes=RESERVED_BYTES + 2**24)).damage is None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_a_streamed_format_is_never_refused_for_memory(kind: str) -> None:
    data = encoded(Image.new("RGB", (640, 480), "teal"), kind)

    assert render(data, Recipe(), limits=Limits(memory_bytes=1)).damage is None


def test_a_damaged_picture_too_large_for_pillow_is_still_rendered() -> None:
    data = encoded(rgb(400), "TIFF")

    rendered = render(data[: len(data) * 3 // 4], Recipe(), limits=Limits(memory_bytes=1))

    assert rendered.damage is not None and "cut off" in rendered.damage


def striped() -> Image.Image:
    picture = Image.new("RGB", HUGE, TEAL)
    picture.paste(RED, (0, 0, HUGE[0], TILE))
    return picture


HUGE_WRITERS: dict[str, Callable[[], bytes]] = {
    "bmp": lambda: saved("BMP")(striped()),
    "psd": lambda: psd(striped()),
    "jp2": lambda: jp2_tiled(*HUGE, (RED, TEAL)),
    "tiff luma and chroma": lambda: tiff_luma_and_chroma(*HUGE, (RED, TEAL)),
    "heic": lambda: heic_grid(*HUGE, [Image.new("RGB", (TILE, TILE), one) for one in (RED, TEAL)]),
}


@pytest.mark.parametrize("name", HUGE_WRITERS)
def test_the_pixel_limit_applies_to_both_decoders(name: str) -> None:
    data = HUGE_WRITERS[name]()

    rendered = render(data, recipe_of(edge=4 * HUGE[0] // TILE))

    assert (rendered.width, rendered.height, rendered.damage) == (*HUGE, None)
    shown = opened(rendered.variants[0].data)
    corners = [shown.crop((0, 0, 2, 2)), shown.crop((shown.width - 2, shown.height - 2, *shown.size))]
    assert worst([middles(one, 1)[0] for one in corners], [RED, TEAL]) <= 40
    with pytest.raises(ImageRejected, match="megapixels") as caught:
        render(data, recipe_of(edge=64), limits=Limits(max_pixels=100_000_000))
    assert caught.value.hint == "raise [work] max_pixels"


def test_the_time_limit_grows_with_the_pixels_of_a_huge_picture() -> None:
    huge = heic_grid(40 * TILE, 40 * TILE, [Image.new("RGB", (TILE, TILE), TEAL)])
    pixels = (40 * TILE) ** 2

    assert time_allowed(huge, 60.0) == pytest.approx(60 * pixels / 100_000_000)
    assert time_allowed(huge, 60.0, Limits(max_pixels=200_000_000)) == 120
    assert time_allowed(encoded(rgb(64), "JPEG"), 60.0) == 60
    assert time_allowed(b"no picture", 60.0) == 60
