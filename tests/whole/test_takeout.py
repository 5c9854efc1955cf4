"""Google Takeout and iCloud's export as downloaded: every photo gets its date and its caption."""

from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from tests.whole.deployment import USER, Deployment
from tests.whole.takeouts import COLUMNS, IN_ALBUM, TAKEOUT, Told, about, caption, moment, picture, write_takeout
from tests.whole.test_sources import tarred, zipped

UPLOAD = ("--user", str(USER), "--json")


def assert_described(deployment: Deployment, described: list[Told]) -> None:
    """Assert that every photo's row has the values of its sidecar."""
    rows = {image.sha256: image for image in deployment.images()}
    found = [(one, rows[sha256(one.content).digest()]) for one in described]
    assert [replace(one, caption=row.caption, taken_at=row.taken_at) for one, row in found] == described


def test_every_photo_has_the_date_and_the_caption_of_its_json(embedded: Deployment, tmp_path: Path) -> None:
    described = write_takeout(tmp_path / "export")

    uploaded = embedded.run("upload", tmp_path / "export", *UPLOAD)

    assert (uploaded.code, uploaded.summary["uploaded"], uploaded.summary["present"]) == (0, len(described), IN_ALBUM)
    assert len(TAKEOUT) >= 40
    assert_described(embedded, described)


@pytest.mark.parametrize("kind", ["zip", "tgz"])
def test_the_parts_of_an_export_are_one_tree(embedded: Deployment, tmp_path: Path, kind: str) -> None:
    described = write_takeout(tmp_path / "export")
    files = [
        (str(path.relative_to(tmp_path / "export")), path.read_bytes())
        for path in sorted((tmp_path / "export").rglob("*"))
        if path.is_file()
    ]
    # Files are in arbitrary parts, as in a Takeout.
    parts = [files[start::3] for start in range(3)]
    write = zipped if kind == "zip" else tarred
    archives = [write(tmp_path / f"takeout-{number}.{kind}", part) for number, part in enumerate(parts)]

    uploaded = embedded.run("upload", *archives, *UPLOAD)
    verified = embedded.run("verify", *archives, *UPLOAD, "--list-safe", tmp_path / "may-go")

    assert (uploaded.code, uploaded.summary["uploaded"]) == (0, len(described)), uploaded.err
    assert_described(embedded, described)
    assert (verified.code, verified.summary["safe"]) == (0, len(described) + IN_ALBUM), verified.err
    assert sorted((tmp_path / "may-go").read_text().split()) == [str(one) for one in archives]


def test_where_a_photo_was_taken_gets_into_no_row_and_no_variant(embedded: Deployment, tmp_path: Path) -> None:
    photo = tmp_path / "export/IMG_1.jpg"
    photo.parent.mkdir()
    photo.write_bytes(picture("IMG_1.jpg", 1))
    (photo.parent / "IMG_1.jpg.json").write_text(about(moment(1), caption(1)))

    assert embedded.run("upload", photo.parent, *UPLOAD).code == 0
    assert embedded.run("work", "--drain").code == 0

    [row] = embedded.images()
    assert "48.85" not in repr(row) and "2.294" not in repr(row)
    store = embedded.open_store()
    for key in filter(None, (row.thumb_key, row.medium_key, row.full_key)):
        assert b"GPS" not in store.get(key) and b"48.85" not in store.get(key)


def test_a_copy_without_json_gets_what_the_other_copy_has(embedded: Deployment, tmp_path: Path) -> None:
    content = picture("IMG_20200101_120000.jpg", 2)
    album, year = tmp_path / "export/An album", tmp_path / "export/Photos from 2019"
    for place in (album, year):
        place.mkdir(parents=True)
        (place / "IMG_20200101_120000.jpg").write_bytes(content)
    (year / "IMG_20200101_120000.jpg.json").write_text(about(moment(3), caption(3)))

    # One after the other, so that the copy without a sidecar comes first: its date is that of its name.
    alone = embedded.run("upload", album, *UPLOAD)
    [first] = embedded.images()
    both = embedded.run("upload", year, *UPLOAD)
    [row] = embedded.images()

    assert (alone.code, both.code, both.summary["present"]) == (0, 0, 1)
    assert (first.caption, first.taken_at) == (None, datetime(2020, 1, 1, 12, tzinfo=UTC))
    assert (row.caption, row.taken_at) == (caption(3), moment(3))
    (year / "IMG_20200101_120000.jpg.json").write_text(about(moment(4), caption(4)))
    assert embedded.run("upload", year, *UPLOAD, "--journal", "none").code == 0
    assert embedded.images() == [row]


def test_parts_that_were_unpacked_apart_are_one_tree(embedded: Deployment, tmp_path: Path) -> None:
    # Archive utilities make `Takeout 2` of the second part: akleineb/gphoto-to-immich#2.
    photos, jsons, another = (tmp_path / place for place in ("Takeout", "Takeout 2", "elsewhere/Takeout"))
    for place in (photos, jsons, another):
        (place / "Photos from 2019").mkdir(parents=True)
    (photos / "Photos from 2019/IMG_1.jpg").write_bytes(picture("IMG_1.jpg", 1))
    (photos / "Photos from 2019/IMG_2.jpg").write_bytes(picture("IMG_2.jpg", 2))
    (jsons / "Photos from 2019/IMG_1.jpg.json").write_text(about(moment(1), caption(1)))
    (another / "Photos from 2019/IMG_2.jpg.json").write_text(about(moment(2), caption(2)))

    assert embedded.run("upload", photos, jsons, another, *UPLOAD).code == 0

    found = {image.name: (image.caption, image.taken_at) for image in embedded.images()}
    assert found == {"IMG_1.jpg": (caption(1), moment(1)), "IMG_2.jpg": (None, None)}


def test_what_was_in_the_bin_or_archived_is_taken_by_option(embedded: Deployment, tmp_path: Path) -> None:
    place = tmp_path / "export"
    place.mkdir()
    for serial, (name, flags) in enumerate((("kept.jpg", ""), ("binned.jpg", "trashed"), ("old.jpg", "archived"))):
        (place / name).write_bytes(picture(name, serial))
        said = about(moment(serial), flag=flags)
        (place / f"{name}.supplemental-metadata.json").write_text(said)

    first = embedded.run("upload", place, *UPLOAD, "--no-takeout-archived")
    second = embedded.run("upload", place, *UPLOAD)
    third = embedded.run("upload", place, *UPLOAD, "--takeout-trashed")

    assert [run.code for run in (first, second, third)] == [0, 0, 0]
    assert first.summary["reasons"] == {"hidden": 1, "sidecar": 3, "trashed": 1}
    assert second.summary["reasons"] == {"already_there": 1, "sidecar": 3, "trashed": 1}
    assert third.summary["reasons"] == {"already_there": 2, "sidecar": 3}
    assert {image.name for image in embedded.images()} == {"kept.jpg", "old.jpg", "binned.jpg"}


def test_the_tables_of_icloud_date_the_photos_beside_them(embedded: Deployment, tmp_path: Path) -> None:
    # Columns, dates and several tables a folder, names that come again in another: simulot/immich-go#1314; a date without
    # quotes: the same project's tests of 2026; films of Live Photos: #1281.
    rows = {
        "Part 1": (
            'IMG_0001.HEIC,x,no,no,no,"Saturday March 2,2019 10:11 AM GMT",0,"Saturday March 2,2019 10:12 AM GMT"',
            'IMG_0403.MOV,x,no,no,no,"Thursday August 29,2013 7:08 PM GMT",0,"Wednesday September 4,2013 9:10 PM GMT"',
            "IMG_0002.JPG,x,yes,no,no,Monday March 11,2024 12:34 AM GMT,1,",
            'hidden.JPG,x,no,yes,no,"Sunday May 14,2023 3:36 AM GMT",0,',
            'gone.JPG,x,no,no,yes,"Sunday May 14,2023 3:36 AM GMT",0,',
            'twice.JPG,x,no,no,no,"Sunday May 14,2023 3:36 AM GMT",0,',
            'twice.JPG,y,no,no,no,"Monday May 15,2023 3:36 AM GMT",0,',
        ),
        "Part 2": ('IMG_0403.MOV,y,no,no,no,"Wednesday October 11,2017 3:53 PM GMT",0,',),
    }
    names = ("IMG_0001.HEIC", "IMG_0001.MOV", "IMG_0403.mov", "IMG_0002.JPG", "hidden.JPG", "gone.JPG", "twice.JPG")
    for part, lines in rows.items():
        place = tmp_path / "export" / part / "Photos"
        place.mkdir(parents=True)
        for number, line in enumerate(lines):
            (place / f"Photo Details{f'-{number}' if number else ''}.csv").write_text(f"{COLUMNS}\n{line}\n")
    for serial, name in enumerate(names):
        (tmp_path / "export/Part 1/Photos" / name).write_bytes(picture(name, serial))
    (tmp_path / "export/Part 2/Photos/IMG_0403.MOV").write_bytes(picture("IMG_0403.MOV", 99))

    uploaded = embedded.run("upload", tmp_path / "export", *UPLOAD, "--no-takeout-archived")

    assert uploaded.code == 0, uploaded.err
    assert {image.name: image.taken_at for image in embedded.images()} == {
        "IMG_0001.HEIC": datetime(2019, 3, 2, 10, 11, tzinfo=UTC),
        "IMG_0001.MOV": datetime(2019, 3, 2, 10, 11, tzinfo=UTC),
        "IMG_0403.mov": datetime(2013, 8, 29, 19, 8, tzinfo=UTC),
        "IMG_0002.JPG": datetime(2024, 3, 11, 0, 34, tzinfo=UTC),
        "twice.JPG": None,
        "IMG_0403.MOV": datetime(2017, 10, 11, 15, 53, tzinfo=UTC),
    }
    assert uploaded.summary["reasons"] == {"hidden": 1, "not_an_image": 8, "trashed": 1}


@pytest.mark.parametrize("kind", ["zip", "tgz"])
def test_parts_of_icloud_that_say_two_dates_of_one_name_leave_it_undated(
    embedded: Deployment, tmp_path: Path, kind: str
) -> None:
    # Two parts have a photo and a table of the same names at the same place: simulot/immich-go#1314.
    archives = []
    for number, date in enumerate(("Thursday August 29,2013 7:08 AM GMT", "Wednesday October 11,2017 3:53 PM GMT")):
        table = f'{COLUMNS}\nIMG_0403.JPG,x,no,no,no,"{date}",0,\nIMG_{number}.JPG,x,no,no,no,"{date}",0,\n'
        files = [
            (f"Photos/{name}", picture(name, 2 * number + at))
            for at, name in enumerate(("IMG_0403.JPG", f"IMG_{number}.JPG"))
        ]
        files.append(("Photos/Photo Details.csv", table.encode()))
        archives.append((zipped if kind == "zip" else tarred)(tmp_path / f"{number}.{kind}", files))

    uploaded = embedded.run("upload", *archives, *UPLOAD)

    assert (uploaded.code, uploaded.summary["uploaded"]) == (0, 4), uploaded.err
    found = sorted((image.name, str(image.taken_at)) for image in embedded.images())
    assert found == [
        ("IMG_0.JPG", "2013-08-29 07:08:00+00:00"),
        ("IMG_0403.JPG", "None"),
        ("IMG_0403.JPG", "None"),
        ("IMG_1.JPG", "2017-10-11 15:53:00+00:00"),
    ]
