"""The upload journal: its entries, and how it treats files that it cannot use."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from imgctl.ops.sources.base import SourceFile
from imgctl.ops.sources.local import LocalFiles
from imgctl.ops.upload import journal as journals
from imgctl.ops.upload.journal import Entry, Journal

SCOPE = b"here"


def entry(inode: int = 7, path: str = "/photos/a.jpg") -> Entry:
    found = SourceFile(path=path, size=10, mtime_ns=1_700_000_000 * 10**9, stamp=inode, source=LocalFiles())
    return Entry(found=found, sha256=b"s" * 32, image=UUID(int=1))


@pytest.mark.parametrize("inode", [0, 7, 2**63 - 1, 2**63, 2**64 - 1])
def test_inodes_of_any_file_system_are_remembered(tmp_path: Path, inode: int) -> None:
    one, another = entry(inode=inode), entry(inode=inode ^ 1)
    journal = Journal(tmp_path / "journal.db")

    journal.record(SCOPE, [one])

    assert journal.known(SCOPE, [one.found]) == [one]
    assert journal.known(SCOPE, [another.found]) == [None]
    journal.close()


@pytest.mark.parametrize("year", [-200_000, 1000, 9999, 300_000])
def test_times_of_any_year_are_remembered(tmp_path: Path, year: int) -> None:
    found = replace(entry().found, mtime_ns=(year - 1970) * 31_556_952 * 10**9, pinned=True)
    one = replace(entry(), found=found)
    journal = Journal(tmp_path / "journal.db")

    journal.record(SCOPE, [one])

    assert journal.known(SCOPE, [found]) == [one]
    assert journal.known(SCOPE, [entry().found]) == [None]
    journal.close()


def test_a_file_that_is_not_a_journal_is_moved_aside_and_not_lost(tmp_path: Path) -> None:
    mistaken = tmp_path / "photo.jpg"
    mistaken.write_bytes(b"\xff\xd8\xff" * 1000)

    journal = Journal(mistaken)
    journal.record(SCOPE, [entry()])
    journal.close()

    assert (tmp_path / "photo.jpg.damaged").read_bytes() == b"\xff\xd8\xff" * 1000


def whole_journal(file: Path) -> None:
    journal = Journal(file)
    journal.record(SCOPE, [entry(), *(entry(path=f"/photos/{number}.jpg") for number in range(300))])
    journal.close()


def truncated(file: Path) -> None:
    whole_journal(file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def damaged_within(file: Path) -> None:
    whole_journal(file)
    file.write_bytes(file.read_bytes()[:4096] + b"\xff" * 4096)


def random_bytes(file: Path) -> None:
    file.write_bytes(b"\x93\x00\xf1" * 5000)


def another_program(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE photos (id INTEGER)")


def another_table_of_that_name(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE files (name TEXT)")


def newer_version(file: Path) -> None:
    whole_journal(file)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 9")


@pytest.mark.parametrize(
    "damage",
    [truncated, damaged_within, random_bytes, another_program, another_table_of_that_name, newer_version],
)
def test_an_unusable_journal_is_moved_aside_and_reported_once(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    file, reported = tmp_path / "journal.db", list[str]()
    damage(file)
    before = file.read_bytes()

    journal = Journal(file, report=reported.append)
    journal.is_empty()
    assert journal.known(SCOPE, [entry().found]) == [None]
    journal.record(SCOPE, [entry()])
    journal.close()

    assert len(reported) == 1 and f"moved to {file}.damaged" in reported[0]
    assert Path(f"{file}.damaged").read_bytes()[4096:] == before[4096:]
    again = Journal(file, report=reported.append)
    assert again.known(SCOPE, [entry().found]) == [entry()]
    again.close()
    assert len(reported) == 1


def test_an_earlier_moved_journal_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "journal.db"
    for _ in range(3):
        random_bytes(file)
        Journal(file, report=list[str]().append).close()

    assert len(list(tmp_path.glob("journal.db.damaged*"))) == 3


def test_an_impossible_journal_path_is_reported_once_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").touch()
    for place in (tmp_path / "directory", tmp_path / "file" / "journal.db", Path("/proc/journal/journal.db")):
        reported: list[str] = []
        journal = Journal(place, report=reported.append)
        journal.record(SCOPE, [entry()])

        assert journal.is_empty()
        assert journal.known(SCOPE, [entry().found]) == [None]
        assert len(reported) == 1 and "[upload] journal" in reported[0]
        journal.close()


def test_a_journal_on_a_full_disk_is_reported_once_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = journals._connect

    def on_a_full_disk(file: Path) -> sqlite3.Connection:
        connection = connect(file)
        connection.execute("PRAGMA max_page_count = 3")
        return connection

    monkeypatch.setattr(journals, "_connect", on_a_full_disk)
    reported: list[str] = []
    journal = Journal(tmp_path / "journal.db", report=reported.append)
    for number in range(3):
        journal.record(SCOPE, [entry(path=f"/photos/{number}/{one}.jpg") for one in range(500)])

    assert journal.is_empty()
    assert len(reported) == 1 and "full" in reported[0] and "free some space there" in reported[0]
    journal.close()


def test_a_locked_journal_is_reported_once_and_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgctl.ops.upload.journal.BUSY_SECONDS", 0.01)
    file, reported = tmp_path / "journal.db", list[str]()
    whole_journal(file)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        journal = Journal(file, report=reported.append)
        journal.record(SCOPE, [entry()])
        journal.record(SCOPE, [entry()])
        journal.close()

    assert len(reported) == 1 and "locked" in reported[0]
    assert not list(tmp_path.glob("*.damaged"))
