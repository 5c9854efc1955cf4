"""Reading rows back, in the one order."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from imgctl.model import NewImage, Status
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.lookups import by_id, counts, find, list_user, walk
from imgctl.store.catalog.reservations import promise
from tests.store.catalog.rows import NOON, OTHER_USER, USER, new_image, queued


@pytest.fixture
def rows(catalog: Catalog) -> list[NewImage]:
    new = [new_image(number) for number in range(6)] + [new_image(number, user_id=OTHER_USER) for number in range(3)]
    with catalog.write() as connection:
        promise(connection, new)
    return new


def numbers(ids: Sequence[UUID], rows: list[NewImage]) -> list[int]:
    return [[row.id for row in rows].index(one) for one in ids]


def test_an_unknown_id_is_nobody(catalog: Catalog) -> None:
    with catalog.read() as connection:
        assert by_id(connection, uuid4()) is None


def test_a_users_images_come_newest_first(catalog: Catalog, rows: list[NewImage]) -> None:
    with catalog.read() as connection:
        found = [image.id for image in list_user(connection, user_id=USER)]

    assert numbers(found, rows) == [5, 4, 3, 2, 1, 0]


def test_pages_follow_each_other_without_gap_or_repeat(catalog: Catalog, rows: list[NewImage]) -> None:
    found: list[UUID] = []
    before = None
    with catalog.read() as connection:
        while page := list(list_user(connection, user_id=USER, before=before, limit=4)):
            found += [image.id for image in page]
            before = (page[-1].uploaded_at, page[-1].id)

    assert numbers(found, rows) == [5, 4, 3, 2, 1, 0]


def test_since_is_included(catalog: Catalog, rows: list[NewImage]) -> None:
    with catalog.read() as connection:
        found = list_user(connection, user_id=USER, since=NOON + timedelta(seconds=4))
        assert numbers([image.id for image in found], rows) == [5, 4]


def test_an_abbreviated_id_is_found_and_an_ambiguous_one_gives_two(catalog: Catalog, rows: list[NewImage]) -> None:
    whole = str(rows[0].id)
    with catalog.read() as connection:
        assert [image.id for image in find(connection, whole.upper())] == [rows[0].id]
        assert [image.id for image in find(connection, whole[:-3])] == [rows[0].id]
        assert len(find(connection, whole[:6])) == 2


@pytest.mark.parametrize("text", ["", "-", "no id", "0198' OR 1=1 --", "f" * 33])
def test_text_that_is_no_id_finds_nothing(catalog: Catalog, rows: list[NewImage], text: str) -> None:
    assert len(rows) == 9
    with catalog.read() as connection:
        assert find(connection, text) == []


def test_walk_goes_through_all_in_the_order_of_ids(catalog: Catalog, rows: list[NewImage]) -> None:
    ids = sorted(row.id for row in rows)
    with catalog.read() as connection:
        assert [image.id for image in walk(connection)] == ids
        assert [image.id for image in walk(connection, after=ids[1], until=ids[5])] == ids[2:6]
        assert [image.id for image in walk(connection, after=ids[1], limit=2)] == ids[2:4]


def test_walk_streams_more_than_a_page(catalog: Catalog) -> None:
    ids = queued(catalog, 2500)

    with catalog.read() as connection:
        assert [image.id for image in walk(connection)] == ids


def test_counts_name_every_state(catalog: Catalog, rows: list[NewImage]) -> None:
    with catalog.read() as connection:
        assert counts(connection) == {
            Status.UPLOADING: len(rows),
            Status.PROCESSING: 0,
            Status.READY: 0,
            Status.FAILED: 0,
        }
