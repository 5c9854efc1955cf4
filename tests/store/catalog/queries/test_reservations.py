"""Law 1: a row is promised before its bytes are written and confirmed after."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Barrier
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import update

from imgctl.errors import CatalogError
from imgctl.model import LOST, NewImage, Promised, Status
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.descriptions import SidecarMetadata, fill
from imgctl.store.catalog.queries.lookups import by_id
from imgctl.store.catalog.queries.repairs import SeenRow, drop_promises, mark_lost
from imgctl.store.catalog.queries.reservations import (
    WORK_CHANNEL,
    confirm,
    contents,
    keep,
    lookup,
    lookup_safe,
    promise,
)
from imgctl.store.catalog.schema import POSTGRES, SQLITE, images
from tests.store.catalog.rows import NOON, OTHER_USER, counts, new_image, walk


def promised(catalog: Catalog, rows: list[NewImage]) -> list[Promised]:
    with catalog.write() as connection:
        return promise(connection, rows)


def confirmed(catalog: Catalog, ids: list[UUID]) -> set[UUID]:
    with catalog.write() as connection:
        return confirm(connection, ids)


def test_promise_writes_every_field_of_a_new_image(catalog: Catalog) -> None:
    row = replace(new_image(1), caption="über “quotes” \\ and 日本", taken_at=NOON)

    promised(catalog, [row])

    with catalog.read() as connection:
        image = by_id(connection, row.id)
    assert image is not None
    assert image.status is Status.UPLOADING
    assert {name: getattr(image, name) for name in NewImage.__slots__} == {
        name: getattr(row, name) for name in NewImage.__slots__
    }


def test_results_are_in_the_order_of_the_input(catalog: Catalog) -> None:
    rows = [new_image(number) for number in (5, 1, 9, 3)]

    results = promised(catalog, rows)

    assert [(one.id, one.original_key, one.created) for one in results] == [
        (row.id, row.original_key, True) for row in rows
    ]


def test_a_second_promise_of_the_same_content_finds_the_first(catalog: Catalog) -> None:
    first = [new_image(number) for number in range(3)]
    again = [new_image(number + 100, content=number) for number in range(3)]
    promised(catalog, first)

    results = promised(catalog, again)

    assert [(one.id, one.original_key, one.created) for one in results] == [
        (row.id, row.original_key, False) for row in first
    ]
    with catalog.read() as connection:
        assert counts(connection)[Status.UPLOADING] == 3


def test_the_same_content_twice_in_one_batch_is_one_row(catalog: Catalog) -> None:
    one, twin = new_image(1), new_image(2, content=1)

    results = promised(catalog, [one, twin])

    assert len({result.id for result in results}) == 1
    assert sorted(result.created for result in results) == [False, True]


def test_two_users_may_own_the_same_content(catalog: Catalog) -> None:
    results = promised(catalog, [new_image(1), new_image(2, user_id=OTHER_USER, content=1)])

    assert [result.created for result in results] == [True, True]


def test_an_id_taken_by_other_content_is_an_error(catalog: Catalog) -> None:
    row = new_image(1)
    promised(catalog, [row])

    with pytest.raises(CatalogError, match=str(row.id)):
        promised(catalog, [replace(row, sha256=b"\1" * 32)])


def test_an_empty_batch_does_nothing(catalog: Catalog) -> None:
    assert promised(catalog, []) == []
    assert confirmed(catalog, []) == set()


def test_four_concurrent_promises_of_the_same_contents_get_the_same_rows(catalog: Catalog) -> None:
    together = Barrier(4)

    def run(number: int) -> list[Promised]:
        rows = [new_image(1000 * number + content, content=content) for content in range(50)]
        together.wait()
        return promised(catalog, rows if number % 2 else rows[::-1])

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(run, range(4)))

    assert all({one.id for one in result} == {one.id for one in results[0]} for result in results)
    assert sum(one.created for result in results for one in result) == 50


def test_confirm_changes_only_rows_that_are_uploading(catalog: Catalog) -> None:
    rows = [new_image(number) for number in range(3)]
    promised(catalog, rows)
    first = confirmed(catalog, [rows[0].id])
    second = confirmed(catalog, [*(row.id for row in rows), uuid4()])

    assert first == {rows[0].id}
    assert second == {rows[1].id, rows[2].id}
    with catalog.read() as connection:
        assert {image.status for image in walk(connection)} == {Status.PROCESSING}


def test_a_lost_original_is_wanted_again_and_its_row_stays_until_the_bytes_are_safe(catalog: Catalog) -> None:
    row, other = new_image(1), new_image(2)
    promised(catalog, [row, other])
    confirmed(catalog, [row.id, other.id])
    with catalog.write() as connection:
        mark_lost(connection, [SeenRow(id=row.id, attempts=0, key=row.original_key, error=f"{LOST}it is gone")])
        connection.execute(update(images).where(images.c.id == row.id).values(storage_class="GLACIER", attempts=3))
        assert contents(connection, [row])[0].status is Status.UPLOADING
    [again] = promised(catalog, [new_image(9, content=1)])
    with catalog.read() as connection:
        before = by_id(connection, row.id)
        assert set(lookup_safe(connection, [row.id, other.id])) == {other.id}

    with catalog.write() as connection:
        assert keep(connection, [replace(row, id=again.id)]) == set()

    assert (again.id, again.original_key, again.status) == (row.id, row.original_key, Status.UPLOADING)
    assert before is not None and before.status is Status.FAILED
    with catalog.read() as connection:
        after = by_id(connection, row.id)
        assert set(lookup_safe(connection, [row.id])) == {row.id}
    assert after is not None
    assert (after.status, after.error, after.storage_class, after.forgiven) == (Status.PROCESSING, None, None, 3)


def test_an_image_that_failed_for_another_reason_is_not_wanted_again(catalog: Catalog) -> None:
    row = new_image(1)
    promised(catalog, [row])
    confirmed(catalog, [row.id])
    for error in (None, "gave up: lost: no"):
        with catalog.write() as connection:
            connection.execute(update(images).values(status=Status.FAILED, error=error))

        assert [one.status for one in promised(catalog, [row])] == [Status.FAILED]
        assert confirmed(catalog, [row.id]) == set()
        with catalog.read() as connection:
            assert set(lookup_safe(connection, [row.id])) == {row.id}


def test_a_transaction_that_fails_leaves_no_promise(catalog: Catalog) -> None:
    with pytest.raises(ZeroDivisionError), catalog.write() as connection:
        promise(connection, [new_image(1)])
        _ = 1 // 0

    with catalog.read() as connection:
        assert counts(connection)[Status.UPLOADING] == 0


def test_text_that_databases_reject_is_repaired(catalog: Catalog) -> None:
    row = replace(new_image(1), caption="a\0b\udcffc")

    promised(catalog, [row])

    with catalog.read() as connection:
        image = by_id(connection, row.id)
    assert image is not None
    assert image.caption == "a\ufffdb?c"


def test_confirmed_work_is_announced_to_listeners(catalog: Catalog) -> None:
    if catalog.dialect == SQLITE:
        pytest.skip("SQLite has no notifications")
    row = new_image(1)
    promised(catalog, [row])
    url = catalog.url.set(drivername=POSTGRES).render_as_string(hide_password=False)
    listener = psycopg.connect(url, autocommit=True)
    listener.execute(f"LISTEN {WORK_CHANNEL}")

    confirmed(catalog, [row.id])

    assert [note.channel for note in listener.notifies(timeout=60, stop_after=1)] == [WORK_CHANNEL]
    listener.close()


def test_a_promise_dropped_while_its_bytes_were_in_flight_is_made_again(catalog: Catalog) -> None:
    rows = [new_image(number) for number in range(3)]
    promised(catalog, rows)
    with catalog.write() as connection:
        drop_promises(connection, [SeenRow(id=rows[1].id, attempts=0, key=rows[1].original_key)])

    with catalog.write() as connection:
        keep(connection, rows)

    with catalog.read() as connection:
        again = {image.id: image for image in walk(connection)}

    assert {image.status for image in again.values()} == {Status.PROCESSING}
    assert again[rows[1].id].original_key == rows[1].original_key
    assert set(again) == {row.id for row in rows}


def test_existing_rows_are_found_without_writing(catalog: Catalog) -> None:
    there, new = new_image(1), new_image(2)
    promised(catalog, [there])

    with catalog.read() as connection:
        found = contents(connection, [new, replace(new_image(3), sha256=there.sha256)])
        known = lookup(connection, [there.id, new.id])

    assert [(one.id, one.created) for one in found] == [(new.id, True), (there.id, False)]
    assert known == {there.id: (there.user_id, Status.UPLOADING)}


LATER, GUESSED = NOON + timedelta(hours=1), NOON + timedelta(hours=2)


@pytest.mark.parametrize(
    ("caption", "taken_at", "sidecar", "left"),
    [
        (None, None, ("The pier", LATER), ("The pier", LATER)),
        ("Mine", None, ("The pier", LATER), ("Mine", LATER)),
        (None, NOON, ("The pier", LATER), ("The pier", NOON)),
        (None, GUESSED, ("The pier", LATER), ("The pier", LATER)),
        (None, GUESSED, ("The pier", None), ("The pier", GUESSED)),
        ("Mine", NOON, (None, None), ("Mine", NOON)),
    ],
)
def test_sidecars_of_another_copy_fill_in_missing_and_guessed_values(
    catalog: Catalog,
    caption: str | None,
    taken_at: datetime | None,
    sidecar: tuple[str | None, datetime | None],
    left: tuple[str, datetime],
) -> None:
    row, other = (replace(new_image(number), caption=caption, taken_at=taken_at) for number in (1, 2))
    with catalog.write() as connection:
        promise(connection, [row, other])

    one = SidecarMetadata(id=row.id, caption=sidecar[0], taken_at=sidecar[1], taken_alone=GUESSED)
    with catalog.write() as connection:
        fill(connection, [one, one])

    with catalog.read() as connection:
        found, unchanged = by_id(connection, row.id), by_id(connection, other.id)
    assert found is not None and (found.caption, found.taken_at) == left
    assert unchanged is not None and (unchanged.caption, unchanged.taken_at) == (caption, taken_at)
