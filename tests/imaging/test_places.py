"""Twelve formats, five places, four values: each is read from every place; impossible ones have a reason."""

import struct
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgctl.errors import NotAnImage
from imgctl.imaging.probe import Header, recognise
from imgctl.imaging.source import MOST_REMOTE, Source
from imgctl.ops.ingest.describe import describe
from imgctl.ops.ingest.photo_sidecars import PhotoSidecars
from imgctl.ops.ingest.sidecar import SidecarFiles
from tests.imaging.containers import (
    HEIGHT,
    WIDTH,
    Metadata,
    avif,
    big_tiff,
    bmp,
    gif,
    heic,
    heif,
    jp2,
    jpeg,
    mpo,
    png,
    psd,
    short_entry,
    text_entry,
    tiff_file,
    webp,
)
from tests.imaging.metadata import dataset, described, xmp_packet

FORMATS: dict[str, Callable[[Metadata], bytes]] = {
    "JPEG": jpeg,
    "MPO": mpo,
    "PNG": png,
    "GIF": gif,
    "WebP": webp,
    "TIFF": tiff_file,
    "BigTIFF": big_tiff,
    "HEIC": heic,
    "AVIF": avif,
    "BMP": bmp,
    "JPEG 2000": jp2,
    "PSD": psd,
}
PLACES = ("EXIF", "XMP", "IPTC", "the format itself", "beside")
FACTS = ("taken_at", "offset", "caption", "orientation")

XMP_TURNS = "browsers turn nothing by XMP"
IPTC_TURNS = "IPTC has no turn"
NOT_THERE = "the format has no place for it"
CANNOT: dict[tuple[str, str, str], str] = {
    **{(kind, "XMP", "orientation"): XMP_TURNS for kind in FORMATS},
    **{(kind, "IPTC", "orientation"): IPTC_TURNS for kind in FORMATS},
    **{(kind, "beside", "orientation"): "a file beside the picture turns nothing" for kind in FORMATS},
    **{(kind, "EXIF", fact): NOT_THERE for kind in ("GIF", "BMP") for fact in FACTS},
    **{("BMP", "XMP", fact): NOT_THERE for fact in FACTS},
    **{(kind, "IPTC", fact): NOT_THERE for kind in ("GIF", "WebP", "HEIC", "AVIF", "BMP") for fact in FACTS},
    **{
        (kind, "the format itself", fact): "it has no texts, or such as programs fill"
        for kind in FORMATS
        for fact in FACTS
    },
    ("AVIF", "EXIF", "orientation"): "MIAF: turned by its container alone, and browsers do so",
    ("JPEG 2000", "EXIF", "orientation"): "no viewer turns it",
    ("PSD", "EXIF", "orientation"): "Photoshop's pixels are upright",
}
CAN_ITSELF = {
    ("PNG", "taken_at"),
    ("PNG", "offset"),
    ("PNG", "caption"),
    ("HEIC", "orientation"),
    ("AVIF", "orientation"),
}
for _kind, _fact in CAN_ITSELF:
    del CANNOT[_kind, "the format itself", _fact]

CAPTION = "Harbour at dawn"
LOCAL = datetime(2011, 3, 4, 5, 6, 7, tzinfo=UTC)
SHIFTED = datetime(2011, 3, 4, 3, 6, 7, tzinfo=UTC)
TURN = struct.pack("<H", 6)


def metadata_in(place: str, *, offset: bool) -> Metadata:
    """Every value, in one place."""
    if place == "EXIF":
        offsets = (text_entry(0x9011, b"+02:00"),) if offset else ()
        primary = (text_entry(0x010E, CAPTION.encode()), short_entry(0x0112, 6))
        return Metadata(primary=primary, exif=(text_entry(0x9003, b"2011:03:04 05:06:07"), *offsets))
    if place == "IPTC":
        time = b"050607+0200" if offset else b"050607"
        return Metadata(iptc=dataset(2, 55, b"20110304") + dataset(2, 60, time) + dataset(2, 120, CAPTION.encode()))
    if place == "XMP":
        return Metadata(xmp=packet(offset=offset))
    if place == "the format itself":
        created = f"Fri, 4 Mar 2011 05:06:07 {'+0200' if offset else 'GMT'}"
        return Metadata(texts={"Description": CAPTION, "Creation Time": created}, turned=True)
    return Metadata()


def packet(*, offset: bool) -> bytes:
    date = f"2011-03-04T05:06:07{'+02:00' if offset else ''}"
    turn = 'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"'
    return xmp_packet(described(CAPTION), f'{turn} exif:DateTimeOriginal="{date}"')


def read(kind: str, place: str, directory: Path, *, offset: bool) -> tuple[Header, str | None, datetime | None]:
    header = recognise(FORMATS[kind](metadata_in(place, offset=offset)))
    if place == "beside":
        (directory / "a.xmp").write_bytes(packet(offset=offset))
    description = describe(
        header, path=str(directory / "a.bin"), beside=PhotoSidecars(SidecarFiles(), str(directory / "a.bin"))
    )
    return header, description.caption, description.taken_at


@pytest.mark.parametrize("fact", FACTS)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", FORMATS)
def test_each_fact_is_read_from_each_place_that_can_hold_it(kind: str, place: str, fact: str, tmp_path: Path) -> None:
    header, caption, taken_at = read(kind, place, tmp_path, offset=fact == "offset")
    found = {
        "taken_at": taken_at == LOCAL,
        "offset": taken_at == SHIFTED,
        "caption": caption == CAPTION,
        "orientation": header.size == (HEIGHT, WIDTH),
    }

    # Impossible combinations are tested, too: if one becomes possible, its reason must be removed.
    assert found[fact] is ((kind, place, fact) not in CANNOT)


@pytest.mark.parametrize("kind", FORMATS)
def test_the_size_of_a_file_without_metadata_is_read(kind: str) -> None:
    header = recognise(FORMATS[kind](Metadata()))

    assert header.size == (WIDTH, HEIGHT)
    assert header.orientation == 1


def test_exif_is_read_from_a_text_of_a_png() -> None:
    header = recognise(png(metadata_in("EXIF", offset=True), raw_profile=True))

    assert (header.orientation, header.exif.taken_at, header.size) == (6, SHIFTED, (HEIGHT, WIDTH))


def test_an_exif_item_is_read_from_the_meta_box() -> None:
    header = recognise(heif(metadata_in("EXIF", offset=True), b"heic", in_meta=True))

    assert (header.orientation, header.exif.taken_at) == (6, SHIFTED)


@pytest.mark.parametrize(("exif", "container"), [(6, True), (1, True), (8, True)])
def test_a_rotation_of_the_container_replaces_that_of_exif(exif: int, container: bool) -> None:
    header = recognise(heic(Metadata(primary=(short_entry(0x0112, exif),), turned=container)))

    assert (header.orientation, header.size) == (1, (HEIGHT, WIDTH))


@pytest.mark.parametrize("pointer", [3, 4, 13])
def test_an_exif_pointer_may_have_any_integer_type(pointer: int) -> None:
    assert recognise(tiff_file(metadata_in("EXIF", offset=False), pointer=pointer)).exif.taken_at == LOCAL


FAR = {kind: write for kind, write in FORMATS.items() if kind not in ("JPEG", "MPO", "BMP", "PSD")}


@pytest.mark.parametrize("remote", [False, True])
@pytest.mark.parametrize("kind", FAR)
def test_metadata_behind_the_pixels_are_read_without_the_pixels(kind: str, remote: bool) -> None:
    place = "XMP" if kind == "GIF" else "EXIF"
    what = metadata_in(place, offset=True)
    data = FORMATS[kind](Metadata(primary=what.primary, exif=what.exif, xmp=what.xmp, pixels=9 * 2**20))
    fetched: list[int] = []

    def fetch(at: int, length: int) -> bytes:
        fetched.append(length)
        return data[at : at + length]

    source = Source(len(data), head=data[:4096], fetch=fetch, remote=remote)

    header = recognise(source)

    assert describe(header, path="a").taken_at == SHIFTED
    if remote:
        assert len(fetched) <= MOST_REMOTE
        assert sum(fetched) <= 4 * 2**20
    assert max(fetched) <= 2 * 2**20


@pytest.mark.parametrize("kind", FORMATS)
def test_a_truncated_file_is_read_up_to_its_end(kind: str) -> None:
    data = FORMATS[kind](metadata_in("EXIF", offset=True))

    for end in range(40, len(data), 7):
        header = recognise(data[:end] + bytes(9))
        assert header.exif.taken_at in (None, SHIFTED)


@given(st.data())
def test_a_damaged_file_has_a_valid_date_or_none(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(list(FORMATS)))
    place = data.draw(st.sampled_from(PLACES[:4]))
    copy = bytearray(FORMATS[kind](metadata_in(place, offset=True)))
    for at, value in data.draw(st.lists(st.tuples(st.integers(16, len(copy) - 1), st.integers(0, 255)), max_size=6)):
        copy[at] = value

    try:
        description = describe(recognise(bytes(copy)), path="a")
    except NotAnImage:
        return
    assert description.taken_at is None or description.taken_at.tzinfo is not None


def test_metadata_of_a_picture_of_very_many_tiles_are_read() -> None:
    what = metadata_in("EXIF", offset=True)

    header = recognise(heif(what, b"heic", tiles=3000))

    assert (header.exif.taken_at, header.orientation) == (SHIFTED, 6)


def test_a_file_of_empty_parts_takes_a_bounded_number_of_reads() -> None:
    reads: list[int] = []
    for start in (b"RIFF\0\0\0\0WEBP", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0\0\x02"):

        def fetch(at: int, length: int, start: bytes = start) -> bytes:
            reads.append(at)
            return (start[at:] + bytes(length))[:length]

        assert recognise(Source(2**40, fetch=fetch)).size is None

    assert len(reads) < 2**10
