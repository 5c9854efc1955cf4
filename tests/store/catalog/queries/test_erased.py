"""Marks of erasures, beside another run that erases the same images."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from sqlalchemy import text

from imgctl.keys import new_id
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.erased import Mark, erasures, mark
from imgctl.store.catalog.schema import POSTGRES

_WAITING = text("SELECT count(*) FROM pg_locks WHERE NOT granted")


def test_two_runs_may_mark_images_without_rows_at_once(catalog: Catalog) -> None:
    # Both read the same receipt, against a database restored from before the erasure.
    at = datetime(2026, 3, 1, tzinfo=UTC)
    marks = [Mark(id=new_id(at), owner=b"owner", settles_at=at, notes="{}") for _ in range(2)]

    def other() -> None:
        with catalog.write() as connection:
            mark(connection, marks)

    with ThreadPoolExecutor(1) as thread:
        with catalog.write() as connection:
            mark(connection, marks)
            ended = thread.submit(other)
            while connection.dialect.name == POSTGRES and not connection.execute(_WAITING).scalar():
                assert not ended.done()
        ended.result()

    with catalog.read() as connection:
        assert set(erasures(connection, [one.id for one in marks])) == {one.id for one in marks}
