"""When the journal is written: a kill must not lose entries of files that are expensive to read again."""

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Event
from uuid import UUID

import pytest

from imgctl.ops.common.transactions import InProcess, Transactions
from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.ops.sources.base import SourceFile
from imgctl.ops.sources.local import LocalFiles
from imgctl.ops.upload.journal import Entry, Journal, scope_of
from imgctl.ops.upload.unchanged import AlreadyUploaded
from imgctl.store.catalog.engine import Catalog, open_catalog
from imgctl.store.catalog.queries.reservations import confirm, promise
from tests.parts.postgres import sqlite_catalog
from tests.store.catalog.rows import new_image

STORE_URL = "s3://photos"


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with closing(open_catalog(sqlite_catalog(tmp_path))) as opened:
        yield opened


def found(name: str, *, pinned: bool) -> SourceFile:
    return SourceFile(path=name, size=10, mtime_ns=10**18, stamp=7, source=LocalFiles(), pinned=pinned)


@pytest.mark.parametrize("pinned", [True, False], ids=["object", "file of a disk"])
def test_an_object_is_recorded_as_soon_as_it_is_safe(tmp_path: Path, catalog: Catalog, pinned: bool) -> None:
    opened: Future[Transactions] = Future()
    opened.set_result(InProcess(catalog))
    with closing(Journal(tmp_path / "journal.db")) as ours, closing(Journal(tmp_path / "journal.db")) as theirs:
        already = AlreadyUploaded(ours, STORE_URL, opened, stop=Event())
        image, stray = found("a.jpg", pinned=pinned), found("b.txt", pinned=pinned)

        already.remember([Entry(found=image, sha256=b"s" * 32, image=UUID(int=1))])
        already.remember_stray(
            stray, FileOutcome(path=stray.path, fate=Fate.SKIPPED, reason=Reason.NOT_AN_IMAGE, detail="text", bytes=10)
        )

        # Without a flush: another process finds the entries that would survive a kill.
        known = theirs.known(scope_of(catalog.place, STORE_URL, "None"), [image, stray])
        assert [one is not None for one in known] == [pinned, pinned]


def test_a_rescan_of_the_same_run_reads_no_file_that_it_uploaded(tmp_path: Path, catalog: Catalog) -> None:
    row, opened = new_image(1), Future[Transactions]()
    opened.set_result(InProcess(catalog))
    with catalog.write() as connection:
        promise(connection, [row])
        confirm(connection, [row.id])
    with closing(Journal(tmp_path / "journal.db")) as journal:
        # Empty when the run begins, as at the first start of a watch.
        already = AlreadyUploaded(journal, STORE_URL, opened, stop=Event())
        one = replace(found("a.jpg", pinned=False), user_id=row.user_id)
        before = already.split([one])
        already.remember([Entry(found=one, sha256=row.sha256, image=row.id)])
        already.flush()

        after = already.split([one])

    assert before == ([], [one])
    assert ([outcome.fate for outcome in after[0]], after[1]) == ([Fate.PRESENT], [])
