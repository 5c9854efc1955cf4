"""Leases of ready rows: fenced like claims; the rows stay in service and keep their attempts."""

from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import select

from imgctl.model import Image, Status
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.lease import Hold, renew
from imgctl.store.catalog.queries.backfill import SHARD_DIGITS, Built, release, shard_number, take
from imgctl.store.catalog.queries.backfill import finish as finish_built
from imgctl.store.catalog.queries.claims import claim
from imgctl.store.catalog.queries.lookups import Scope, edge
from imgctl.store.catalog.queries.results import finish
from imgctl.store.catalog.schema import images
from tests.store.catalog.rows import finished, queued, requeue, walk


@pytest.fixture
def ready(catalog: Catalog) -> list[Hold]:
    """Three ready rows as they were read."""
    queued(catalog, 3)
    with catalog.write() as connection:
        finish(connection, finished(claim(connection, limit=3, lease_seconds=60, max_attempts=5)))
    return [Hold(id=row.id, attempts=row.attempts) for row in _rows(catalog)]


def _rows(catalog: Catalog) -> list[Image]:
    with catalog.read() as connection:
        return walk(connection)


def _take(catalog: Catalog, seen: list[Hold], *, lease_seconds: float = 60) -> list[Image]:
    with catalog.write() as connection:
        return take(connection, seen, lease_seconds=lease_seconds)


def test_taken_rows_stay_ready_and_keep_their_attempts(catalog: Catalog, ready: list[Hold]) -> None:
    before = _rows(catalog)
    taken = _take(catalog, ready)

    assert taken == _rows(catalog)
    assert {(row.status, row.attempts - row.forgiven) for row in taken} == {(Status.READY, 1)}
    expected = [replace(row, attempts=2, forgiven=1) for row in before]
    assert [replace(row, leased_until=None) for row in taken] == expected


def test_rows_that_are_leased_or_changed_since_are_not_taken(catalog: Catalog, ready: list[Hold]) -> None:
    _take(catalog, ready[:1])
    _take(catalog, ready[1:2], lease_seconds=-1)

    assert [row.id for row in _take(catalog, ready)] == [ready[2].id]


def test_an_expired_lease_is_taken_over_by_a_run_that_read_it(catalog: Catalog, ready: list[Hold]) -> None:
    [first] = _take(catalog, ready[:1], lease_seconds=-1)

    [second] = _take(catalog, [Hold(id=first.id, attempts=first.attempts)])

    assert (first.attempts, second.attempts) == (2, 3)


def test_only_the_holder_of_a_row_changes_it(catalog: Catalog, ready: list[Hold]) -> None:
    [taken] = _take(catalog, ready[:1])
    old, new = ready[0], Hold(id=taken.id, attempts=taken.attempts)
    with catalog.write() as connection:
        late = [
            finish_built(connection, [Built(id=old.id, attempts=old.attempts, thumb_key="late")]),
            renew(connection, [old], lease_seconds=60, status=Status.READY),
            release(connection, [old]),
        ]
        kept = renew(connection, [new], lease_seconds=60, status=Status.READY)

    assert (late, kept) == ([set(), set(), set()], {taken.id})
    assert _rows(catalog)[0].thumb_key == taken.thumb_key


def test_only_built_variants_are_changed(catalog: Catalog, ready: list[Hold]) -> None:
    [taken] = _take(catalog, ready[:1])
    built = Built(id=taken.id, attempts=taken.attempts, thumb_key="new", width=1, height=1, hold=True)
    with catalog.write() as connection:
        changed = finish_built(connection, [built])
    held = _rows(catalog)[0]
    with catalog.write() as connection:
        released = release(connection, [Hold(id=taken.id, attempts=taken.attempts)])

    assert (changed, released) == ({taken.id}, {taken.id})
    assert held == replace(taken, thumb_key="new")
    assert _rows(catalog)[0] == replace(held, leased_until=None)


def test_a_requeued_row_is_no_longer_held(catalog: Catalog, ready: list[Hold]) -> None:
    [taken] = _take(catalog, ready[:1])
    with catalog.write() as connection:
        requeue(connection, [taken.id])
        changed = finish_built(connection, [Built(id=taken.id, attempts=taken.attempts, thumb_key="new")])

    assert changed == set()


def test_both_databases_compute_shards_like_python(catalog: Catalog, ready: list[Hold]) -> None:
    with catalog.read() as connection:
        found = connection.execute(select(images.c.id, shard_number(images.c.id) % 7)).all()

    assert {row[0]: row[1] for row in found} == {row.id: row.id.int % 16**SHARD_DIGITS % 7 for row in ready}


def test_an_edge_is_the_last_row_of_a_window_and_the_rest_is_counted(catalog: Catalog, ready: list[Hold]) -> None:
    with catalog.read() as connection:
        edges = [edge(connection, Scope(), after=UUID(int=0), rows=rows) for rows in (2, 3, 4)]
        last = edge(connection, Scope(), after=ready[1].id, rows=2)

    assert edges == [(ready[1].id, 2), (ready[2].id, 3), (None, 3)]
    assert last == (None, 1)
