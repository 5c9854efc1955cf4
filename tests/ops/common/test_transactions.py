"""Transactions on the catalog are the same in this process and in a child process."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from uuid import UUID

import pytest
from sqlalchemy import Connection, text

from imgctl.config.catalog_store import CatalogSettings
from imgctl.config.settings import Settings, UploadSettings
from imgctl.errors import CatalogError, CatalogUnavailable, ImgctlError, SchemaNotCurrent
from imgctl.keys import new_id, time_of
from imgctl.model import NewImage
from imgctl.ops.common.open import opening
from imgctl.ops.common.operation_record import Recording, begin_current, current
from imgctl.ops.common.retry import retry
from imgctl.ops.common.transactions import Transactions
from imgctl.store.catalog.engine import Catalog, open_catalog
from imgctl.store.catalog.queries.reservations import contents, promise
from tests.store.catalog.rows import walk

USER = UUID(int=7)


@pytest.fixture(params=[1, 2], ids=["in-process", "child"])
def transactions(request: pytest.FixtureRequest, catalog: Catalog) -> Iterator[Transactions]:
    """Transactions on an empty catalog."""
    url = catalog.url.render_as_string(hide_password=False)
    with closing(opening(settings(url, processes=request.param), create=True)) as opened:
        opened.open()
        yield opened


def settings(url: str, *, processes: int) -> Settings:
    return Settings(catalog=CatalogSettings(url=url), upload=UploadSettings(processes=processes))


def row(number: int = 1) -> NewImage:
    image = new_id(datetime.now(UTC))
    return NewImage(
        id=image,
        user_id=USER,
        uploaded_at=time_of(image),
        original_key=f"originals/{image}.jpg",
        sha256=bytes([number]) * 32,
        bytes=10,
        content_type="image/jpeg",
    )


def promise_and_fail(connection: Connection, rows: list[NewImage]) -> None:
    promise(connection, rows)
    raise ImgctlError("no", hint="try again")


def fail_in_the_database(connection: Connection) -> None:
    connection.execute(text("SELECT * FROM nothing_like_this"))


def process_id(_connection: Connection) -> int:
    return os.getpid()


def die(_connection: Connection, rows: list[NewImage]) -> None:
    promise(_connection, rows)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_write_is_committed_and_a_read_is_not(transactions: Transactions, catalog: Catalog) -> None:
    kept, undone = row(1), row(2)

    assert [one.created for one in transactions.write(promise, [kept])] == [True]
    transactions.read(promise, [undone])

    assert [one.created for one in transactions.read(contents, [kept, undone])] == [False, True]
    with catalog.read() as connection:
        assert [image.id for image in walk(connection)] == [kept.id]


def test_an_error_undoes_the_transaction_and_keeps_its_next_step(transactions: Transactions, catalog: Catalog) -> None:
    with pytest.raises(ImgctlError, match="no") as raised:
        transactions.write(promise_and_fail, [row()])

    assert raised.value.hint == "try again"
    with catalog.read() as connection:
        assert walk(connection) == []


def test_an_error_of_the_database_is_explained(transactions: Transactions) -> None:
    with pytest.raises(SchemaNotCurrent) as raised:
        transactions.read(fail_in_the_database)

    assert raised.value.hint.startswith("imgctl init")


def test_the_operation_is_recorded_from_open_to_end(catalog: Catalog) -> None:
    for processes in (1, 2):
        recording = Recording("upload", {"limit": 3}, user_id=USER, report=None)
        token = current.set(recording)
        opened = opening(settings(catalog.url.render_as_string(hide_password=False), processes=processes), create=True)
        try:
            opened.open()
            begin_current(opened)
            opened.close()
            # The command ends after it closed its catalog.
            recording.end(0, {"uploaded": processes})
        finally:
            current.reset(token)
            recording.close()

    with catalog.read() as connection:
        found = connection.execute(text("SELECT exit_code, counts, pid FROM operations ORDER BY id")).all()
    assert [tuple(one) for one in found] == [(0, f'{{"uploaded": {number}}}', os.getpid()) for number in (1, 2)]


def test_a_child_that_dies_is_replaced_and_the_transaction_repeated(catalog: Catalog) -> None:
    image = row()
    with closing(
        opening(settings(catalog.url.render_as_string(hide_password=False), processes=2), create=True)
    ) as opened:
        opened.open()
        first = opened.read(process_id)
        assert first != os.getpid()

        attempts: list[Callable[[Connection, list[NewImage]], object]] = [die, promise]
        retry(lambda: opened.write(attempts.pop(0), [image]), stop=Event())

        assert opened.read(process_id) != first
        assert [one.created for one in opened.read(contents, [image])] == [False]
        with pytest.raises(CatalogUnavailable, match="out of memory"):
            opened.write(die, [image])


@pytest.mark.parametrize("processes", [1, 2])
def test_a_catalog_that_cannot_be_opened_is_reported_when_it_is_awaited(tmp_path: Path, processes: int) -> None:
    (file := tmp_path / "catalog.db").write_bytes(b"this is no database" * 100)

    catalog = opening(settings(f"sqlite:///{file}", processes=processes), create=True)
    with closing(catalog), pytest.raises(CatalogError, match="not a database") as raised:
        catalog.open()

    assert "not a SQLite database" in raised.value.hint


def test_the_last_close_leaves_no_journal_of_sqlite(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'catalog.db'}"
    for processes in (1, 2):
        with closing(opening(settings(url, processes=processes), create=True)) as opened:
            opened.open()
            opened.write(promise, [row(processes)])

        assert [one.name for one in tmp_path.iterdir()] == ["catalog.db"]
    with closing(open_catalog(url)) as catalog, catalog.read() as connection:
        assert len(walk(connection)) == 2
