"""XMP, IPTC, Takeout and names: the values read, and that damaged metadata counts as missing."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgctl.dates import name_moment
from imgctl.imaging.metadata.exif import Exif, read_exif
from imgctl.imaging.metadata.facts import NO_FACTS, Facts
from imgctl.imaging.metadata.jpeg import read_jpeg
from imgctl.imaging.metadata.photoshop import IPTC, read_iptc, resources
from imgctl.imaging.metadata.xmp import LONGEST, read_xmp
from imgctl.imaging.source import Contents, in_memory
from imgctl.imaging.takeout import is_titled, read_takeout, sidecar_names
from tests.imaging.metadata import dataset, described, exif_block, jpeg, resource, xmp_packet


def caption_of(data: bytes) -> str | None:
    return read_iptc(resources(in_memory(data)).get(IPTC, b"")).caption


def header_of(data: bytes) -> Contents:
    return read_jpeg(in_memory(data))


TAKEN = datetime(2023, 7, 14, 15, 30, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "packet",
    [
        xmp_packet("<exif:DateTimeOriginal>2023-07-14T17:30:12+02:00</exif:DateTimeOriginal>"),
        xmp_packet("", 'photoshop:DateCreated="2023-07-14T15:30:12Z"'),
        xmp_packet("<xmp:CreateDate> 2023-07-14T15:30:12 </xmp:CreateDate>"),
        xmp_packet("", 'xmp:CreateDate="2001-01-01T00:00" exif:DateTimeOriginal="2023:07:14 15:30:12"'),
        xmp_packet("", 'exif:DateTimeOriginal="2023" xmp:CreateDate="2023-07-14T15:30:12"'),
    ],
)
def test_the_capture_time_is_read_from_xmp(packet: bytes) -> None:
    assert read_xmp(packet).dates[0] == TAKEN


@pytest.mark.parametrize("text", ["2023", "2023-07", "2023-07-14", "0000-00-00T00:00:00", "soon"])
def test_a_date_without_a_plausible_time_of_day_is_ignored(text: str) -> None:
    assert read_xmp(xmp_packet("", f'xmp:CreateDate="{text}"')) == NO_FACTS


def test_several_dates_are_returned_most_trusted_first() -> None:
    unlikely = 'exif:DateTimeOriginal="1601-01-01T00:00Z"'

    found = read_xmp(xmp_packet("", f'xmp:CreateDate="2023-07-14T15:30:12Z" {unlikely}'))

    assert found.dates == (datetime(1601, 1, 1, tzinfo=UTC), TAKEN)


def test_xmp_descriptions_are_read_in_the_default_language_and_any_encoding() -> None:
    items = '<rdf:li xml:lang="fr">La mer</rdf:li><rdf:li xml:lang="x-default">The sea &amp; 📷</rdf:li>'
    packet = xmp_packet(f"<dc:description><rdf:Alt>{items}</rdf:Alt></dc:description>")

    assert read_xmp(packet).caption == "The sea & 📷"
    assert read_xmp(packet.decode().encode("utf-16")).caption == "The sea & 📷"
    assert read_xmp(packet.replace(b"x-default", b"en")).caption == "La mer"
    assert read_xmp(xmp_packet("<dc:description>plain</dc:description>")).caption == "plain"
    assert read_xmp(xmp_packet("", 'dc:description="short"')).caption == "short"


def test_a_title_is_not_a_description() -> None:
    title = '<dc:title><rdf:Alt><rdf:li xml:lang="x-default">T</rdf:li></rdf:Alt></dc:title>'

    assert read_xmp(xmp_packet(title)) == NO_FACTS
    assert read_xmp(xmp_packet(described(" \n ") + title)) == NO_FACTS


def test_a_packet_with_a_document_type_or_excessive_length_is_ignored() -> None:
    packet = xmp_packet(described("&a;"))
    bomb = b'<!DOCTYPE x [<!ENTITY a "' + b"a" * 100 + b'">]>'
    outside = b'<!DOCTYPE x SYSTEM "file:///etc/hostname">'

    assert read_xmp(bomb + packet) == NO_FACTS
    assert read_xmp(outside + xmp_packet(described("x"))) == NO_FACTS
    assert read_xmp(xmp_packet(described("x" * LONGEST))) == NO_FACTS


@given(damage=st.lists(st.tuples(st.integers(0, 900), st.binary(max_size=3)), max_size=4), cut=st.integers(0, 900))
def test_a_damaged_packet_is_read_without_an_error(damage: list[tuple[int, bytes]], cut: int) -> None:
    packet = bytearray(xmp_packet(described("x") + "<xmp:CreateDate>2023-07-14T15:30:12</xmp:CreateDate>"))
    for at, value in damage:
        packet[at : at + len(value)] = value

    assert isinstance(read_xmp(bytes(packet[: len(packet) - cut])), Facts)


@given(data=st.binary(max_size=300))
def test_arbitrary_bytes_are_read_without_an_error(data: bytes) -> None:
    assert read_xmp(data) == NO_FACTS
    assert read_takeout(data) == NO_FACTS
    assert caption_of(b"8BIM" + data) is None or b"\x1c\x02x" in data
    assert isinstance(read_exif(b"II*\0" + data), Exif)
    assert header_of(b"\xff\xd8" + data).pictures >= 1


@pytest.mark.parametrize(
    ("block", "caption"),
    [
        (dataset(2, 120, b"Harbour "), "Harbour"),
        (dataset(2, 0, b"\0\2") + dataset(2, 25, b"key") + dataset(2, 120, b"Harbour"), "Harbour"),
        (dataset(1, 90, b"\x1b%G") + dataset(2, 120, "Malmö".encode()), "Malmö"),
        (dataset(2, 120, "Malmö".encode()), "Malmö"),
        (dataset(2, 120, "Malmö – sea".encode("cp1252")), "Malmö – sea"),
        (dataset(2, 120, b" "), None),
        (dataset(2, 25, b"key"), None),
        (b"\x1c\x02\x78\xff\xff" + b"x" * 10, None),
    ],
)
def test_an_iptc_caption_is_found_among_photoshop_resources(block: bytes, caption: str | None) -> None:
    assert caption_of(resource(0x0425, b"odd") + resource(0x0404, block, b"name") + resource(1, b"")) == caption


@given(data=st.binary(max_size=60), block=st.binary(max_size=60), cut=st.integers(0, 60))
def test_damaged_resources_give_text_or_none(data: bytes, block: bytes, cut: int) -> None:
    resources = resource(1, data) + resource(0x0404, dataset(2, 120, b"x") + block)

    found = caption_of(resources[: len(resources) - cut] + data)

    assert found is None or isinstance(found, str)


def test_the_header_of_a_jpeg_contains_its_metadata() -> None:
    packet = xmp_packet(described("x"))

    header = header_of(jpeg(xmp=packet, iptc=dataset(2, 120, b"y"), description=b"z"))

    assert header.size == (32, 16)
    assert header.xmp == packet
    assert read_iptc(header.iptc).caption == "y"
    assert header.exif.read(6, 1000) == exif_block(b"z")
    assert read_exif(header.exif).description == b"z"


def test_takeout_json_has_the_date_and_the_description() -> None:
    data = {"title": "a.jpg", "description": "The sea\n", "photoTakenTime": {"timestamp": "1689348612"}}

    found = read_takeout(json.dumps(data).encode())

    assert (found.dates, found.caption) == ((TAKEN,), "The sea")


@pytest.mark.parametrize("stamp", ['"0"', '""', "null", "true", "[]", '"x"', '"9999999999999999"', "1e400", "9" * 5000])
def test_an_invalid_takeout_time_leaves_the_description(stamp: str) -> None:
    found = read_takeout(f'{{"description": "x", "photoTakenTime": {{"timestamp": {stamp}}}}}'.encode())

    assert found.dates == ()
    assert found == NO_FACTS or found.caption == "x"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"description": "other"}', "[" * 100_000, "null", '{"photoTakenTime']
)
def test_json_of_another_program_is_ignored(text: str) -> None:
    assert read_takeout(text.encode()) == NO_FACTS


@pytest.mark.parametrize(
    ("photo", "sidecar"),
    [
        ("a.jpg", "a.jpg.supplemental-metadata.json"),
        ("a.jpg", "a.jpg.json"),
        ("a(1).jpg", "a.jpg.supplemental-metadata(1).json"),
        ("a(1).jpg", "a.jpg(1).json"),
        ("a(1).jpg", "a(1).jpg.json"),
        ("a-edited.jpg", "a.jpg.supplemental-metadata.json"),
        ("a-edited(2).jpg", "a.jpg(2).json"),
        ("no extension", "no extension.json"),
        # As seen in exports of 2024 and 2025.
        ("Screenshot_2017-07-05-10-05-26.png", "Screenshot_2017-07-05-10-05-26.png.supplementa.json"),
        ("Screenshot_20241227_105539_Edge.jpg", "Screenshot_20241227_105539_Edge.jpg.supplement.json"),
        ("Screenshot_20220207_102421_com.snapchat.android.jpg", "Screenshot_20220207_102421_com.snapchat.androi.json"),
        ("D7157814-D2D5-4A62-AFCE-9CF465CB7D66.jpeg", "D7157814-D2D5-4A62-AFCE-9CF465CB7D66.jpeg.supp.json"),
    ],
)
def test_takeout_json_is_looked_up_under_the_names_that_takeout_uses(photo: str, sidecar: str) -> None:
    assert sidecar in sidecar_names(photo)


@given(name=st.text(min_size=1, max_size=80))
def test_takeout_json_names_stay_within_the_length_limit(name: str) -> None:
    assert all(len(one) <= 51 + len("(12345)") for one in sidecar_names(name))


@pytest.mark.parametrize(
    "name",
    [
        "IMG_20230714_153012.jpg",
        "PXL_20230714_153012345.jpg",
        "PXL_20230714_153012345.MP.jpg",
        "20230714_153012.jpg",
        "IMG20230714153012.jpg",
        "20230714153012345.jpg",
        "2023-07-14 15.30.12.jpg",
        "2023-07-14_15-30-12.jpg",
        "photo_2023-07-14_15-30-12 (2).jpg",
        "Screenshot_2023-07-14-15-30-12.png",
        "Screenshot_2023-07-14-15-30-12-123_com.app.png",
        "Screenshot 2023-07-14 at 15.30.12.png",
        "Screenshot 2023-07-14 at 3.30.12\u202fPM.png",
        "WhatsApp Image 2023-07-14 at 15.30.12.jpeg",
        "signal-2023-07-14-153012.jpg",
        "2023-07-14T15:30:12.jpg",
        "00000000 IMG_20230714_153012.jpg",
    ],
)
def test_a_date_and_time_are_read_from_a_file_name(name: str) -> None:
    assert name_moment(name) == TAKEN


@pytest.mark.parametrize("name", ["IMG-20230714-WA0001.jpg", "2023-07-14.jpg", "20230714.jpg", "2023_07_14 beach.jpg"])
def test_a_file_name_with_only_a_date_means_midnight(name: str) -> None:
    assert name_moment(name) == datetime(2023, 7, 14, tzinfo=UTC)


@pytest.mark.parametrize(
    "name",
    [
        "IMG_1234.jpg",
        "DSC_20231501.jpg",
        "IMG_20230231_101010.jpg",
        "2999-01-01.jpg",
        "19000101.jpg",
        "120230714.jpg",
        "FB_IMG_1689348612345.jpg",
        "202307141.jpg",
        "2023-0714.jpg",
        "\udcff.jpg",
        "",
    ],
)
def test_a_file_name_without_a_plausible_date_is_ignored(name: str) -> None:
    assert name_moment(name) is None


@given(name=st.text(alphabet="0123456789-_. :TaptmM", max_size=40))
def test_any_file_name_is_read_without_an_error(name: str) -> None:
    moment = name_moment(name)

    assert moment is None or moment.tzinfo is UTC


@pytest.mark.parametrize(
    ("photo", "title", "is_it"),
    [
        ("Screenshot_1_abb9c80(1).jpg", "Screenshot_1_abb9c8060a0a12c5.jpg", True),
        ("One _ Two.jpg", "One & Two.jpg", True),
        ("IMG_1200001.jpg", "IMG_120000.jpg", False),
        ("IMG_1200001.jpg", "", False),
        ("(1).jpg", "anything.jpg", False),
    ],
)
def test_takeout_json_is_matched_to_its_photo_by_title(photo: str, title: str, *, is_it: bool) -> None:
    assert is_titled(Facts(title=title), photo) is is_it
