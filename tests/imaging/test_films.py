"""A film's poster: the first frame that is not black, upright, in its colours; and the container's metadata."""

import io
import struct
from datetime import UTC, datetime

import pytest
from PIL import Image

from imgctl.errors import ImageRejected, ImgctlError, StoreUnavailable
from imgctl.imaging.decoders.decode import Limits
from imgctl.imaging.formats import KNOWN, Format
from imgctl.imaging.probe import read_header
from imgctl.imaging.probe import recognise as recognised
from imgctl.imaging.recognise import sniff
from imgctl.imaging.render import Rendered, render
from imgctl.imaging.source import Source, in_memory
from imgctl.model import Recipe
from imgctl.ops.ingest.describe import TakenFrom, describe
from tests.imaging.films import (
    BOTTOM,
    HEIGHT,
    KEPT,
    LEFT_TOP,
    RIGHT_TOP,
    WIDTH,
    Kept,
    box,
    film,
    in_moov,
    made_at,
    of_format,
    turned,
    with_keys,
)

# Encoders store colour at half the resolution, with some loss.
TOLERANCE = 12
COLOURS = {"left top": LEFT_TOP, "right top": RIGHT_TOP, "bottom": BOTTOM}


def poster(rendered: Rendered) -> Image.Image:
    return Image.open(io.BytesIO(rendered.variants[-1].data))


def near(seen: object, colour: tuple[int, int, int]) -> bool:
    assert isinstance(seen, tuple)
    return all(abs(one - other) <= TOLERANCE for one, other in zip(seen, colour, strict=True))


@pytest.mark.parametrize("known", KEPT)
@pytest.mark.parametrize("black", [0, 4])
def test_the_poster_is_the_first_frame_that_is_not_black(known: Format, black: int) -> None:
    data = of_format(known, black=black)

    image = poster(rendered := render(data, Recipe()))
    assert sniff(data) is known
    assert (rendered.width, rendered.height, rendered.damage) == (WIDTH, HEIGHT, None)
    assert image.size == (WIDTH, HEIGHT)
    assert near(image.getpixel((8, 8)), LEFT_TOP)
    assert near(image.getpixel((WIDTH - 8, 8)), RIGHT_TOP)
    assert near(image.getpixel((WIDTH // 2, HEIGHT - 8)), BOTTOM)


def test_a_black_film_has_a_black_poster() -> None:
    rendered = render(film(KEPT[Format.MP4], black=10), Recipe())

    assert poster(rendered).convert("L").getextrema()[1] < 16  # type: ignore[operator]


# The four numbers of the turn, its EXIF value, and the colours then visible at the top left and the bottom right.
@pytest.mark.parametrize(
    ("matrix", "left_top", "right_bottom"),
    [
        ((1, 0, 0, 1), "left top", "bottom"),
        ((-1, 0, 0, 1), "right top", "bottom"),
        ((-1, 0, 0, -1), "bottom", "left top"),
        ((1, 0, 0, -1), "bottom", "right top"),
        ((0, 1, 1, 0), "left top", "bottom"),
        ((0, 1, -1, 0), "bottom", "right top"),
        ((0, -1, -1, 0), "bottom", "left top"),
        ((0, -1, 1, 0), "right top", "bottom"),
    ],
)
@pytest.mark.parametrize("known", [Format.MP4, Format.MOV])
def test_the_display_matrix_turns_the_poster(
    known: Format, matrix: tuple[int, int, int, int], left_top: str, right_bottom: str
) -> None:
    data = turned(of_format(known), *matrix)

    image = poster(rendered := render(data, Recipe()))
    size = (HEIGHT, WIDTH) if matrix[1] else (WIDTH, HEIGHT)
    assert (rendered.width, rendered.height) == image.size == size
    assert recognised(data).size == size
    assert near(image.getpixel((4, 4)), COLOURS[left_top])
    assert near(image.getpixel((size[0] - 5, size[1] - 5)), COLOURS[right_bottom])


def test_films_of_ten_bits_are_rendered_in_the_same_colours() -> None:
    image = poster(render(film(Kept("mov", "prores_ks", "yuv422p10le")), Recipe()))

    assert near(image.getpixel((8, 8)), LEFT_TOP)
    assert near(image.getpixel((WIDTH // 2, HEIGHT - 8)), BOTTOM)


def test_high_definition_without_a_matrix_is_read_as_bt_709() -> None:
    # The test's writer converts by BT.601, because no matrix is declared.
    image = poster(render(film(KEPT[Format.MP4], frames=1, size=(1280, 720)), Recipe()))

    # Red by BT.601 is less red by BT.709 (H.273, table 4: the luma's share of red is 0.299 and 0.2126).
    luma = 0.299 * LEFT_TOP[0] + 0.587 * LEFT_TOP[1] + 0.114 * LEFT_TOP[2]
    red = luma + (LEFT_TOP[0] - luma) * (1 - 0.2126) / (1 - 0.299)
    seen = image.getpixel((8, 8))
    assert isinstance(seen, tuple)
    assert abs(seen[0] - red) <= TOLERANCE
    assert seen[0] > LEFT_TOP[0] + 5


@pytest.mark.parametrize("known", [one for one in KEPT if one is not Format.MTS])
def test_the_size_is_read_from_the_header(known: Format) -> None:
    assert recognised(of_format(known)).size == (WIDTH, HEIGHT)


SECONDS = (datetime(2019, 5, 4, 10, 30, tzinfo=UTC) - datetime(1904, 1, 1, tzinfo=UTC)).total_seconds()


def described(data: bytes, kind: Format) -> tuple[datetime | None, TakenFrom | None, str | None]:
    found = describe(read_header(in_memory(data), kind), path="")
    return found.taken_at, found.taken_from, found.caption


def test_the_quicktime_metadata_date_overrides_the_header_date() -> None:
    plain = made_at(of_format(Format.MOV), int(SECONDS))
    apple = with_keys(plain, creationdate="2019-05-04T12:30:07+0200", description="By the sea")

    assert described(of_format(Format.MOV), Format.MOV) == (None, None, None)
    assert described(plain, Format.MOV) == (datetime(2019, 5, 4, 10, 30, tzinfo=UTC), TakenFrom.CONTAINER_CREATED, None)
    assert described(apple, Format.MOV) == (
        datetime(2019, 5, 4, 10, 30, 7, tzinfo=UTC),
        TakenFrom.CONTAINER,
        "By the sea",
    )


def test_user_data_of_older_cameras_is_read() -> None:
    day = box(b"\xa9day", struct.pack(">HH", 24, 0), b"2008-07-01T09:08:07+0100")
    packet = b'<x xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    packet += b"<r:Description><dc:description>A pier</dc:description></r:Description></x>"
    data = in_moov(of_format(Format.MP4), box(b"udta", day, box(b"XMP_", packet)))

    assert described(data, Format.MP4) == (datetime(2008, 7, 1, 8, 8, 7, tzinfo=UTC), TakenFrom.CONTAINER, "A pier")


def test_the_film_of_a_live_photo_has_the_identifier_of_its_picture() -> None:
    data = with_keys(of_format(Format.MOV), content_identifier="1B1B9E7C-0000-4F6C-A1D2-3DAB7A10C43F")

    assert recognised(data).content_identifier == "1B1B9E7C-0000-4F6C-A1D2-3DAB7A10C43F"


@pytest.mark.parametrize(
    "text", [b"Sun May 04 10:30:00 2008\n\0", b"2008/05/04 10:30:00", b"2008-05-04T10:30:00", b"2008/05/04/ 10:30"]
)
def test_the_date_of_an_avi_is_read_in_the_formats_that_cameras_write(text: bytes) -> None:
    data = of_format(Format.AVI)
    at = data.index(b"LIST") + 12
    chunk = b"IDIT" + struct.pack("<I", len(text)) + text + b"\0" * (len(text) % 2)

    found = described(data[:at] + chunk + data[at:], Format.AVI)

    assert found[:2] == (datetime(2008, 5, 4, 10, 30, tzinfo=UTC), TakenFrom.CONTAINER)


def test_the_date_of_a_matroska_film_is_read() -> None:
    since_2001 = int((datetime(2021, 3, 1, 12, tzinfo=UTC) - datetime(2001, 1, 1, tzinfo=UTC)).total_seconds()) * 10**9
    data = of_format(Format.MKV)
    at = data.rindex(bytes.fromhex("1549a966")) + 4
    wide = 9 - data[at].bit_length()
    date = b"\x44\x61\x88" + struct.pack(">q", since_2001)
    size = (int.from_bytes(data[at : at + wide]) & ((1 << 7 * wide) - 1)) + len(date)
    info = (size | 1 << 56).to_bytes(8)

    found = described(data[:at] + info + date + data[at + wide :], Format.MKV)

    assert found[:2] == (datetime(2021, 3, 1, 12, tzinfo=UTC), TakenFrom.CONTAINER_CREATED)


def test_the_date_of_a_camcorder_film_is_read_with_its_zone() -> None:
    # 2012-08-14 18:05:09, two hours east.
    block = bytes.fromhex("17ee8c60f84d11d98cd60800200c9a66") + b"MDPM\x02" + bytes.fromhex("1804201208 1914180509")
    packet = b"G\x40\x11\x10" + block.ljust(184, b"\xff")

    assert described(packet * 4, Format.MTS)[:2] == (datetime(2012, 8, 14, 16, 5, 9, tzinfo=UTC), TakenFrom.CONTAINER)


@pytest.mark.parametrize("known", KEPT)
def test_a_truncated_film_gives_a_poster_or_a_plain_error(known: Format) -> None:
    data = of_format(known)
    for share in (0.05, 0.3, 0.6, 0.9):
        cut = data[: int(len(data) * share)]
        if sniff(cut) is None:
            continue
        try:
            assert len(render(cut, Recipe()).variants) == 3
        except ImgctlError as error:
            assert len(error.line.split()) > 3


def test_a_film_of_sound_alone_is_rejected() -> None:
    import av

    out = io.BytesIO()
    with av.open(out, "w", format="mov") as container:
        stream = container.add_stream("pcm_s16le", rate=44100, layout="mono")
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame(format="s16", layout="mono", samples=1024)
        frame.sample_rate = 44100
        container.mux([*stream.encode(frame), *stream.encode(None)])

    with pytest.raises(ImageRejected, match="no pictures"):
        render(out.getvalue(), Recipe())


def test_a_film_of_too_many_pixels_is_refused_by_its_header() -> None:
    data = of_format(Format.MP4)

    with pytest.raises(ImageRejected, match="megapixels"):
        render(data, Recipe(), limits=Limits(max_pixels=1000))
    with pytest.raises(ImageRejected, match="memory"):
        render(data, Recipe(), limits=Limits(memory_bytes=256 * 2**20))


def test_files_that_a_film_references_are_not_opened() -> None:
    # QuickTime's alias of another file, instead of "the data is in this file".
    data = of_format(Format.MOV)
    url = box(b"url ", struct.pack(">I", 1))
    at = data.index(url)
    outside = b"file:///etc/passwd"
    other = data[:at] + struct.pack(">I4sI", len(url), b"url ", 0) + data[at + len(url) :]

    for changed in (other, data[:at] + box(b"url ", bytes(4), outside) + data[at + len(url) :]):
        try:
            render(changed, Recipe())
        except ImgctlError as error:
            assert "passwd" not in error.line


def test_store_errors_while_a_film_is_read_are_raised() -> None:
    for known in (Format.MP4, Format.AVI, Format.MTS, Format.WEBM):
        data = film(KEPT[known], frames=3, size=(640, 480))

        def fetch(_at: int, _length: int) -> bytes:
            raise StoreUnavailable("the store does not answer")

        for whole in (0.02, 0.5):
            with pytest.raises(StoreUnavailable):
                render(Source(len(data), head=data[: int(len(data) * whole)], fetch=fetch, step=100), Recipe())


def test_a_film_in_a_store_is_read_piece_by_piece() -> None:
    data = film(KEPT[Format.AVI], frames=150, size=(640, 480))
    pieces: list[int] = []

    def fetch(at: int, length: int) -> bytes:
        pieces.append(length)
        return data[at : at + length]

    rendered = render(Source(len(data), head=data[:64], fetch=fetch, remote=True, step=512), Recipe())

    assert near(poster(rendered).getpixel((8, 8)), LEFT_TOP)
    assert sum(pieces) < len(data)


def test_films_need_their_extra() -> None:
    assert {row.extra for row in KNOWN.values() if row.kind == "film" and row.supported} == {"video"}
    assert {row.format for row in KNOWN.values() if row.kind == "film" and row.supported} == KEPT.keys()
