"""The list of files and archives that are safe to delete."""

from pathlib import Path

import pytest

from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.ops.verify.safe_list import safe_list

SAFE = FileOutcome(path="1.zip/a.jpg", fate=Fate.PRESENT, reason=Reason.BY_SHA256)


def listed(tmp_path: Path, *outcomes: FileOutcome, finished: bool = True) -> list[str]:
    with safe_list(tmp_path / "list", null=False, archives=("1.zip", "2.zip")) as safe:
        for outcome in outcomes:
            safe.add(outcome)
        if finished:
            safe.finish()
    return (tmp_path / "list").read_text().splitlines()


def away(path: str, reason: Reason, fate: Fate = Fate.SKIPPED) -> FileOutcome:
    return FileOutcome(path=path, fate=fate, reason=reason)


@pytest.mark.parametrize("reason", [Reason.SIDECAR, Reason.NOT_AN_IMAGE, Reason.LINK, Reason.NOT_A_FILE])
def test_an_archive_of_which_every_photo_is_safe_may_go(tmp_path: Path, reason: Reason) -> None:
    assert listed(tmp_path, SAFE, away("1.zip/other", reason), away("2.zip/other", reason)) == ["1.zip"]


@pytest.mark.parametrize("name", ["__MACOSX", "a/._b.jpg", "a/.DS_Store", "Thumbs.db", "a/@eaDir"])
def test_what_systems_leave_in_an_archive_does_not_keep_it(tmp_path: Path, name: str) -> None:
    assert listed(tmp_path, SAFE, away(f"1.zip/{name}", Reason.JUNK)) == ["1.zip"]


@pytest.mark.parametrize("name", [".private", "a/.b.jpg", "#recycle", "lost+found", "$RECYCLE.BIN"])
def test_what_may_be_a_hidden_photo_keeps_its_archive(tmp_path: Path, name: str) -> None:
    assert listed(tmp_path, SAFE, away(f"1.zip/{name}", Reason.JUNK)) == []


@pytest.mark.parametrize(
    "other",
    [
        away("1.zip/b.jpg", Reason.MISSING, Fate.FAILED),
        away("1.zip/b.jpg", Reason.TRASHED),
        away("1.zip/b.jpg", Reason.FILTERED),
        away("1.zip/b.svg", Reason.UNSUPPORTED, Fate.FAILED),
        away("1.zip/b.jpg", Reason.LINK, Fate.FAILED),
        away("1.zip", Reason.UNREADABLE, Fate.FAILED),
        away("1.zip/more/Photos.ZIP", Reason.NOT_AN_IMAGE),
    ],
)
def test_an_archive_of_which_a_photo_is_not_safe_or_was_left_out_may_not(tmp_path: Path, other: FileOutcome) -> None:
    assert listed(tmp_path, SAFE, other) == []
    assert listed(tmp_path, other, SAFE) == []


def test_an_archive_that_was_not_read_to_its_end_may_not(tmp_path: Path) -> None:
    one = FileOutcome(path="beside/1.zip.jpg", fate=Fate.PRESENT, reason=Reason.BY_SHA256)

    assert listed(tmp_path, SAFE, one, finished=False) == ["beside/1.zip.jpg"]
