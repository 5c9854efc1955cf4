"""`imgctl verify` as a process: with a directory and a bucket, its files, and its exit codes."""

import hashlib
import hmac
import json
import os
import tarfile
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest

from imgctl.model import Image
from tests.whole.conftest import photo, place_of
from tests.whole.deployment import USER, Deployment
from tests.whole.test_sources import Old, keys_of
from tests.whole.test_sources import old as old  # noqa: PLC0414  # a fixture

OWNER = ("--user", str(USER))


@pytest.fixture
def uploaded(deployment: Deployment, album: dict[Path, bytes]) -> Deployment:
    assert deployment.run("init").code == 0
    assert deployment.run("upload", place_of(album), *OWNER).code == 0
    return deployment


def header(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    return info


def row_of(deployment: Deployment, content: bytes) -> Image:
    digest = hashlib.sha256(content).digest()
    return next(image for image in deployment.images() if image.sha256 == digest)


def test_what_is_damaged_or_missing_is_named_and_an_upload_makes_it_safe(
    uploaded: Deployment, album: dict[Path, bytes]
) -> None:
    place, store = place_of(album), uploaded.open_store()
    whole = uploaded.run("verify", place, *OWNER, "--json")
    gone, short, other = (row_of(uploaded, photo(number)) for number in (5, 6, 7))
    store.delete([gone.original_key or ""])
    store.replace(short.original_key or "", b"short", content_type="image/jpeg")
    content = store.get(other.original_key or "")
    store.replace(other.original_key or "", content[:-1] + b"?", content_type="image/jpeg")
    (place / "new.jpg").write_bytes(photo(99))

    found = uploaded.run("verify", place, *OWNER, "--json", "--failed-out", place.parent / "again")

    proof = "by_sha256" if uploaded.store.url.startswith("file://") else "by_etag"
    assert (whole.code, whole.summary["safe"], whole.summary["reasons"]) == (0, 22, {proof: 22})
    assert found.code == 4
    unsafe = {Path(str(one["path"])).name: one["reason"] for one in found.of("file") if one["fate"] == "unsafe"}
    assert unsafe == {
        "5.jpg": "original_missing",
        "6.jpg": "size_differs",
        "7.jpg": "content_differs",
        "new.jpg": "missing",
    }
    assert (found.summary["unsafe"], found.summary["safe"], found.summary["complete"]) == (4, 19, True)
    assert uploaded.run("verify", place, *OWNER, "--against", "catalog", "--json").summary["unsafe"] == 1
    uploaded.run("upload", "--files-from", place.parent / "again", *OWNER)
    assert uploaded.run("verify", place / "new.jpg", *OWNER).code == 0


def test_it_is_about_the_owner(uploaded: Deployment, album: dict[Path, bytes]) -> None:
    other = "0190b2b4-0000-7000-8000-000000000002"

    found = uploaded.run("verify", place_of(album), "--user", other, "--json")

    assert (found.code, found.summary["reasons"]) == (4, {"missing": 22})


def test_the_list_has_what_may_go_and_nothing_else(embedded: Deployment, tmp_path: Path) -> None:
    place = tmp_path / "odd"
    place.mkdir()
    names = [b"plain.jpg", b"with space.jpg", b"two\nlines.jpg", b"no \xff utf-8.jpg"]
    for number, name in enumerate(names):
        (place / os.fsdecode(name)).write_bytes(photo(number))
    assert embedded.run("upload", place, *OWNER).code == 0
    (place / "later.jpg").write_bytes(photo(9))
    (place / "plain.jpg.json").write_text("{}")
    lines, nulls = tmp_path / "lines", tmp_path / "nulls"

    first = embedded.run("verify", place, *OWNER, "--list-safe", lines)
    second = embedded.run("verify", place, *OWNER, "--list-safe", nulls, "--null")

    whole = {os.fsencode(place) + b"/" + name for name in names}
    assert (first.code, second.code) == (4, 4)
    assert set(nulls.read_bytes().split(b"\0")) == whole | {b""}
    assert set(lines.read_bytes().splitlines()) == {one for one in whole if b"\n" not in one}
    assert "1 path left out of --list-safe: use --null" in first.err
    assert {path.name for path in place.iterdir()} >= set(map(os.fsdecode, names))


def test_the_report_is_signed(embedded: Deployment, tmp_path: Path) -> None:
    place = tmp_path / "photos"
    place.mkdir()
    for number in range(3):
        (place / f"{number}.jpg").write_bytes(photo(number))
    assert embedded.run("upload", place, *OWNER).code == 0
    (place / "3.jpg").write_bytes(photo(3))
    report = tmp_path / "verified.jsonl"

    found = embedded.with_settings(SERVE_SECRET="known").run("verify", place, *OWNER, "--report", report)

    assert found.code == 4
    *before, last = report.read_bytes().splitlines(keepends=True)
    [unsafe, summary], signature = [json.loads(line) for line in before], json.loads(last)
    assert (unsafe["path"], unsafe["reason"]) == (str(place / "3.jpg"), "missing")
    assert (summary["safe"], summary["unsafe"], summary["complete"]) == (3, 1, True)
    assert summary["catalog"].startswith("sqlite:///")
    assert signature["sha256"] == hashlib.sha256(b"".join(before)).hexdigest()
    assert signature["hmac_sha256"] == hmac.new(b"known", b"".join(before), hashlib.sha256).hexdigest()
    assert signature["sha256"] in found.err


def test_a_report_without_a_secret_has_a_digest_and_no_signature(embedded: Deployment, tmp_path: Path) -> None:
    place, report = tmp_path / "photos", tmp_path / "verified.jsonl"
    place.mkdir()
    (place / "0.jpg").write_bytes(photo(0))
    assert embedded.run("upload", place, *OWNER).code == 0

    assert embedded.with_settings(SERVE_SECRET="").run("verify", place, *OWNER, "--report", report).code == 0

    *before, last = report.read_bytes().splitlines(keepends=True)
    digest = hashlib.sha256(b"".join(before)).hexdigest()
    assert json.loads(last) == {"type": "signature", "sha256": digest, "hmac_sha256": None}


def test_what_cannot_be_judged_fails(embedded: Deployment, tmp_path: Path) -> None:
    place = tmp_path / "photos"
    place.mkdir()
    (place / "1.jpg").write_bytes(photo(1))
    assert embedded.run("upload", place, *OWNER).code == 0
    (place / "empty.jpg").touch()
    (place / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (place / "notes.txt").write_text("no picture")
    # It may hold photos: who deletes the directory after a verification loses them.
    with ZipFile(place / "more.zip", "w") as archive:
        archive.writestr("2.jpg", photo(2))

    found = embedded.run("verify", place, *OWNER, "--json")

    assert found.code == 3
    fates = {Path(str(one["path"])).name: (one["fate"], one["reason"]) for one in found.of("file")}
    assert fates == {
        "1.jpg": ("safe", "by_sha256"),
        "empty.jpg": ("failed", "empty"),
        "drawing.svg": ("failed", "unsupported"),
        "notes.txt": ("skipped", "not_an_image"),
        "more.zip": ("failed", "unopened_archive"),
    }


def test_a_file_that_the_journal_knows_is_not_read_where_that_is_asked(
    embedded: Deployment, album: dict[Path, bytes]
) -> None:
    place = place_of(album)
    assert embedded.run("upload", place, *OWNER).code == 0
    # Changed with the same size and time: only reading detects it.
    changed = place / "1/7.jpg"
    changed.write_bytes(album[changed][:-1] + b"?")
    os.utime(changed, (1_700_000_000, 1_700_000_000))

    trusted = embedded.run("verify", place, *OWNER, "--trust-journal", "--json")
    read = embedded.run("verify", place, *OWNER, "--json")

    assert (trusted.code, trusted.summary["reasons"]) == (0, {"by_journal": 22})
    assert (read.code, read.summary["reasons"]) == (4, {"by_sha256": 21, "missing": 1})


def test_an_archive_with_links_to_its_own_photos_is_safe_to_delete(embedded: Deployment, tmp_path: Path) -> None:
    file = tmp_path / "a.tar"
    with tarfile.open(file, "w") as archive:
        archive.addfile(header("a.jpg", len(photo(1))), BytesIO(photo(1)))
        for name, kind in (("hard.jpg", tarfile.LNKTYPE), ("symbolic.jpg", tarfile.SYMTYPE)):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, "a.jpg"
            archive.addfile(link)
    assert embedded.run("upload", file, *OWNER).code == 0

    verified = embedded.run("verify", file, *OWNER, "--list-safe", "safe")

    assert verified.code == 0, verified.err
    assert (embedded.directory / "safe").read_text().splitlines() == [str(file)]


def test_of_two_members_of_one_name_each_is_judged_by_itself(embedded: Deployment, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for number in range(2):
            archive.addfile(header("a.jpg", len(photo(number))), BytesIO(photo(number)))
    first = embedded.run("upload", tmp_path / "a.tar", *OWNER, "--limit", "1", "--json")

    trusted = embedded.run("verify", tmp_path / "a.tar", *OWNER, "--trust-journal", "--json")
    second = embedded.run("upload", tmp_path / "a.tar", *OWNER, "--json")

    assert (first.summary["uploaded"], trusted.code, trusted.summary["unsafe"]) == (1, 4, 1)
    assert (second.summary["uploaded"], second.summary["present"]) == (1, 1)
    assert {image.sha256 for image in embedded.images()} == {hashlib.sha256(photo(n)).digest() for n in range(2)}


def test_what_a_manifest_says_of_a_content_is_compared_though_the_journal_knows_the_file(
    embedded: Deployment, tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_bytes(photo(1))
    os.utime(tmp_path / "a.jpg", (1_700_000_000, 1_700_000_000))
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(f"path,user_id,sha256\na.jpg,{USER},{hashlib.sha256(photo(2)).hexdigest()}\n")
    assert embedded.run("upload", tmp_path / "a.jpg", *OWNER).code == 0

    again = embedded.run("upload", "--manifest", manifest, "--json")
    trusted = embedded.run("verify", "--manifest", manifest, "--trust-journal", "--json")

    assert (again.code, again.summary["reasons"]) == (3, {"content_differs": 1})
    assert trusted.code == 4


def test_objects_that_the_journal_knows_by_their_etag_are_not_read_again(
    servers: Deployment,
    album: dict[Path, bytes],
    old: Old,
) -> None:
    old.put(keys_of(album))
    deployment = old.of(servers)
    assert deployment.run("upload", "source:old", *OWNER).code == 0
    old.put({"0/0.jpg": photo(99)})
    old.requested()

    found = deployment.run("verify", "source:old", *OWNER, "--json")
    requested = old.requested()
    anew = deployment.run("verify", "source:old", *OWNER, "--json", "--journal", "none")

    assert (found.code, found.summary["reasons"]) == (4, {"by_journal": 21, "missing": 1})
    assert requested[1] == 1
    assert (anew.code, anew.summary["reasons"]) == (4, {"by_etag": 21, "missing": 1})
    assert old.requested()[1] == 22


@pytest.mark.parametrize(
    "options",
    [
        ("--list-safe", "same", "--failed-out", "./same"),
        ("--list-safe", "same", "--report", "same"),
        ("--report", "same", "--failed-out", "same"),
        ("--list-safe", "list", "--files-from", "list"),
        ("--report", "list", "--files-from", "list"),
    ],
)
def test_a_list_that_would_overwrite_another_is_refused(embedded: Deployment, options: tuple[str, ...]) -> None:
    embedded.run("init")
    (embedded.directory / "list").write_text("photos\n")

    result = embedded.run("verify", *OWNER, *options, *(() if "--files-from" in options else ("list",)))

    assert (result.code, "would overwrite a file that the run also uses" in result.err) == (2, True), result.err
    assert (embedded.directory / "list").read_text() == "photos\n"


def test_several_lists_may_go_to_a_device(embedded: Deployment) -> None:
    embedded.run("init")

    result = embedded.run("verify", ".", *OWNER, "--list-safe", "/dev/null", "--failed-out", "/dev/null")

    assert result.code == 0, result.err
