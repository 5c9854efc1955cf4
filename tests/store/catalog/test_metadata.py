"""Metadata of originals fills empty columns, and overwrites only the requested ones."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert

from imgctl.keys import key_of, new_id, time_of
from imgctl.model import Image, Status
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.backfill import FACT_COLUMNS, Fact, Metadata, incomplete, write_metadata
from imgctl.store.catalog.schema import images
from tests.store.catalog.rows import NOON, USER, walk

TEXTS = st.sampled_from([None, "a", "é 海"])
DATES = st.sampled_from([None, datetime(1987, 6, 5, tzinfo=UTC), datetime(2011, 3, 4, 5, 6, 7, tzinfo=UTC)])
EDGES = st.sampled_from([None, 1, 2])
FACTS = st.fixed_dictionaries({"caption": TEXTS, "taken_at": DATES, "width": EDGES, "height": EDGES})


@given(before=FACTS, found=FACTS, overwrite=st.frozensets(st.sampled_from(Fact)), status=st.sampled_from(Status))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_fact_is_filled_or_overwritten_and_nothing_else_of_a_row_changes(
    catalog: Catalog,
    before: dict[str, object],
    found: dict[str, object],
    overwrite: frozenset[Fact],
    status: Status,
) -> None:
    first = _row(catalog, status, before)

    with catalog.write() as connection:
        written = write_metadata(connection, [Metadata(id=first.id, **found)], overwrite=overwrite)  # type: ignore[arg-type]

    [after] = _rows(catalog)
    for fact, names in FACT_COLUMNS.items():
        for name in names:
            old, new = before[name], found[name]
            wins = new if (fact in overwrite and new is not None) or old is None else old
            assert getattr(after, name) == (old if status is Status.UPLOADING else wins)
    others = {column.name for column in images.c} - {name for names in FACT_COLUMNS.values() for name in names}
    assert {name: getattr(after, name) for name in others} == {name: getattr(first, name) for name in others}
    assert set(written) == (set() if status is Status.UPLOADING else {first.id})
    assert all(getattr(written[first.id], name) == getattr(after, name) for name in found if written)


@pytest.mark.parametrize("lacks", ["caption", "taken_at", "width", "height", None])
@pytest.mark.parametrize("status", Status)
def test_a_row_is_incomplete_while_it_lacks_a_fact_and_its_bytes_are_safe(
    catalog: Catalog, lacks: str | None, status: Status
) -> None:
    whole = {"caption": "a", "taken_at": NOON, "width": 1, "height": 2}
    _row(catalog, status, whole | ({lacks: None} if lacks else {}))

    with catalog.read() as connection:
        found, every = (
            connection.execute(images.select().where(incomplete(overwrite))).all() for overwrite in ((), (Fact.SIZE,))
        )

    assert bool(found) is (lacks is not None and status is not Status.UPLOADING)
    assert bool(every) is (status is not Status.UPLOADING)


def _row(catalog: Catalog, status: Status, facts: dict[str, object]) -> Image:
    image_id = new_id(NOON + timedelta(days=1))
    row = Image(
        id=image_id,
        user_id=USER,
        uploaded_at=time_of(image_id),
        promised_at=time_of(image_id),
        status=status,
        original_key=key_of(image_id, "original", "jpg"),
        sha256=b"s" * 32,
        bytes=5,
        content_type="image/jpeg",
        attempts=3,
        **facts,  # type: ignore[arg-type]
    )
    with catalog.write() as connection:
        connection.execute(delete(images))
        connection.execute(insert(images), [{column.name: getattr(row, column.name) for column in images.c}])
    return row


def _rows(catalog: Catalog) -> list[Image]:
    with catalog.read() as connection:
        return walk(connection)
