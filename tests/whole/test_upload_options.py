"""The options of `imgctl upload`."""

import csv
import json
import os
from hashlib import sha256
from pathlib import Path

import pytest

from imgctl.model import Status
from tests.parts.proxy import fault_proxy
from tests.whole.conftest import photo, place_of
from tests.whole.deployment import USER, Deployment

UPLOAD = ("upload", "--user", str(USER))
SHARED = Path(__file__).parents[3] / "shared" / "photos"


def test_a_dry_run_says_what_it_would_put_and_changes_nothing(deployment: Deployment, album: dict[Path, bytes]) -> None:
    result = deployment.run(*UPLOAD, place_of(album), "--dry-run", "--json")

    assert result.code == 0, result.err
    assert result.summary["planned"] == 22
    assert result.summary["bytes_planned"] == sum(map(len, album.values()))
    assert isinstance(result.summary["estimate"], dict)
    assert deployment.images() == []
    assert list(deployment.open_store().scan()) == []


def test_a_second_run_asks_the_store_nothing(servers: Deployment, album: dict[Path, bytes]) -> None:
    servers.run(*UPLOAD, place_of(album))

    with fault_proxy(servers.store.endpoint_url) as proxy:
        result = servers.run(*UPLOAD, place_of(album), "--store-endpoint-url", proxy.url, "--json")

    assert result.summary["present"] == 22
    assert proxy.requests.total() == 0
    assert {file["seconds"] for file in result.of("file")} == {0.0}, "files were read again"


def test_a_dry_run_asks_the_store_nothing(servers: Deployment, album: dict[Path, bytes]) -> None:
    with fault_proxy(servers.store.endpoint_url) as proxy:
        result = servers.run(*UPLOAD, place_of(album), "--store-endpoint-url", proxy.url, "--dry-run", "--json")

    assert (result.code, result.summary["planned"]) == (0, 22), result.err
    assert proxy.requests.total() == 0


def test_a_journal_of_images_that_are_gone_is_not_believed(
    embedded: Deployment, album: dict[Path, bytes], tmp_path: Path
) -> None:
    embedded.run(*UPLOAD, place_of(album))
    (embedded.directory / "catalog.db").rename(tmp_path / "lost.db")

    result = embedded.run(*UPLOAD, place_of(album), "--json")

    assert result.summary["uploaded"] == 20
    assert len(embedded.images()) == 20


def test_a_changed_file_is_read_again(embedded: Deployment, album: dict[Path, bytes]) -> None:
    embedded.run(*UPLOAD, place_of(album))
    changed = next(iter(album))
    changed.write_bytes(photo(99))

    result = embedded.run(*UPLOAD, place_of(album), "--json")

    assert result.summary["uploaded"] == 1
    assert len(embedded.images()) == 21


def test_a_journal_that_is_no_database_is_replaced(embedded: Deployment, album: dict[Path, bytes]) -> None:
    journal = embedded.directory / "journal"
    journal.write_bytes(b"torn" * 1000)

    result = embedded.run(*UPLOAD, place_of(album), "--journal", journal)

    assert result.code == 0, result.err
    assert len(embedded.images()) == 20


def test_names_of_every_kind_come_back_in_the_report(embedded: Deployment, tmp_path: Path) -> None:
    names = [b"with space", b"new\nline", "\N{CAMERA}".encode(), b"\xff\xfe", b"x" * 251, b"tab\t;\"quote'", b"-rf"]
    place = tmp_path / "names"
    place.mkdir()
    for number, name in enumerate(names):
        Path(os.fsdecode(bytes(place) + b"/" + name + b".jpg")).write_bytes(photo(number))

    results = [
        embedded.run(*UPLOAD, place, "--report", embedded.directory / f"report.{ending}") for ending in ("csv", "jsonl")
    ]

    assert [result.code for result in results] == [0, 0], results[0].err
    with (embedded.directory / "report.csv").open(newline="", errors="surrogateescape") as file:
        in_csv = [row["path"] for row in csv.DictReader(file)]
    in_json = [json.loads(line)["path"] for line in (embedded.directory / "report.jsonl").read_text().splitlines()]
    expected = sorted(bytes(place) + b"/" + name + b".jpg" for name in names)
    assert sorted(map(os.fsencode, in_csv)) == expected
    assert sorted(map(os.fsencode, in_json)) == expected


@pytest.mark.parametrize("name", ["plain.jpg", "new\nline.jpg"])
def test_failed_files_are_listed_so_that_they_can_be_taken_again(
    embedded: Deployment, tmp_path: Path, name: str
) -> None:
    place = tmp_path / "photos"
    place.mkdir()
    (place / name).write_bytes(b"")
    (place / "good.jpg").write_bytes(photo(1))
    failed = embedded.directory / "failed"
    first = embedded.run(*UPLOAD, place, "--failed-out", failed)
    (place / name).write_bytes(photo(2))

    again = embedded.run(*UPLOAD, "--files-from", failed, "--json")

    assert first.code == 3
    assert [Path(str(file["path"])).name for file in again.of("file")] == [name]
    assert again.summary["uploaded"] == 1


def test_a_limit_stops_after_so_many_and_the_next_run_goes_on(embedded: Deployment, album: dict[Path, bytes]) -> None:
    first = embedded.run(*UPLOAD, place_of(album), "--limit", "7", "--json")
    second = embedded.run(*UPLOAD, place_of(album), "--json")

    assert (first.code, second.code) == (0, 0)
    assert first.summary["uploaded"] == 7
    assert second.summary["uploaded"] == 13


def test_a_run_out_of_time_ends_with_3_and_the_next_goes_on(embedded: Deployment, album: dict[Path, bytes]) -> None:
    first = embedded.run(*UPLOAD, place_of(album), "--max-duration", "1ms")
    second = embedded.run(*UPLOAD, place_of(album))

    assert (first.code, second.code) == (3, 0)
    assert "run the same command again to continue" in first.err
    assert len(embedded.images()) == 20


def test_a_manifest_says_whose_when_and_what(embedded: Deployment, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photo(1))
    manifest = tmp_path / "album.csv"
    manifest.write_text(
        f'path,user_id,caption,uploaded_at\na.jpg,{USER},"the beach, at last",2020-07-14T12:00:00Z\n,,,\n'
    )

    result = embedded.run("upload", "--manifest", manifest, "--json")

    (image,) = embedded.images()
    assert (image.caption, image.user_id, f"{image.uploaded_at:%Y-%m-%d}") == ("the beach, at last", USER, "2020-07-14")
    assert (image.original_key or "").startswith("2020/07/14/")
    assert result.code == 3
    assert result.summary["reasons"] == {"bad_line": 1}


def test_a_user_is_taken_from_the_path(embedded: Deployment, tmp_path: Path) -> None:
    owned = tmp_path / "nas" / str(USER) / "2020"
    owned.mkdir(parents=True)
    (owned / "a.jpg").write_bytes(photo(1))
    (tmp_path / "nas" / "b.jpg").write_bytes(photo(2))

    result = embedded.run("upload", tmp_path / "nas", "--user-from", "{user}/**", "--json")

    assert [image.user_id for image in embedded.images()] == [USER]
    assert result.summary["reasons"] == {"no_user": 1}
    assert result.code == 3


def test_a_file_too_large_to_hold_is_streamed(servers: Deployment, tmp_path: Path) -> None:
    huge = tmp_path / "huge.tif"
    with huge.open("wb") as file:
        file.write(photo_as_tiff_header())
        file.truncate(100 * 2**20)

    result = servers.run(*UPLOAD, huge, "--memory", "64MiB", "--json")

    assert result.code == 0, result.err
    (image,) = servers.images()
    assert (image.status, image.bytes) == (Status.PROCESSING, 100 * 2**20)
    stored = servers.open_store().head(image.original_key or "")
    assert stored is not None and stored.size == 100 * 2**20


def photo_as_tiff_header() -> bytes:
    """Return the eight bytes of a TIFF header, with an empty directory."""
    return b"II*\0\x08\0\0\0\0\0\0\0\0\0"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared photos are not here")
def test_a_report_accounts_for_every_file(embedded: Deployment) -> None:
    report = embedded.directory / "report.jsonl"
    result = embedded.run(*UPLOAD, SHARED, "--report", report, "--json")

    lines = [json.loads(line) for line in report.read_text().splitlines()]
    files = [path for path in SHARED.rglob("*") if path.is_file()]
    assert sorted(line["path"] for line in lines) == sorted(map(str, files))
    fates = ("uploaded", "present", "skipped", "failed")
    assert sum(int(str(result.summary[fate])) for fate in fates) == len(files) == result.summary["files"]


def test_the_store_itself_is_never_uploaded(embedded: Deployment, album: dict[Path, bytes]) -> None:
    embedded.run(*UPLOAD, place_of(album))
    embedded.run("work", "--drain")

    result = embedded.run(*UPLOAD, embedded.directory, "--json")

    assert result.summary["uploaded"] == 0
    assert ("blobs", "own_store") in {(Path(str(file["path"])).name, file["reason"]) for file in result.of("file")}
    assert len(embedded.images()) == 20


def test_blobs_of_the_store_are_not_uploaded_however_they_are_named(
    embedded: Deployment, album: dict[Path, bytes]
) -> None:
    embedded.run(*UPLOAD, place_of(album))
    blobs = Path(embedded.store.url.removeprefix("file://"))
    one = blobs / str(embedded.images()[0].original_key)
    listed, manifest = embedded.directory / "list", embedded.directory / "manifest.csv"
    listed.write_text(f"{one}\n{one.parent}\n")
    manifest.write_text(f"path,user_id\n{one},{USER}\n")
    (inside := embedded.directory / "link").symlink_to(one.parent)

    runs = [
        embedded.run(*UPLOAD, blobs, one, inside, "--json"),
        embedded.run(*UPLOAD, "--files-from", listed, "--json"),
        embedded.run("upload", "--manifest", manifest, "--json"),
    ]
    watched = embedded.run("watch", blobs, "--user", str(USER))

    assert [{file["reason"] for file in run.of("file")} for run in runs] == [{"own_store"}] * 3
    assert [(run.code, run.summary["uploaded"]) for run in runs] == [(0, 0)] * 3
    assert watched.code == 2
    assert "lies in the store itself" in watched.err
    assert len(embedded.images()) == 20


def test_a_run_under_a_low_rate_stops_at_once_and_keeps_its_promises(
    servers: Deployment, album: dict[Path, bytes]
) -> None:
    first = servers.run(*UPLOAD, place_of(album), "--bwlimit", "10KiB", "--max-duration", "500ms", "--json")
    second = servers.run(*UPLOAD, place_of(album), "--json")

    assert (first.code, second.code) == (3, 0)
    assert first.summary["uploaded"] != 20
    assert len({image.sha256 for image in servers.images()}) == len(servers.images()) == 20
    assert {image.status for image in servers.images()} == {Status.PROCESSING}


def test_a_run_that_ends_early_still_says_what_was_done(embedded: Deployment, album: dict[Path, bytes]) -> None:
    report = embedded.directory / "report.csv"
    report.symlink_to("/dev/full")

    result = embedded.run(*UPLOAD, place_of(album), "--report", report, "--json")

    assert result.code == 1
    assert "the report cannot be written" in result.err
    assert result.summary["type"] == "summary"


def test_a_run_that_cannot_begin_says_why_and_touches_no_report(
    embedded: Deployment, album: dict[Path, bytes], tmp_path: Path
) -> None:
    report = tmp_path / "report.csv"
    report.write_text("of the last run")
    away = ("--catalog", "postgresql://nobody@127.0.0.1:1/nothing")

    result = embedded.run(*UPLOAD, place_of(album), "--report", report, *away)

    assert (result.code, result.out) == (1, "")
    assert len(result.err.splitlines()) == 1
    assert "127.0.0.1" in result.err
    assert report.read_text() == "of the last run"


def test_a_linked_sidecar_is_read_when_links_are_followed(
    embedded: Deployment, album: dict[Path, bytes], tmp_path: Path
) -> None:
    plain, linked = list(album)[:2]
    for path in (plain, linked):
        elsewhere = tmp_path / f"{path.name}.said"
        elsewhere.write_text(json.dumps({"description": "a linked word", "photoTakenTime": {"timestamp": "1"}}))
        path.with_name(f"{path.name}.json").symlink_to(elsewhere)

    embedded.run(*UPLOAD, plain)
    embedded.run(*UPLOAD, linked, "--follow-links")

    assert sorted(image.caption or "" for image in embedded.images()) == ["", "a linked word"]


def test_a_command_without_arguments_shows_its_help(embedded: Deployment) -> None:
    result = embedded.run()

    assert result.code == 2
    assert len(result.err.splitlines()) > 10
    assert "imgctl demo" in result.err


def test_the_help_names_every_column_of_a_manifest(embedded: Deployment) -> None:
    (embedded.directory / "album.csv").write_text(
        "path,user_id,caption,name,uploaded_at,taken_at,sha256\n"
        f"1.jpg,{USER},a walk,walk.jpg,2024-02-01T10:00Z,2024-01-01T10:00Z,{sha256(photo(1)).hexdigest()}\n"
    )
    (embedded.directory / "1.jpg").write_bytes(photo(1))

    ran = embedded.run("upload", "--manifest", "album.csv")
    helped = " ".join(embedded.run("upload", "--help").out.split())

    assert ran.code == 0, ran.err
    (image,) = embedded.images()
    assert (image.caption, image.name, f"{image.uploaded_at:%m}", f"{image.taken_at:%m}") == (
        "a walk",
        "walk.jpg",
        "02",
        "01",
    )
    assert "path, user_id, caption, name, uploaded_at, taken_at, sha256; - is stdin" in helped
