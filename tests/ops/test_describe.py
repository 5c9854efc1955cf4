"""A photo's caption and capture time come from the best source that has one, and no source can fail an upload."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from imgctl.imaging.probe import probe
from imgctl.ops.upload.describe import Description, describe
from imgctl.ops.upload.sidecar import Beside
from imgctl.ops.upload.walk import Found
from tests.imaging.metadata import dataset, described, jpeg, xmp_packet

IPTC = dataset(2, 120, b"by IPTC")


def at(hour: int) -> datetime:
    return datetime(2023, 7, 14, hour, tzinfo=UTC)


def dated(hour: int, text: str) -> bytes:
    return xmp_packet(described(text), f'xmp:CreateDate="{at(hour).isoformat()}"')


def takeout(hour: int, text: str) -> bytes:
    return json.dumps({"description": text, "photoTakenTime": {"timestamp": str(int(at(hour).timestamp()))}}).encode()


def said(path: Path, body: bytes, *, caption: str | None = None, follow_links: bool = False) -> Description:
    found = Found(path=str(path), size=len(body), mtime_ns=0, inode=0, caption=caption)
    return describe(found, probe(body), body, Beside(follow_links=follow_links))


def test_captions_and_times_come_from_the_best_source(tmp_path: Path) -> None:
    photo = tmp_path / "IMG_20230714_010000.jpg"
    body = jpeg(xmp=dated(3, "by XMP within"), iptc=IPTC, description=b"by EXIF")
    (tmp_path / "IMG_20230714_010000.xmp").write_bytes(dated(2, "by XMP beside"))
    (tmp_path / "IMG_20230714_010000.jpg.json").write_bytes(takeout(4, "by Takeout"))

    assert said(photo, body, caption="by hand") == Description(caption="by hand", taken_at=at(2))
    assert said(photo, body) == Description(caption="by Takeout", taken_at=at(2))
    (tmp_path / "IMG_20230714_010000.jpg.json").write_bytes(takeout(4, ""))
    assert said(photo, body) == Description(caption="by XMP beside", taken_at=at(2))
    (tmp_path / "IMG_20230714_010000.xmp").unlink()
    assert said(photo, body) == Description(caption="by XMP within", taken_at=at(3))
    assert said(photo, jpeg(iptc=IPTC, description=b"by EXIF")) == Description(caption="by IPTC", taken_at=at(4))
    assert said(photo, jpeg(description=b"by EXIF")).caption == "by EXIF"
    (tmp_path / "IMG_20230714_010000.jpg.json").unlink()
    assert said(photo, jpeg(description=b"SONY DSC")) == Description(caption=None, taken_at=at(1))


def test_a_photo_that_nothing_describes_has_neither(tmp_path: Path) -> None:
    assert said(tmp_path / "a.jpg", jpeg()) == Description(caption=None, taken_at=None)


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
def test_an_xmp_file_beside_the_photo_describes_it(tmp_path: Path, photo: str, sidecar: str) -> None:
    (tmp_path / sidecar).write_bytes(dated(5, "beside"))

    assert said(tmp_path / photo, jpeg()) == Description(caption="beside", taken_at=at(5))


@pytest.mark.parametrize("name", ["a.jpg", "n" * 251 + ".jpg", "no-extension"])
def test_damaged_sidecars_are_as_good_as_none(tmp_path: Path, name: str) -> None:
    for ending in (".xmp", ".json", ".supplemental-metadata.json"):
        if len(name + ending) < 256:
            (tmp_path / f"{name}{ending}").write_bytes(b"{<x>\xff")

    assert said(tmp_path / name, jpeg()) == Description(caption=None, taken_at=None)


def test_a_sidecar_that_is_no_plain_file_is_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg.xmp")
    (tmp_path / "a.jpg.json").mkdir()

    assert said(tmp_path / "a.jpg", jpeg()) == Description(caption=None, taken_at=None)


def test_a_sidecar_behind_a_link_is_read_only_when_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(takeout(6, "linked"))
    (tmp_path / "a.jpg.json").symlink_to("elsewhere")

    assert said(tmp_path / "a.jpg", jpeg()).caption is None
    assert said(tmp_path / "a.jpg", jpeg(), follow_links=True).caption == "linked"


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
    assert said(tmp_path / "a.jpg", jpeg(), caption=written).caption == kept


def test_a_body_that_is_not_at_hand_leaves_what_lies_beside(tmp_path: Path) -> None:
    (tmp_path / "a.jpg.json").write_bytes(takeout(6, "beside"))
    found = Found(path=str(tmp_path / "a.jpg"), size=1, mtime_ns=0, inode=0)

    assert describe(found, probe(jpeg()), None, Beside()) == Description(caption="beside", taken_at=at(6))


@pytest.mark.parametrize("sidecar", ["{}.json", "{}.supplemental-metadata.json", "{}.xmp"])
def test_a_directory_that_is_listed_instead_of_tried_says_the_same(tmp_path: Path, sidecar: str) -> None:
    photos = [tmp_path / f"{number}.jpg" for number in range(40)]
    for photo in photos[::2]:
        said_beside = takeout(6, photo.stem) if sidecar.endswith(".json") else dated(6, photo.stem)
        (tmp_path / sidecar.format(photo.name)).write_bytes(said_beside)
    beside, body = Beside(), jpeg()

    captions = [
        describe(Found(path=str(photo), size=1, mtime_ns=0, inode=0), probe(body), body, beside).caption
        for photo in photos
    ]

    assert captions == [photo.stem if number % 2 == 0 else None for number, photo in enumerate(photos)]


def test_sidecars_are_found_in_more_directories_than_are_remembered(tmp_path: Path) -> None:
    beside, body = Beside(), jpeg()
    photos = [tmp_path / f"{number}" / "a.jpg" for number in range(300)]
    for photo in photos:
        photo.parent.mkdir()
        (photo.parent / "a.jpg.json").write_bytes(takeout(6, photo.parent.name))

    captions = [
        describe(Found(path=str(photo), size=1, mtime_ns=0, inode=0), probe(body), body, beside).caption
        for photo in photos
    ]

    assert captions == [photo.parent.name for photo in photos]
