import subprocess
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.exif_block import ExifBlock, ifd_entry
from bench.photos import photo
from imgctl.errors import FormatUnsupported, NotAnImage
from imgctl.imaging.probe import Probe, probe, recognise
from tests.imaging.pictures import FORMATS, encoded, quadrants

NAMES = {
    "JPEG": ("jpeg", "image/jpeg", "jpg"),
    "PNG": ("png", "image/png", "png"),
    "WEBP": ("webp", "image/webp", "webp"),
    "TIFF": ("tiff", "image/tiff", "tif"),
    "HEIF": ("heic", "image/heic", "heic"),
    "AVIF": ("avif", "image/avif", "avif"),
    "GIF": ("gif", "image/gif", "gif"),
    "BMP": ("bmp", "image/bmp", "bmp"),
}


def dated(when: bytes, offset: bytes = b"") -> bytes:
    offsets = (ifd_entry(0x9011, offset + b"\0"),) if offset else ()
    block = ExifBlock(exif=(ifd_entry(0x9003, when + b"\0"), *offsets))
    return encoded(quadrants(), "JPEG", exif=block.payload())


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_recognised_by_content(kind: str) -> None:
    found = probe(encoded(quadrants(), kind))

    assert (found.format, found.content_type, found.extension) == NAMES[kind]
    assert (found.width, found.height) == (96, 64)


@pytest.mark.parametrize(
    ("when", "offset", "utc"),
    [
        (b"2021:05:01 10:00:00", b"", datetime(2021, 5, 1, 10, tzinfo=UTC)),
        (b"2021:05:01 10:00:00", b"+02:00", datetime(2021, 5, 1, 8, tzinfo=UTC)),
        (b"2021:01:01 00:30:00", b"-03:30", datetime(2021, 1, 1, 4, tzinfo=UTC)),
        (b"2021:05:01 10:00:00", b"noon", datetime(2021, 5, 1, 10, tzinfo=UTC)),
        (b"0000:00:00 00:00:00", b"", None),
        (b"2021:13:01 10:00:00", b"", None),
        (b"0001:01:01 00:00:00", b"+12:00", None),
        (b"    :  :     :  :  ", b"", None),
        (b"yesterday", b"", None),
        (b"\xff" * 19, b"", None),
    ],
)
def test_the_capture_time_is_utc_or_unknown(when: bytes, offset: bytes, utc: datetime | None) -> None:
    assert recognise(dated(when, offset)).exif.taken_at == utc


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "HEIF", "AVIF"])
def test_the_capture_time_of_other_formats_is_read(kind: str) -> None:
    block = ExifBlock(exif=(ifd_entry(0x9003, b"2021:05:01 10:00:00\0"),))

    assert recognise(encoded(quadrants(), kind, exif=block.tiff())).exif.taken_at == datetime(
        2021, 5, 1, 10, tzinfo=UTC
    )


def test_a_jpeg_is_recognised_by_its_header_alone() -> None:
    data = photo("small", 7)
    header = data[: data.index(b"\xff\xc0") + 20]

    assert probe(header) == probe(data)
    assert recognise(data).exif.taken_at is not None


@pytest.mark.parametrize("kind", FORMATS)
def test_probe_needs_no_image_library(kind: str) -> None:
    script = (
        "import sys; from imgctl.imaging.probe import probe;"
        "found = probe(sys.stdin.buffer.read()); assert found.width == 96, found;"
        "heavy = {'PIL', 'pyvips', 'pillow_heif', 'rawpy', 'numpy', 'av', 'pillow_jxl'};"
        "assert not {*heavy, 'imgctl.imaging.metadata.rare_formats'} & sys.modules.keys()"
    )
    data = encoded(quadrants(), kind)

    done = subprocess.run([sys.executable, "-c", script], input=data, capture_output=True, check=False)

    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "HEIF", "AVIF"])
def test_an_unreadable_header_behind_a_known_signature_is_still_a_picture(kind: str) -> None:
    found = probe(encoded(quadrants(), kind)[:14] + bytes(100))

    assert found.format == NAMES[kind][0]


@given(data=st.binary(max_size=400))
def test_arbitrary_bytes_are_probed_or_rejected(data: bytes) -> None:
    assert outcome(data)


@given(kind=st.sampled_from(FORMATS), tail=st.binary(max_size=300))
def test_arbitrary_bytes_behind_a_signature_are_probed_or_rejected(kind: str, tail: bytes) -> None:
    assert outcome(SAMPLES[kind][:16] + tail)


@given(st.data())
def test_mutated_pictures_are_probed_or_rejected(data: st.DataObject) -> None:
    copy = bytearray(SAMPLES[data.draw(st.sampled_from(FORMATS))])
    places = data.draw(st.lists(st.tuples(st.integers(0, len(copy) - 1), st.integers(0, 255)), max_size=8))
    for place, value in places:
        copy[place] = value

    assert outcome(bytes(copy[: data.draw(st.integers(0, len(copy)))]))


def outcome(data: bytes) -> bool:
    """Whether probe returned a result that fits the catalog, or raised its only error."""
    try:
        found = probe(data)
    except (FormatUnsupported, NotAnImage) as error:
        return bool(error.message)
    sizes = (found.width, found.height)
    return isinstance(found, Probe) and all(edge is None or 0 < edge < 1 << 31 for edge in sizes)


def _sample(kind: str) -> bytes:
    block = ExifBlock(
        primary=(ifd_entry(0x0112, 6),),
        exif=(ifd_entry(0x9003, b"2021:05:01 10:00:00\0"), ifd_entry(0x9011, b"+02:00\0")),
    )
    exif = {"exif": block.payload() if kind == "JPEG" else block.tiff()} if kind not in {"GIF", "BMP"} else {}
    return encoded(quadrants(24, 16), kind, **exif)


SAMPLES = {kind: _sample(kind) for kind in FORMATS}
