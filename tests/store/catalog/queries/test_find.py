"""Search for images: matches, the indexes used, and the criteria without an index."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, event, text, update

from imgctl.model import Status
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.optional_indexes import make_optional
from imgctl.store.catalog.queries.find import OPTIONAL, Sought, unindexed
from imgctl.store.catalog.queries.lookups import Scope, newest
from imgctl.store.catalog.queries.reservations import confirm, promise
from imgctl.store.catalog.schema import images, status_literal
from tests.store.catalog.rows import NOON, OTHER_USER, USER, new_image

HOUR = timedelta(hours=1)
ROWS = 400
WANTED = sha256(b"234").digest()


@pytest.fixture
def filled(catalog: Catalog) -> Iterator[Catalog]:
    """Four hundred rows of two users, each with its own name, content, caption and capture time."""
    rows = [
        replace(
            new_image(number),
            user_id=USER if number % 2 else OTHER_USER,
            name=f"IMG_{number:04}.JPG",
            sha256=sha256(f"{number}".encode()).digest(),
            taken_at=NOON + number * HOUR,
            caption=f"Sunset {number} in Hamburg",
        )
        for number in range(ROWS)
    ]
    with catalog.write() as connection:
        promise(connection, rows)
        confirm(connection, [one.id for one in rows])
        connection.execute(text("ANALYZE"))
    yield catalog


def names(connection: Connection, sought: Sought, user_id: UUID | None = None) -> list[str | None]:
    """Return the names of the found images, newest first."""
    return [one.name for one in newest(connection, Scope(user_id=user_id), sought=sought)]


FOUND = [
    (Sought(name="img_02*"), [f"IMG_{number:04}.JPG" for number in range(299, 199, -1)]),
    (Sought(name="Img_0234.jpg"), ["IMG_0234.JPG"]),
    (Sought(name="img_0234.j*"), ["IMG_0234.JPG"]),
    (Sought(name="*34.jpg"), ["IMG_0334.JPG", "IMG_0234.JPG", "IMG_0134.JPG", "IMG_0034.JPG"]),
    (Sought(name="*"), [f"IMG_{number:04}.JPG" for number in range(399, -1, -1)]),
    (Sought(sha256=WANTED), ["IMG_0234.JPG"]),
    (Sought(taken_since=NOON + 7 * HOUR, taken_until=NOON + 9 * HOUR), ["IMG_0008.JPG", "IMG_0007.JPG"]),
    (Sought(words=("sUNSET 77 ", "hamburg")), ["IMG_0077.JPG"]),
    (Sought(words=("100%",)), []),
    (Sought(name="IMG_0234.JPG", status=Status.READY), []),
]


@pytest.mark.parametrize("with_indexes", [False, True])
def test_exactly_the_matches_are_found_with_and_without_indexes(filled: Catalog, with_indexes: bool) -> None:
    if with_indexes:
        assert make_optional(filled) == list(OPTIONAL)
        assert make_optional(filled) == []

    with filled.read() as connection:
        for sought, wanted in FOUND:
            assert names(connection, sought) == wanted
            assert names(connection, sought, USER) == [one for one in wanted if int(one[4:8]) % 2]


@pytest.mark.parametrize("with_indexes", [False, True])
def test_the_case_of_no_letter_matters(catalog: Catalog, with_indexes: bool) -> None:
    called = ["Über den Äckern.jpg", "IMG Été.jpg", "Изображение 7.JPG", "ubahn.jpg"]
    rows = [replace(new_image(number), name=name, caption=name) for number, name in enumerate(called)]
    with catalog.write() as connection:
        promise(connection, rows)
    if with_indexes:
        make_optional(catalog)

    with catalog.read() as connection:
        for name in called:
            for written in (name, name.lower(), name.upper()):
                assert names(connection, Sought(name=f"{written[:-5]}*")) == [name]
                assert names(connection, Sought(words=(written[1:5],))) == [name]


INDEXED = [
    (Sought(name="IMG_0234*"), None, "idx_name"),
    (Sought(name="img_0234.jpg"), USER, "idx_name"),
    (Sought(sha256=WANTED), None, "idx_digest"),
    (Sought(sha256=WANTED), USER, "uq_user_digest"),
    (Sought(taken_since=NOON, taken_until=NOON + 2 * HOUR), None, "idx_taken"),
    (Sought(words=("sunset",)), USER, "idx_user_recent"),
]


def test_each_search_uses_its_index(filled: Catalog) -> None:
    make_optional(filled)
    with filled.write() as connection:
        connection.execute(text("ANALYZE"))
    plans = explained(filled)

    with filled.read() as connection:
        # For a few rows the planner prefers a sequential scan; not for a million: bench/find.py.
        if filled.dialect != "sqlite":
            connection.execute(text("SET LOCAL enable_seqscan = off"))
            connection.execute(text("SET LOCAL enable_bitmapscan = off"))
        for sought, user_id, index in INDEXED:
            names(connection, sought, user_id)
            assert index in plans[-1], (sought, plans[-1])
            assert "SCAN images" not in plans[-1], (sought, plans[-1])


@pytest.mark.parametrize(("status", "index"), [(Status.FAILED, "idx_failed"), (Status.PROCESSING, "idx_claimable")])
def test_the_few_images_in_a_state_are_found_by_its_index(filled: Catalog, status: Status, index: str) -> None:
    with filled.write() as connection:
        connection.execute(update(images).values(status=status_literal(Status.READY)))
        connection.execute(update(images).where(images.c.name == "IMG_0001.JPG").values(status=status_literal(status)))
        connection.execute(text("ANALYZE"))
    plans = explained(filled)

    with filled.read() as connection:
        if filled.dialect != "sqlite":
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        assert names(connection, Sought(status=status)) == ["IMG_0001.JPG"]

    assert index in plans[-1]


def explained(catalog: Catalog) -> list[str]:
    """Return a list that gets the database's plan of each later query."""
    plans: list[str] = []
    explain = "EXPLAIN QUERY PLAN" if catalog.dialect == "sqlite" else "EXPLAIN"

    def before(_c: object, cursor: Any, statement: str, parameters: object, *_: object) -> None:
        if statement.startswith("SELECT"):
            cursor.execute(f"{explain} {statement}", parameters)
            plans.append("\n".join(map(str, cursor.fetchall())))

    event.listen(catalog.engine, "before_cursor_execute", before)
    return plans


def test_criteria_without_an_index_are_named(filled: Catalog) -> None:
    with filled.read() as connection:
        assert unindexed(connection, Sought(), None) == ""
        assert unindexed(connection, Sought(status=Status.READY), None) == ""
        assert unindexed(connection, Sought(status=Status.FAILED, words=("sunset",)), None) == ""
        assert unindexed(connection, Sought(status=Status.UPLOADING), None) == "unfinished uploads"
        assert unindexed(connection, Sought(sha256=WANTED), USER) == ""
        assert unindexed(connection, Sought(name="IMG*"), USER) == "names"
        assert unindexed(connection, Sought(sha256=WANTED, words=("sunset",)), None) == "contents and captions"
    make_optional(filled)
    with filled.read() as connection:
        assert unindexed(connection, Sought(name="IMG*"), None) == ""
        assert unindexed(connection, Sought(taken_since=NOON), None) == ""
        assert unindexed(connection, Sought(sha256=WANTED, words=("sunset",)), None) == ""
        assert unindexed(connection, Sought(name="*jpg", words=("sunset",)), None) == "names and captions"
