"""Aggregates over the catalog."""

from datetime import datetime

import pytest
from sqlalchemy import update

from imgctl.model import NewImage, Status
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.aggregates import By, groups
from imgctl.store.catalog.queries.claims import claim
from imgctl.store.catalog.queries.lookups import Scope
from imgctl.store.catalog.queries.reservations import promise
from imgctl.store.catalog.queries.results import finish
from imgctl.store.catalog.schema import images
from tests.store.catalog.rows import NOON, OTHER_USER, USER, finished, new_image, queued


@pytest.fixture
def rows(catalog: Catalog) -> list[NewImage]:
    """Seven rows of one user, a second apart, and three of another among them."""
    new = [new_image(number) for number in range(7)]
    new += [new_image(number, user_id=OTHER_USER, content=100 + number) for number in range(1, 4)]
    with catalog.write() as connection:
        promise(connection, new)
    return sorted(new, key=lambda row: row.id)


def test_groups_count_states_and_bytes(catalog: Catalog, rows: list[NewImage]) -> None:
    queued_ids = queued(catalog, 0)
    with catalog.read() as connection:
        [one] = groups(connection, Scope())

    assert queued_ids == []
    assert (one.group, one.images, one.bytes) == ("all", 10, sum(row.bytes for row in rows))
    assert one.states == dict.fromkeys(Status, 0) | {Status.UPLOADING: 10}
    assert one.backlog_seconds is not None


def test_ready_images_are_not_in_the_backlog(catalog: Catalog) -> None:
    queued(catalog, 3)
    with catalog.write() as connection:
        finish(connection, finished(claim(connection, limit=3, lease_seconds=60, max_attempts=5)))

    with catalog.read() as connection:
        [one] = groups(connection, Scope())

    assert one.states[Status.READY] == 3
    assert one.backlog_seconds is None


def test_images_are_grouped(catalog: Catalog, rows: list[NewImage]) -> None:
    with catalog.write() as connection:
        connection.execute(update(images).where(images.c.id == rows[0].id).values(storage_class="GLACIER"))

    with catalog.read() as connection:
        found = {by: [(one.group, one.images) for one in groups(connection, Scope(), by=by)] for by in By}

    assert found == {
        By.USER: [(str(USER), 7), (str(OTHER_USER), 3)],
        By.DAY: [("2026-03-01", 10)],
        By.STATUS: [("uploading", 10)],
        By.CLASS: [("STANDARD", 9), ("GLACIER", 1)],
    }


def test_days_are_in_utc_and_in_order(catalog: Catalog) -> None:
    midnight = datetime(2026, 3, 2, tzinfo=NOON.tzinfo)
    seconds = [round((midnight - NOON).total_seconds()) + offset for offset in (-1, 0, 86400)]
    with catalog.write() as connection:
        promise(connection, [new_image(one) for one in seconds])

    with catalog.read() as connection:
        found = [one.group for one in groups(connection, Scope(), by=By.DAY)]

    assert found == ["2026-03-01", "2026-03-02", "2026-03-03"]
