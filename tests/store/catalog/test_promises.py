"""Law 1: a row is promised before its bytes are written and confirmed after."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import TypeVar
from uuid import uuid4

import psycopg
import pytest

from imgctl.errors import CatalogError
from imgctl.model import Status
from imgctl.store.catalog.address import plain_address
from imgctl.store.catalog.engine import Catalog, open_catalog
from imgctl.store.catalog.lookups import by_id, counts, walk
from imgctl.store.catalog.names import POSTGRES, SQLITE, WORK_CHANNEL
from imgctl.store.catalog.promises import Asked
from imgctl.store.catalog.promising import Asking, NewImage, Promised, confirm, contents, keep, promise, standing
from imgctl.store.catalog.repairs import SeenKey, drop_promises
from imgctl.store.catalog.short import ShortWay
from tests.parts.postgres import sqlite_catalog
from tests.store.catalog.rows import NOON, OTHER_USER, new_image

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A catalog, and one of the ways to ask it."""

    catalog: Catalog
    short: ShortWay | None

    def write(self, work: Callable[[Asking], T]) -> T:
        """Do some work in one transaction."""
        if self.short is not None:
            return self.short.transact(work)
        with self.catalog.write() as connection:
            return work(Asked(connection))


@pytest.fixture(params=["sqlite", "postgres", "postgres, the short way"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Way]:
    on_sqlite = request.param == "sqlite"
    url = sqlite_catalog(tmp_path) if on_sqlite else str(request.getfixturevalue("postgres_url"))
    address = plain_address(url) if "short" in request.param else None
    short = ShortWay(address.arguments) if address else None
    assert (short is not None) == ("short" in request.param)
    catalog = open_catalog(url)
    yield Way(catalog=catalog, short=short)
    catalog.close()
    if short is not None:
        short.close()


def promised(way: Way, rows: list[NewImage]) -> list[Promised]:
    return way.write(lambda asking: promise(asking, rows))


def test_promise_writes_every_field_of_a_new_image(way: Way) -> None:
    row = replace(new_image(1), caption="über “quotes” \\ and 日本", taken_at=NOON)

    promised(way, [row])

    with way.catalog.read() as connection:
        image = by_id(connection, row.id)
    assert image is not None
    assert image.status is Status.UPLOADING
    assert {name: getattr(image, name) for name in NewImage.__slots__} == {
        name: getattr(row, name) for name in NewImage.__slots__
    }


def test_results_are_in_the_order_of_the_input(way: Way) -> None:
    rows = [new_image(number) for number in (5, 1, 9, 3)]

    results = promised(way, rows)

    assert [(one.id, one.original_key, one.created) for one in results] == [
        (row.id, row.original_key, True) for row in rows
    ]


def test_a_second_promise_of_the_same_content_finds_the_first(way: Way) -> None:
    first = [new_image(number) for number in range(3)]
    again = [new_image(number + 100, content=number) for number in range(3)]
    promised(way, first)

    results = promised(way, again)

    assert [(one.id, one.original_key, one.created) for one in results] == [
        (row.id, row.original_key, False) for row in first
    ]
    with way.catalog.read() as connection:
        assert counts(connection)[Status.UPLOADING] == 3


def test_the_same_content_twice_in_one_batch_is_one_row(way: Way) -> None:
    one, twin = new_image(1), new_image(2, content=1)

    results = promised(way, [one, twin])

    assert len({result.id for result in results}) == 1
    assert sorted(result.created for result in results) == [False, True]


def test_two_users_may_own_the_same_content(way: Way) -> None:
    results = promised(way, [new_image(1), new_image(2, user_id=OTHER_USER, content=1)])

    assert [result.created for result in results] == [True, True]


def test_an_id_taken_by_other_content_is_an_error(way: Way) -> None:
    row = new_image(1)
    promised(way, [row])

    with pytest.raises(CatalogError, match=str(row.id)):
        promised(way, [replace(row, sha256=b"\1" * 32)])


def test_an_empty_batch_does_nothing(way: Way) -> None:
    assert way.write(lambda asking: promise(asking, [])) == []
    assert way.write(lambda asking: confirm(asking, [])) == set()


def test_four_that_promise_the_same_contents_at_once_agree_on_the_rows(way: Way) -> None:
    together = Barrier(4)

    def run(number: int) -> list[Promised]:
        rows = [new_image(1000 * number + content, content=content) for content in range(50)]
        together.wait()
        return promised(way, rows if number % 2 else rows[::-1])

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(run, range(4)))

    assert all({one.id for one in result} == {one.id for one in results[0]} for result in results)
    assert sum(one.created for result in results for one in result) == 50


def test_confirm_changes_only_rows_that_are_uploading(way: Way) -> None:
    rows = [new_image(number) for number in range(3)]
    promised(way, rows)
    first = way.write(lambda asking: confirm(asking, [rows[0].id]))
    second = way.write(lambda asking: confirm(asking, [*(row.id for row in rows), uuid4()]))

    assert first == {rows[0].id}
    assert second == {rows[1].id, rows[2].id}
    with way.catalog.read() as connection:
        assert {image.status for image in walk(connection)} == {Status.PROCESSING}


def test_a_transaction_that_fails_leaves_no_promise(way: Way) -> None:
    def broken(asking: Asking) -> None:
        promise(asking, [new_image(1)])
        _ = 1 // 0

    with pytest.raises(ZeroDivisionError):
        way.write(broken)

    with way.catalog.read() as connection:
        assert counts(connection)[Status.UPLOADING] == 0


def test_text_that_no_database_keeps_is_mended_and_not_refused(way: Way) -> None:
    row = replace(new_image(1), caption="a\0b\udcffc")

    promised(way, [row])

    with way.catalog.read() as connection:
        image = by_id(connection, row.id)
    assert image is not None
    assert image.caption == "a\ufffdb?c"


def test_confirmed_work_is_announced_to_listeners(way: Way) -> None:
    if way.catalog.dialect == SQLITE:
        pytest.skip("SQLite tells nobody")
    row = new_image(1)
    promised(way, [row])
    url = way.catalog.url.set(drivername=POSTGRES).render_as_string(hide_password=False)
    listener = psycopg.connect(url, autocommit=True)
    listener.execute(f"LISTEN {WORK_CHANNEL}")

    way.write(lambda asking: confirm(asking, [row.id]))

    assert [note.channel for note in listener.notifies(timeout=10, stop_after=1)] == [WORK_CHANNEL]
    listener.close()


def test_a_promise_that_was_dropped_while_its_bytes_flew_is_made_anew(way: Way) -> None:
    rows = [new_image(number) for number in range(3)]
    promised(way, rows)
    with way.catalog.write() as connection:
        drop_promises(connection, [SeenKey(id=rows[1].id, attempts=0, key=rows[1].original_key)])

    way.write(lambda asking: keep(asking, {row.id: partial(replace, row) for row in rows}))

    with way.catalog.read() as connection:
        again = {image.id: image for image in walk(connection)}

    assert {image.status for image in again.values()} == {Status.PROCESSING}
    assert again[rows[1].id].original_key == rows[1].original_key
    assert set(again) == {row.id for row in rows}


def test_what_is_there_is_told_without_writing(way: Way) -> None:
    there, new = new_image(1), new_image(2)
    promised(way, [there])

    found = way.write(lambda asking: contents(asking, [new, replace(new_image(3), sha256=there.sha256)]))

    assert [(one.id, one.created) for one in found] == [(new.id, True), (there.id, False)]
    assert way.write(lambda asking: standing(asking, [there.id, new.id])) == {
        there.id: (there.user_id, Status.UPLOADING)
    }
