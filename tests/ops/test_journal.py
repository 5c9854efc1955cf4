"""The journal of uploads: what it remembers, and what it leaves alone."""

from pathlib import Path
from uuid import UUID

import pytest

from imgctl.errors import StateError
from imgctl.ops.upload.journal import Entry, Journal
from imgctl.ops.upload.walk import Found

SCOPE = b"here"


def entry(inode: int = 7) -> Entry:
    found = Found(path="/photos/a.jpg", size=10, mtime_ns=1_700_000_000 * 10**9, inode=inode)
    return Entry(found=found, sha256=b"s" * 32, image=UUID(int=1))


@pytest.mark.parametrize("inode", [0, 7, 2**63 - 1, 2**63, 2**64 - 1])
def test_inodes_of_any_file_system_are_remembered(tmp_path: Path, inode: int) -> None:
    one, another = entry(inode=inode), entry(inode=inode ^ 1)
    journal = Journal(tmp_path / "journal.db")

    journal.record(SCOPE, [one])

    assert journal.known(SCOPE, [one.found]) == {one.found.path: one}
    assert journal.known(SCOPE, [another.found]) == {}
    journal.close()


def test_a_file_that_is_no_journal_is_moved_aside_and_not_lost(tmp_path: Path) -> None:
    mistaken = tmp_path / "photo.jpg"
    mistaken.write_bytes(b"\xff\xd8\xff" * 1000)

    journal = Journal(mistaken)
    journal.record(SCOPE, [entry()])
    journal.close()

    assert (tmp_path / "photo.jpg.damaged").read_bytes() == b"\xff\xd8\xff" * 1000


def test_a_journal_that_is_damaged_within_says_that_it_may_be_deleted(tmp_path: Path) -> None:
    file = tmp_path / "journal.db"
    journal = Journal(file)
    journal.record(SCOPE, [entry()])
    journal.close()
    file.write_bytes(file.read_bytes()[:4096] + b"\xff" * 4096)
    journal = Journal(file)

    with pytest.raises(StateError) as raised:
        journal.known(SCOPE, [entry().found])

    assert "delete it" in raised.value.line
    journal.close()


def test_a_journal_where_none_can_be_asks_for_rights(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()

    with pytest.raises(StateError) as raised:
        Journal(tmp_path / "directory")

    assert "check the rights there" in raised.value.line
