"""Random rows: all equally likely, whatever their age, neighbours and history."""

import random
from collections import Counter
from uuid import UUID

from sqlalchemy import delete, update

from imgctl.model import Status
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.audit import drawn, places
from imgctl.store.catalog.schema import images
from tests.store.catalog.rows import queued

ROWS, TIMES = 120, 300


def _uneven(catalog: Catalog) -> list[UUID]:
    """Rows of a table that has holes, rows that moved, and rows that are not ready; returns the ready ones."""
    ids = queued(catalog, ROWS)
    ready, gone = ids[: ROWS * 3 // 4], ids[10:30]
    with catalog.write() as connection:
        connection.execute(update(images).where(images.c.id.in_(ready)).values(status=Status.READY))
        connection.execute(delete(images).where(images.c.id.in_(gone)))
    for _ in range(3):
        with catalog.write() as connection:
            connection.execute(update(images).where(images.c.id.in_(ids[40:50])).values(error="again"))
    return [one for one in ready if one not in gone]


def test_every_ready_row_is_drawn_equally_often(catalog: Catalog) -> None:
    ready, draw, seen = _uneven(catalog), random.Random(7), Counter[UUID]()
    with catalog.read() as connection:
        there = places(connection)
        for _ in range(TIMES):
            seen.update(image.id for image in drawn(connection, there, draw))

    expected = seen.total() / len(ready)
    chi_squared = sum((seen[one] - expected) ** 2 / expected for one in ready)
    assert set(seen) == set(ready)
    # 69 degrees of freedom: 127 is exceeded by chance once in 30,000; drawing without replacement only lessens it.
    assert chi_squared < 127


def test_an_empty_table_has_nothing_to_draw(catalog: Catalog) -> None:
    with catalog.read() as connection:
        assert drawn(connection, places(connection), random.Random(1)) == []
