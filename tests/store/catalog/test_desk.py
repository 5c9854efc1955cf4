"""What support asks the catalog."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import text, update

from imgctl.model import NewImage, Status
from imgctl.store.catalog.claims import claim
from imgctl.store.catalog.desk import By, newest, sums
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.reservations import promise
from imgctl.store.catalog.results import finish
from imgctl.store.catalog.schema import images
from imgctl.store.catalog.scope import Scope
from tests.store.catalog.rows import NOON, OTHER_USER, USER, finished, new_image, queued


@pytest.fixture
def rows(catalog: Catalog) -> list[NewImage]:
    """Seven rows of one user, a second apart, and three of another among them."""
    new = [new_image(number) for number in range(7)]
    new += [new_image(number, user_id=OTHER_USER, content=100 + number) for number in range(1, 4)]
    with catalog.write() as connection:
        promise(connection, new)
    return sorted(new, key=lambda row: row.id)


@pytest.mark.parametrize("user", [None, USER, OTHER_USER])
@pytest.mark.parametrize("size", [1, 3, 100])
def test_pages_go_from_the_newest_to_the_oldest_without_gap_or_repeat(
    catalog: Catalog, rows: list[NewImage], user: UUID | None, size: int
) -> None:
    found: list[UUID] = []
    with catalog.read() as connection:
        while page := newest(connection, Scope(user_id=user), before=found[-1] if found else None, limit=size):
            found += [image.id for image in page]

    assert found == [row.id for row in reversed(rows) if user in (None, row.user_id)]


@pytest.mark.parametrize("user", [None, USER])
def test_since_is_included_and_until_is_not(catalog: Catalog, rows: list[NewImage], user: UUID | None) -> None:
    since, until = NOON + timedelta(seconds=2), NOON + timedelta(seconds=4)

    with catalog.read() as connection:
        found = newest(connection, Scope(user_id=user, since=since, until=until))

    wanted = [row for row in rows if since <= row.uploaded_at < until and user in (None, row.user_id)]
    assert {image.id for image in found} == {row.id for row in wanted}


def test_a_state_is_chosen(catalog: Catalog, rows: list[NewImage]) -> None:
    with catalog.read() as connection:
        assert len(newest(connection, Scope(), status=Status.UPLOADING)) == len(rows)
        assert newest(connection, Scope(user_id=USER), status=Status.FAILED) == []


def test_a_row_that_is_gone_still_marks_a_page(catalog: Catalog, rows: list[NewImage]) -> None:
    with catalog.write() as connection:
        connection.execute(images.delete().where(images.c.id == rows[5].id))

    with catalog.read() as connection:
        found = [image.id for image in newest(connection, Scope(), before=rows[5].id)]

    assert found == [row.id for row in reversed(rows[:5])]


def test_sums_count_states_and_bytes(catalog: Catalog, rows: list[NewImage]) -> None:
    queued_ids = queued(catalog, 0)
    with catalog.read() as connection:
        [one] = sums(connection, Scope())

    assert queued_ids == []
    assert (one.group, one.images, one.bytes) == ("all", 10, sum(row.bytes for row in rows))
    assert one.states == dict.fromkeys(Status, 0) | {Status.UPLOADING: 10}
    assert one.backlog_seconds is not None


def test_what_is_ready_waits_for_nothing(catalog: Catalog) -> None:
    queued(catalog, 3)
    with catalog.write() as connection:
        finish(connection, finished(claim(connection, limit=3, lease_seconds=60, max_attempts=5)))

    with catalog.read() as connection:
        [one] = sums(connection, Scope())

    assert one.states[Status.READY] == 3
    assert one.backlog_seconds is None


def test_sums_are_told_apart(catalog: Catalog, rows: list[NewImage]) -> None:
    with catalog.write() as connection:
        connection.execute(update(images).where(images.c.id == rows[0].id).values(storage_class="GLACIER"))

    with catalog.read() as connection:
        groups = {by: [(one.group, one.images) for one in sums(connection, Scope(), by=by)] for by in By}

    assert groups == {
        By.USER: [(str(USER), 7), (str(OTHER_USER), 3)],
        By.DAY: [("2026-03-01", 10)],
        By.STATUS: [("uploading", 10)],
        By.CLASS: [("STANDARD", 9), ("GLACIER", 1)],
    }


def test_days_are_those_of_utc_and_come_in_order(catalog: Catalog) -> None:
    midnight = datetime(2026, 3, 2, tzinfo=NOON.tzinfo)
    seconds = [round((midnight - NOON).total_seconds()) + offset for offset in (-1, 0, 86400)]
    with catalog.write() as connection:
        promise(connection, [new_image(one) for one in seconds])

    with catalog.read() as connection:
        found = [one.group for one in sums(connection, Scope(), by=By.DAY)]

    assert found == ["2026-03-01", "2026-03-02", "2026-03-03"]


def test_listings_are_read_from_an_index(postgres_url: str) -> None:
    from imgctl.store.catalog.engine import open_catalog

    catalog = open_catalog(postgres_url)
    plans = []
    with catalog.read() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        connection.execute(text("SET LOCAL enable_sort = off"))
        for where, order in (
            (f"user_id = '{USER}' AND (uploaded_at, id) < (now(), '{USER}')", "uploaded_at DESC, id DESC"),
            (f"id < '{USER}'", "id DESC"),
        ):
            query = f"EXPLAIN SELECT * FROM images WHERE {where} ORDER BY {order} LIMIT 10"
            plans.append("\n".join(connection.execute(text(query)).scalars()))
    catalog.close()

    assert "idx_user_recent" in plans[0]
    assert "Index Scan Backward using images_pkey" in plans[1]
