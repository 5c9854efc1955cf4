"""Unsupported pictures, raws and films: every command reports them, lists them as failed, and exits 3."""

import csv
from pathlib import Path

import pytest

from imgctl.imaging.formats import KNOWN, Format
from tests.imaging.pictures import encoded, quadrants
from tests.ops.ingest.test_recognise import OPENINGS, UNTAKEN
from tests.whole.deployment import USER, Deployment

FAULTS = Path(__file__).parents[3] / "shared" / "faults" / "inputs"
PLACES = [FAULTS / name for name in ("passed", "empty", "zeroed")]


@pytest.fixture
def left_behind(tmp_path: Path) -> Path:
    place = tmp_path / "card"
    place.mkdir()
    for known in UNTAKEN:
        (place / f"IMG.{KNOWN[known].extension}").write_bytes(OPENINGS[known][0])
    (place / "good.jpg").write_bytes(encoded(quadrants(), "JPEG"))
    (place / "notes.txt").write_text("no picture")
    return place


def test_what_is_not_taken_is_named_and_the_run_exits_3(
    embedded: Deployment, left_behind: Path, tmp_path: Path
) -> None:
    failed, report = tmp_path / "failed", tmp_path / "report.csv"

    result = embedded.run(
        "upload", left_behind, "--user", str(USER), "--quiet", "--failed-out", failed, "--report", report
    )

    expected = {str(left_behind / f"IMG.{KNOWN[known].extension}") for known in UNTAKEN}
    assert result.code == 3
    assert result.out == ""
    assert {line.split(" ")[1].rstrip(":") for line in result.err.splitlines()} == expected
    assert set(failed.read_text().split("\n")) - {""} == expected
    rows = {row["path"]: (row["fate"], row["reason"]) for row in csv.DictReader(report.read_text().splitlines())}
    assert {path for path, why in rows.items() if why == ("failed", "unsupported")} == expected
    assert len(embedded.images()) == 1


def test_formats_that_are_left_out_are_no_failure(embedded: Deployment, left_behind: Path) -> None:
    pictures = ",".join(known for known in UNTAKEN if KNOWN[known].kind == "picture")

    result = embedded.run("upload", left_behind, "--user", str(USER), "--leave-out", f"raw,video,{pictures}", "--json")

    assert (result.code, "unsupported" in result.err) == (0, False)
    assert result.summary["reasons"] == {"left_out": len(UNTAKEN), "not_an_image": 1}


def test_an_unknown_format_to_leave_out_says_which_are_known(embedded: Deployment, left_behind: Path) -> None:
    result = embedded.run("upload", left_behind, "--user", str(USER), "--leave-out", "raw,phot")

    assert result.code == 2
    assert "'phot'" in result.err
    assert all(name in result.err for name in ("raw", "video", "cr3", "jxl", "psd", "mov"))


@pytest.mark.skipif(not FAULTS.is_dir(), reason="the shared faults are not here")
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_no_shared_fault_is_passed_over(embedded: Deployment, place: Path) -> None:
    result = embedded.run("upload", place, "--user", str(USER), "--json")

    files = [path for path in place.iterdir() if path.is_file()]
    assert result.code == (3 if result.summary["failed"] else 0)
    assert len(embedded.images()) == result.summary["uploaded"]
    assert result.summary["failed"] == len(files) - len(embedded.images())


def test_blobs_that_are_not_taken_fail_to_be_inserted(embedded: Deployment, tmp_path: Path) -> None:
    store, manifest = embedded.open_store(), tmp_path / "keys.csv"
    blobs = {"a.cr3": OPENINGS[Format.EXR][0], "b.jpg": bytes(999), "c.txt": b"no picture"}
    for key, data in blobs.items():
        store.replace(key, data, content_type="application/octet-stream")
    manifest.write_text("key,user_id\n" + "".join(f"{key},{USER}\n" for key in blobs))

    for arguments in (["--dry-run"], []):
        result = embedded.run("insert", manifest, "--json", *arguments)
        assert result.code == 3
        assert result.summary["reasons"] == {"not_an_image": 2, "unsupported": 1}
        assert result.summary["failed"] == 2

    result = embedded.run("insert", manifest, "--json", "--leave-out", "exr,jpg")
    assert (result.code, result.summary["failed"]) == (0, 0)


def test_a_jpeg_with_a_damaged_signature_ends_ready(embedded: Deployment, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xfe" + encoded(quadrants(), "JPEG")[3:])

    uploaded = embedded.run("upload", tmp_path / "a.jpg", "--user", str(USER))
    worked = embedded.run("work", "--drain")

    assert (uploaded.code, worked.code) == (0, 0), uploaded.err + worked.err
    [image] = embedded.images()
    assert (image.status, image.width, image.content_type) == ("ready", 96, "image/jpeg")
