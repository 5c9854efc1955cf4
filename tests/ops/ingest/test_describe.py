"""A photo's caption and capture time come from the best source that has one, and a damaged source fails no upload."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from imgctl.imaging.formats import Format
from imgctl.imaging.metadata.exif import Exif
from imgctl.imaging.probe import Header, recognise
from imgctl.ops.ingest.describe import Description, TakenFrom, describe
from imgctl.ops.ingest.photo_sidecars import PhotoSidecars
from imgctl.ops.ingest.sidecar import SidecarFiles
from tests.imaging import containers
from tests.imaging.containers import text_entry
from tests.imaging.metadata import dataset, described, jpeg, xmp_packet

IPTC = dataset(2, 120, b"by IPTC")


def at(hour: int) -> datetime:
    return datetime(2023, 7, 14, hour, tzinfo=UTC)


def dated(hour: int, text: str) -> bytes:
    return xmp_packet(described(text), f'xmp:CreateDate="{at(hour).isoformat()}"')


def takeout(hour: int, text: str) -> bytes:
    return json.dumps({"description": text, "photoTakenTime": {"timestamp": str(int(at(hour).timestamp()))}}).encode()


def description_of(path: Path, body: bytes, *, caption: str | None = None, follow_links: bool = False) -> Description:
    return describe(
        recognise(body),
        path=str(path),
        caption=caption,
        beside=PhotoSidecars(SidecarFiles(follow_links=follow_links), str(path)),
    )


def test_captions_and_times_come_from_the_best_source(tmp_path: Path) -> None:
    photo = tmp_path / "IMG_20230714_010000.jpg"
    body = jpeg(xmp=dated(3, "by XMP within"), iptc=IPTC, description=b"by EXIF")
    (tmp_path / "IMG_20230714_010000.xmp").write_bytes(dated(2, "by XMP beside"))
    (tmp_path / "IMG_20230714_010000.jpg.json").write_bytes(takeout(4, "by Takeout"))

    assert description_of(photo, body, caption="by hand") == Description(
        caption="by hand", taken_at=at(2), taken_from=TakenFrom.XMP_BESIDE
    )
    assert description_of(photo, body) == Description(
        caption="by Takeout", taken_at=at(2), taken_from=TakenFrom.XMP_BESIDE
    )
    (tmp_path / "IMG_20230714_010000.jpg.json").write_bytes(takeout(4, ""))
    assert description_of(photo, body) == Description(
        caption="by XMP beside", taken_at=at(2), taken_from=TakenFrom.XMP_BESIDE
    )
    (tmp_path / "IMG_20230714_010000.xmp").unlink()
    assert description_of(photo, body) == Description(caption="by XMP within", taken_at=at(3), taken_from=TakenFrom.XMP)
    assert description_of(photo, jpeg(iptc=IPTC, description=b"by EXIF")) == Description(
        caption="by IPTC", taken_at=at(4), taken_from=TakenFrom.TAKEOUT
    )
    assert description_of(photo, jpeg(description=b"by EXIF")).caption == "by EXIF"
    (tmp_path / "IMG_20230714_010000.jpg.json").unlink()
    assert description_of(photo, jpeg(description=b"SONY DSC")) == Description(
        caption=None, taken_at=at(1), taken_from=TakenFrom.NAME
    )


def test_a_photo_without_a_description_has_neither(tmp_path: Path) -> None:
    assert description_of(tmp_path / "a.jpg", jpeg()) == Description(caption=None, taken_at=None)


@pytest.mark.parametrize(
    ("photo", "sidecar"),
    [
        ("a.jpg", "a.jpg.xmp"),
        ("a.jpg", "a.xmp"),
        ("a", "a.xmp"),
        ("new\nline 📷.jpg", "new\nline 📷.xmp"),
        ("\udcff.jpg", "\udcff.jpg.xmp"),
    ],
)
def test_an_xmp_sidecar_describes_its_photo(tmp_path: Path, photo: str, sidecar: str) -> None:
    (tmp_path / sidecar).write_bytes(dated(5, "beside"))

    assert description_of(tmp_path / photo, jpeg()) == Description(
        caption="beside", taken_at=at(5), taken_from=TakenFrom.XMP_BESIDE
    )


@pytest.mark.parametrize("name", ["a.jpg", "n" * 251 + ".jpg", "no-extension"])
def test_damaged_sidecars_are_ignored(tmp_path: Path, name: str) -> None:
    for ending in (".xmp", ".json", ".supplemental-metadata.json"):
        if len(name + ending) < 256:
            (tmp_path / f"{name}{ending}").write_bytes(b"{<x>\xff")

    assert description_of(tmp_path / name, jpeg()) == Description(caption=None, taken_at=None)


def test_a_sidecar_that_is_not_a_regular_file_never_blocks(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg.xmp")
    (tmp_path / "a.jpg.json").mkdir()

    assert description_of(tmp_path / "a.jpg", jpeg()) == Description(caption=None, taken_at=None)


def test_a_sidecar_behind_a_link_is_read_only_when_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(takeout(6, "linked"))
    (tmp_path / "a.jpg.json").symlink_to("elsewhere")

    assert description_of(tmp_path / "a.jpg", jpeg()).caption is None
    assert description_of(tmp_path / "a.jpg", jpeg(), follow_links=True).caption == "linked"


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("a\0b", "ab"),
        ("\udcff x", "\ufffd x"),
        ("\ud83d\udcf7", "📷"),
        ("  \n ", None),
        ("\ufeffa", "\ufeffa"),
        ("é 海\n📷", "é 海\n📷"),
    ],
)
def test_captions_are_made_fit_for_a_database(tmp_path: Path, written: str, kept: str | None) -> None:
    assert description_of(tmp_path / "a.jpg", jpeg(), caption=written).caption == kept


def test_sidecars_count_even_if_the_header_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg.json").write_bytes(takeout(6, "beside"))

    found = describe(
        Header(kind=Format.JPEG),
        path=str(tmp_path / "a.jpg"),
        beside=PhotoSidecars(SidecarFiles(), str(tmp_path / "a.jpg")),
    )

    assert found == Description(caption="beside", taken_at=at(6), taken_from=TakenFrom.TAKEOUT)


@pytest.mark.parametrize("sidecar", ["{}.json", "{}.supplemental-metadata.json", "{}.xmp"])
def test_listing_a_directory_and_trying_each_name_find_the_same_sidecar(tmp_path: Path, sidecar: str) -> None:
    photos = [tmp_path / f"{number}.jpg" for number in range(40)]
    for photo in photos[::2]:
        said_beside = takeout(6, photo.stem) if sidecar.endswith(".json") else dated(6, photo.stem)
        (tmp_path / sidecar.format(photo.name)).write_bytes(said_beside)
    beside, body = SidecarFiles(), jpeg()

    captions = [
        describe(recognise(body), path=str(photo), beside=PhotoSidecars(beside, str(photo))).caption for photo in photos
    ]

    assert captions == [photo.stem if number % 2 == 0 else None for number, photo in enumerate(photos)]


def test_sidecars_are_found_in_more_directories_than_are_remembered(tmp_path: Path) -> None:
    beside, body = SidecarFiles(), jpeg()
    photos = [tmp_path / f"{number}" / "a.jpg" for number in range(300)]
    for photo in photos:
        photo.parent.mkdir()
        (photo.parent / "a.jpg.json").write_bytes(takeout(6, photo.parent.name))

    captions = [
        describe(recognise(body), path=str(photo), beside=PhotoSidecars(beside, str(photo))).caption for photo in photos
    ]

    assert captions == [photo.parent.name for photo in photos]


def exif(primary: dict[int, bytes] | None = None, inner: dict[int, bytes] | None = None) -> bytes:
    entries = [tuple(text_entry(tag, text) for tag, text in (part or {}).items()) for part in (primary, inner)]
    return containers.jpeg(containers.Metadata(primary=entries[0], exif=entries[1]))


MODIFIED, TAKEN, DIGITISED = 0x0132, 0x9003, 0x9004
OFFSETS = {MODIFIED: 0x9010, TAKEN: 0x9011, DIGITISED: 0x9012}


def test_the_best_of_three_exif_dates_is_taken_and_the_weakest_only_without_any_other() -> None:
    dates = {MODIFIED: b"2023:07:14 03:00:00", TAKEN: b"2023:07:14 01:00:00", DIGITISED: b"2023:07:14 02:00:00"}

    def taken(*tags: int, name: str = "a.jpg") -> tuple[datetime | None, TakenFrom | None]:
        primary = {MODIFIED: dates[MODIFIED]} if MODIFIED in tags else {}
        found = exif(primary, {tag: dates[tag] for tag in tags if tag != MODIFIED})
        described = describe(recognise(found), path=name)
        return described.taken_at, described.taken_from

    assert taken(MODIFIED, TAKEN, DIGITISED) == (at(1), TakenFrom.EXIF)
    assert taken(MODIFIED, DIGITISED) == (at(2), TakenFrom.EXIF_DIGITISED)
    assert taken(MODIFIED, name="IMG_20230714_040000.jpg") == (at(4), TakenFrom.NAME)
    assert taken(MODIFIED) == (at(3), TakenFrom.EXIF_MODIFIED)
    assert taken() == (None, None)


@pytest.mark.parametrize("offset", OFFSETS.values())
@pytest.mark.parametrize("date", OFFSETS)
def test_an_offset_counts_for_whichever_date_stands_alone(date: int, offset: int) -> None:
    text = {date: b"2023:07:14 10:00:00"}
    inner = {offset: b"+02:00"}

    found = exif(text, inner) if date == MODIFIED else exif({}, inner | text)

    assert describe(recognise(found), path="a.jpg").taken_at == at(8)


def test_a_dates_own_offset_wins() -> None:
    found = exif({}, {TAKEN: b"2023:07:14 10:00:00", OFFSETS[TAKEN]: b"+01:00", OFFSETS[MODIFIED]: b"+09:00"})

    assert describe(recognise(found), path="a.jpg").taken_at == at(9)


@pytest.mark.parametrize("wrong", [b"0001:01:01 00:00:00", b"0000:00:00 00:00:00", b"1601:01:01 00:00:00", b"    "])
def test_after_an_impossible_date_the_next_source_is_used(wrong: bytes) -> None:
    found = exif({MODIFIED: wrong}, {TAKEN: wrong, DIGITISED: b"2023:07:14 02:00:00"})

    assert describe(recognise(found), path="a.jpg").taken_at == at(2)
    assert describe(recognise(exif({MODIFIED: wrong}, {TAKEN: wrong})), path="a.jpg").taken_at is None


@pytest.mark.parametrize(
    ("photo", "sidecar"),
    [
        ("a.jpg", "a.jpg.XMP"),
        ("a.jpg", "a.XMP"),
        ("a.jpg", "A.xmp"),
        ("a.jpg", "a.JPG.xmp"),
        ("A.JPG", "a.jpg.xmp"),
        ("e\u0301.jpg", "\u00e9.jpg.xmp"),
        ("\u00e9.jpg", "e\u0301.xmp"),
    ],
)
def test_a_sidecar_is_found_in_another_case_or_unicode_form(tmp_path: Path, photo: str, sidecar: str) -> None:
    (tmp_path / sidecar).write_bytes(dated(5, "beside"))

    assert description_of(tmp_path / photo, jpeg()).caption == "beside"


def test_a_sidecar_with_the_exact_name_is_preferred(tmp_path: Path) -> None:
    for name in ("a.jpg.XMP", "A.jpg.xmp", "a.JPG.xmp", "a.xmp"):
        (tmp_path / name).write_bytes(dated(5, name))

    assert description_of(tmp_path / "a.jpg", jpeg()).caption == "a.xmp"
    assert description_of(tmp_path / "A.jpg", jpeg()).caption == "A.jpg.xmp"


LONG = "\N{GRINNING FACE}" * 23


@pytest.mark.parametrize(
    ("photo", "sidecar"),
    [
        ("IMG_3-bearbeitet.jpg", "IMG_3.jpg.supplemental-metadata.json"),
        ("IMG_4-modifi\u00e9.jpg", "IMG_4.jpg.supplemental-metadata.json"),
        ("IMG_4-modifie\u0301.jpg", "IMG_4.jpg.json"),
        ("IMG_5-ha editado.jpg", "IMG_5.jpg.supplemental-metadata.json"),
        ("IMG_6-\u7de8\u96c6\u6e08\u307f.jpg", "IMG_6.jpg.supplemental-metadata.json"),
        ("IMG_7-edited(1).jpg", "IMG_7.jpg.supplemental-metadata(1).json"),
        ("IMG_7(1)-edited.jpg", "IMG_7.jpg(1).json"),
        ("IMG_8(3516).jpg", "IMG_8.jpg.supplemental-metadata(3516).json"),
        ("IMG_8(2).jpg", "IMG_8(2).jpg.supplemental-metadata.json"),
        ("IMG_9-EFFECTS.jpg", "IMG_9.jpg.supplemental-metadata.json"),
        ("IMG_10.MP.jpg", "IMG_10.MP.jpg.supplemental-metadata.json"),
        ("IMG_12.JPG", "IMG_12.jpg.supplemental-metadata.json"),
        ("IMG_12-Edited.JPG", "img_12.jpg.SUPPLEMENTAL-METADATA.JSON"),
        ("image-edited.jpg", "image-edited.jpg.json"),
        ("2234089303984509579-edited.jpg", "2234089303984509579.supplemental-metadata.json"),
        ("2234089303984509579.jpg", "2234089303984509579.json"),
        (
            "original_1d4caa6f-16c6-4c3d-901b-9387de10e528_P(1).jpg",
            "original_1d4caa6f-16c6-4c3d-901b-9387de10e528_.json",
        ),
        (f"{LONG}.jpg", f"{LONG}.json"),
        (f"x{LONG}.jpg", f"x{LONG[:22]}.json"),
    ],
)
def test_takeouts_file_is_found_by_the_names_it_gives(tmp_path: Path, photo: str, sidecar: str) -> None:
    (tmp_path / sidecar).write_bytes(takeout(6, "by Takeout"))

    assert description_of(tmp_path / photo, jpeg()).caption == "by Takeout"


@pytest.mark.parametrize(
    ("photo", "other"), [("a-edited.jpg", "a.jpg.json"), ("a(1).jpg", "a.jpg.json"), ("a.jpg", "A.jpg.json")]
)
def test_a_photos_own_json_is_preferred_to_anothers(tmp_path: Path, photo: str, other: str) -> None:
    (tmp_path / other).write_bytes(takeout(6, "another's"))
    (tmp_path / f"{photo}.json").write_bytes(takeout(6, "its own"))

    assert description_of(tmp_path / photo, jpeg()).caption == "its own"


@pytest.mark.parametrize(
    ("photo", "other"), [("a(1).jpg", "a.jpg.json"), ("beach-sunset.jpg", "beach.jpg.json"), ("ab.jpg", "a.jpg.json")]
)
def test_another_photos_json_is_not_taken(tmp_path: Path, photo: str, other: str) -> None:
    (tmp_path / other).write_bytes(takeout(6, "another's"))

    assert description_of(tmp_path / photo, jpeg()) == Description(caption=None, taken_at=None)


@pytest.mark.parametrize(
    "text", ["OLYMPUS DIGITAL CAMERA  ", "SONY DSC", "cof", "DCIM\\100MEDIA\\DJI_0001.JPG", "", "---"]
)
def test_camera_boilerplate_is_not_a_description(text: str) -> None:
    assert describe(exif_description(text), path="a.jpg").caption is None


@pytest.mark.parametrize("text", ["My SONY DSC at the beach", "海", "Camera obscura"])
def test_a_written_text_is_a_description(text: str) -> None:
    assert describe(exif_description(text), path="a.jpg").caption == text


def exif_description(text: str) -> Header:
    return Header(kind=Format.JPEG, exif=Exif(description=text.encode()))
