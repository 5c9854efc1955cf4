"""Reads of rows, in the order of ids."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from imgctl.model import Image, NewImage, Status
from imgctl.store.catalog.engine import Catalog, open_catalog
from imgctl.store.catalog.queries import lookups
from imgctl.store.catalog.queries.find import Sought
from imgctl.store.catalog.queries.lookups import Owned, Scope, by_content, by_id, by_ids, find, newest
from imgctl.store.catalog.queries.reservations import confirm, promise
from imgctl.store.catalog.schema import images
from tests.store.catalog.rows import NOON, OTHER_USER, USER, new_image


@pytest.fixture
def rows(catalog: Catalog) -> list[NewImage]:
    new = [new_image(number) for number in range(6)] + [new_image(number, user_id=OTHER_USER) for number in range(3)]
    with catalog.write() as connection:
        promise(connection, new)
    return new


@pytest.fixture
def listed(catalog: Catalog) -> list[NewImage]:
    """Seven rows of one user, a second apart, and three of another among them."""
    new = [new_image(number) for number in range(7)]
    new += [new_image(number, user_id=OTHER_USER, content=100 + number) for number in range(1, 4)]
    with catalog.write() as connection:
        promise(connection, new)
    return sorted(new, key=lambda row: row.id)


def numbers(ids: Sequence[UUID], rows: list[NewImage]) -> list[int]:
    return [[row.id for row in rows].index(one) for one in ids]


def test_an_unknown_id_finds_nothing(catalog: Catalog) -> None:
    with catalog.read() as connection:
        assert by_id(connection, uuid4()) is None


def test_contents_are_found_only_for_their_owner(catalog: Catalog, listed: list[NewImage]) -> None:
    wanted = [Owned(user_id=row.user_id, sha256=row.sha256) for row in listed[:5]]
    others = [Owned(user_id=UUID(int=1), sha256=listed[0].sha256)]
    # Half of the SHA-256 finds the row; the whole one must match.
    others.append(Owned(user_id=listed[0].user_id, sha256=listed[0].sha256[:16] + bytes(16)))

    with catalog.read() as connection:
        found = by_content(connection, [*wanted, *others])

    assert {one: image.id for one, image in found.items() if one in wanted} == {
        one: row.id for one, row in zip(wanted, listed, strict=False)
    }
    assert not found.keys() & set(others)


def test_an_abbreviated_id_is_found_and_an_ambiguous_one_returns_two(catalog: Catalog, rows: list[NewImage]) -> None:
    whole = str(rows[0].id)
    with catalog.read() as connection:
        assert [image.id for image in find(connection, whole.upper())] == [rows[0].id]
        assert [image.id for image in find(connection, whole[:-3])] == [rows[0].id]
        assert len(find(connection, whole[:6])) == 2


@pytest.mark.parametrize("text", ["", "-", "no id", "0198' OR 1=1 --", "f" * 33])
def test_an_invalid_id_finds_nothing(catalog: Catalog, rows: list[NewImage], text: str) -> None:
    assert len(rows) == 9
    with catalog.read() as connection:
        assert find(connection, text) == []


@pytest.mark.parametrize("user", [None, USER, OTHER_USER])
@pytest.mark.parametrize("size", [1, 3, 100])
def test_pages_go_from_the_newest_to_the_oldest_without_gap_or_repeat(
    catalog: Catalog, listed: list[NewImage], user: UUID | None, size: int
) -> None:
    found: list[UUID] = []
    with catalog.read() as connection:
        while page := newest(connection, Scope(user_id=user), before=found[-1] if found else None, limit=size):
            found += [image.id for image in page]

    assert found == [row.id for row in reversed(listed) if user in (None, row.user_id)]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("img_47*", [0, 1]),
        ("IMG_471?.JPG", [0]),
        ("IMG?4711.jpg", [0, 3]),
        ("IMG_4711.jpg", [0]),
        ("*100%*", [2]),
        ("*\\*", [4]),
        ("*", [0, 1, 2, 3, 4]),
        ("4711", []),
    ],
)
@pytest.mark.parametrize("user", [None, USER])
def test_a_name_is_found_in_any_case_and_only_by_its_wildcards(
    catalog: Catalog, user: UUID | None, pattern: str, found: list[int]
) -> None:
    names = ["IMG_4711.jpg", "img_4799.HEIC", "100% sun_set.png", "IMG-4711.jpg", "odd\\name.gif", None]
    new = [replace(new_image(number), name=name) for number, name in enumerate(names)]
    with catalog.write() as connection:
        promise(connection, new)

    with catalog.read() as connection:
        listed = newest(connection, Scope(user_id=user), sought=Sought(name=pattern))

    assert sorted(numbers([image.id for image in listed], new)) == found


@pytest.mark.parametrize("user", [None, USER])
def test_since_is_included_and_until_is_not(catalog: Catalog, listed: list[NewImage], user: UUID | None) -> None:
    since, until = NOON + timedelta(seconds=2), NOON + timedelta(seconds=4)

    with catalog.read() as connection:
        found = newest(connection, Scope(user_id=user, since=since, until=until))

    wanted = [row for row in listed if since <= row.uploaded_at < until and user in (None, row.user_id)]
    assert {image.id for image in found} == {row.id for row in wanted}


def test_rows_are_filtered_by_state(catalog: Catalog, listed: list[NewImage]) -> None:
    with catalog.read() as connection:
        assert len(newest(connection, Scope(), sought=Sought(status=Status.UPLOADING))) == len(listed)
        assert newest(connection, Scope(user_id=USER), sought=Sought(status=Status.FAILED)) == []


def test_a_page_can_begin_after_a_deleted_row(catalog: Catalog, listed: list[NewImage]) -> None:
    with catalog.write() as connection:
        connection.execute(images.delete().where(images.c.id == listed[5].id))

    with catalog.read() as connection:
        found = [image.id for image in newest(connection, Scope(), before=listed[5].id)]

    assert found == [row.id for row in reversed(listed[:5])]


def test_listings_are_read_from_an_index(postgres_url: str) -> None:
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


def _one_exposure(catalog: Catalog, names: Sequence[str]) -> dict[str, Image]:
    """Images of one owner by their names, uploaded a second apart."""
    rows = [replace(new_image(number), name=name) for number, name in enumerate(names)]
    with catalog.write() as connection:
        promise(connection, rows)
        confirm(connection, [row.id for row in rows])
    with catalog.read() as connection:
        return {image.name or "": image for image in by_ids(connection, [row.id for row in rows]).values()}


def test_one_exposure_is_searched_among_the_nearest_rows(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "NEAR_ROWS", 3)
    rows = _one_exposure(catalog, ["A.mov", "1", "A.cr3", "2", "3", "a.HEIC", "a.jpg", "4", "A.mp4", "A.avi"])

    with catalog.read() as connection:
        found = lookups.alike(connection, rows["a.HEIC"], stem="a", seconds=5)

    # The image's own row counts as one of the later ones.
    assert [one.name for one in found] == ["a.jpg", "A.cr3"]


def test_a_search_for_one_exposure_reads_as_many_rows_for_any_owner(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "NEAR_ROWS", 20)
    catalog = open_catalog(postgres_url)
    rows = _one_exposure(catalog, [f"IMG_{number}.jpg" for number in range(500)])
    read = []
    with catalog.read() as connection:
        # As the planner does by itself for more rows.
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        connection.execute(text("SET LOCAL enable_sort = off"))
        connection.execute(text("SET LOCAL enable_bitmapscan = off"))
        for later in (False, True):
            query = lookups._alike(rows["IMG_250.jpg"], "IMG_250", 5, later=later)
            compiled = query.compile(connection, compile_kwargs={"render_postcompile": True})
            explained = f"EXPLAIN (ANALYZE, FORMAT JSON) {compiled}"
            read += connection.exec_driver_sql(explained, dict(compiled.params)).scalar_one()
    catalog.close()

    assert [_rows_read(plan["Plan"]) for plan in read] == [20, 20]


def _rows_read(plan: dict[str, Any]) -> int:
    below = sum(_rows_read(one) for one in plan.get("Plans", ()))
    return below + (plan["Actual Rows"] if "Scan" in plan["Node Type"] and "Relation Name" in plan else 0)
