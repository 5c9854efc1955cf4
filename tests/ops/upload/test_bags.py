"""Bags in ZIP files: found, reported if unreadable, and never held in memory."""

import json
import tracemalloc
from contextlib import closing
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.ops.sources.base import SourceFile
from imgctl.ops.sources.open import Sources
from imgctl.ops.upload.bags import open_bag
from imgctl.ops.upload.choose_files import chosen
from imgctl.ops.upload.options import Selection
from tests.imaging.pictures import encoded, quadrants
from tests.ops.upload.trees import USER

PHOTO = encoded(quadrants(), "JPEG")


def zipped(file: Path, *roots: str) -> Path:
    """Create a ZIP file with a bag of two photos below each root."""
    lines = [json.dumps({"path": f"data/{name}.jpg", "caption": f"{name} " + "x" * 100}) for name in "ab"]
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        for root in roots:
            archive.writestr(f"{root}metadata.jsonl", "\n".join(lines))
            archive.writestr(f"{root}data/a.jpg", PHOTO)
            archive.writestr(f"{root}data/b.jpg", PHOTO + b"b")
            archive.writestr(f"{root}bagit.txt", "BagIt-Version: 1.0\n")
    return file


def found_in(path: Path) -> list[SourceFile | FileOutcome]:
    with closing(Sources()) as sources:
        return list(chosen(Selection(paths=(str(path),), user_id=USER), sources))


@pytest.mark.parametrize("root", ["", "bag/", "./bag/"])
def test_the_bag_of_a_zip_is_found_in_its_root_or_its_directory(root: str, tmp_path: Path) -> None:
    found = found_in(zipped(tmp_path / "a.zip", root))

    assert [one.caption for one in found if isinstance(one, SourceFile)] == [f"{name} " + "x" * 100 for name in "ab"]
    assert len(found) == 2


def test_a_zip_of_two_bags_is_a_plain_tree_of_files(tmp_path: Path) -> None:
    found = found_in(zipped(tmp_path / "a.zip", "one/", "two/"))

    names = {one.path.removeprefix(f"{tmp_path}/a.zip/") for one in found}
    assert {f"{root}/data/{name}.jpg" for root in ("one", "two") for name in "ab"} <= names


def test_a_bag_with_damaged_metadata_is_reported(tmp_path: Path) -> None:
    file = zipped(tmp_path / "a.zip", "bag/")
    data = bytearray(file.read_bytes())
    data[70:80] = b"\xff" * 10
    file.write_bytes(data)

    *_, last = found_in(file)

    assert isinstance(last, FileOutcome)
    assert (last.path, last.fate, last.reason) == (f"{file}/bag/metadata.jsonl", Fate.FAILED, Reason.UNREADABLE)
    assert "damaged in its archive" in last.detail


def test_a_zip_of_many_files_is_checked_for_a_bag_in_bounded_memory(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(20_000):
            archive.writestr(f"{number}/metadata.jsonl", b"")
    tracemalloc.start()
    try:
        with closing(Sources()) as sources:
            bag = open_bag(str(tmp_path / "a.zip"), sources)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert bag is None
    # One object per member would take 8 MB.
    assert peak < 6 * 2**20
