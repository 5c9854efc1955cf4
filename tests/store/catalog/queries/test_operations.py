"""The table of operations: a run has one start and one end, and the database rejects deletes and rewrites."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from imgctl.errors import CatalogError
from imgctl.keys import new_id
from imgctl.store.catalog.engine import Catalog, open_catalog
from imgctl.store.catalog.queries.lookups import Scope
from imgctl.store.catalog.queries.operations import Operation, begin, end, newest

HOUR = timedelta(hours=1)


def operation(command: str = "upload", *, at: datetime | None = None, user_id: UUID | None = None) -> Operation:
    """A run that begins at a time, now by default."""
    at = at or datetime.now(UTC)
    return Operation(
        id=new_id(at),
        command=command,
        who="alice",
        host="desk",
        pid=4711,
        scope="{}",
        user_id=user_id,
        started_at=at,
    )


def begun(catalog: Catalog, *runs: Operation) -> None:
    """Record the starts of runs."""
    with catalog.write() as connection:
        for one in runs:
            begin(
                connection,
                one.id,
                command=one.command,
                who=one.who,
                host=one.host,
                pid=one.pid,
                scope=one.scope,
                user_id=one.user_id,
            )


def read(catalog: Catalog, scope: Scope | None = None, *, command: str | None = None) -> list[Operation]:
    """Return the recorded operations."""
    with catalog.read() as connection:
        return newest(connection, scope or Scope(), command=command)


def test_a_run_is_recorded_at_its_start_and_completed_at_its_end(catalog: Catalog) -> None:
    run = operation(user_id=uuid4())
    begun(catalog, run)
    (running,) = read(catalog)
    with catalog.write() as connection:
        end(connection, run.id, exit_code=3, counts='{"failed":1}', report="/r.csv", error="some failed")
    (ended,) = read(catalog)

    assert running == replace(run, started_at=running.started_at)
    assert ended == replace(
        running,
        ended_at=ended.ended_at,
        exit_code=3,
        counts='{"failed":1}',
        report="/r.csv",
        error="some failed",
    )
    assert ended.ended_at is not None
    assert running.started_at <= ended.ended_at


def test_the_second_end_of_a_run_changes_nothing(catalog: Catalog) -> None:
    run = operation()
    begun(catalog, run)
    for code in (0, 1):
        with catalog.write() as connection:
            end(connection, run.id, exit_code=code)

    assert [one.exit_code for one in read(catalog)] == [0]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM operations",
        "UPDATE operations SET who = 'nobody'",
        "UPDATE operations SET started_at = '2020-01-01 00:00:00.000000'",
        "UPDATE operations SET ended_at = NULL, exit_code = NULL",
        "UPDATE operations SET exit_code = 0",
        "UPDATE operations SET counts = NULL",
    ],
)
def test_the_database_rejects_deletes_and_rewrites(catalog: Catalog, statement: str) -> None:
    run = operation()
    begun(catalog, run)
    with catalog.write() as connection:
        end(connection, run.id, exit_code=1, counts="{}")
    before = read(catalog)

    with pytest.raises(CatalogError, match="append-only"), catalog.write() as connection:
        connection.execute(text(statement))

    assert read(catalog) == before


def test_postgres_rejects_truncate(postgres_url: str) -> None:
    catalog = open_catalog(postgres_url)

    with pytest.raises(CatalogError, match="append-only"), catalog.write() as connection:
        connection.execute(text("TRUNCATE operations"))

    catalog.close()


def test_a_users_operations_include_those_about_all_users_newest_first(catalog: Catalog) -> None:
    now = datetime.now(UTC)
    alice, bob = uuid4(), uuid4()
    old = operation("upload", at=now - 2 * HOUR, user_id=alice)
    everybody = operation("backfill", at=now - HOUR)
    other = operation("upload", at=now, user_id=bob)
    begun(catalog, old, everybody, other)

    assert [one.id for one in read(catalog)] == [other.id, everybody.id, old.id]
    assert [one.id for one in read(catalog, Scope(user_id=alice))] == [everybody.id, old.id]
    assert [one.id for one in read(catalog, Scope(since=now - HOUR - HOUR / 2, until=now))] == [everybody.id]
    assert [one.id for one in read(catalog, command="upload")] == [other.id, old.id]
