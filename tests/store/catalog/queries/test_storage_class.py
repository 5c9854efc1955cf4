"""Rows of archived originals: the queue skips rows that wait for a restore, and classes are corrected."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import update

from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.claims import awaiting_restore, backlog, claim, fail_spent
from imgctl.store.catalog.queries.lookups import by_id
from imgctl.store.catalog.queries.storage_class import Truth, set_truths
from imgctl.store.catalog.schema import images
from tests.store.catalog.rows import queued

SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
PAST = SOON - timedelta(days=30)


def _set(catalog: Catalog, image: UUID, **values: object) -> None:
    with catalog.write() as connection:
        connection.execute(update(images).where(images.c.id == image).values(**values))


def _claimed(catalog: Catalog) -> list[UUID]:
    with catalog.write() as connection:
        return [one.id for one in claim(connection, limit=10, lease_seconds=60, max_attempts=3)]


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
def test_a_row_that_waits_for_a_restore_is_neither_claimed_nor_in_the_backlog(
    catalog: Catalog, storage_class: str
) -> None:
    never, expired, restored, instant, plain = queued(catalog, 5)
    _set(catalog, never, storage_class=storage_class)
    _set(catalog, expired, storage_class=storage_class, restored_until=PAST)
    _set(catalog, restored, storage_class=storage_class, restored_until=SOON)
    _set(catalog, instant, storage_class="GLACIER_IR")

    with catalog.read() as connection:
        left, waiting = backlog(connection).processing, awaiting_restore(connection)

    assert (left, waiting) == (3, 2)
    assert _claimed(catalog) == [restored, instant, plain]


def test_a_row_that_waits_for_a_restore_does_not_fail(catalog: Catalog) -> None:
    archived, plain = queued(catalog, 2)
    _set(catalog, archived, storage_class="GLACIER", attempts=9)
    _set(catalog, plain, attempts=9)

    with catalog.write() as connection:
        assert fail_spent(connection, max_attempts=3, limit=10) == [plain]


def _truth(image: UUID, row: str | None, store: str | None, until: datetime | None = None) -> Truth:
    return Truth(id=image, row_class=row, storage_class=store, restored_until=until)


def _write(catalog: Catalog, truth: Truth) -> tuple[bool, str | None, datetime | None]:
    with catalog.write() as connection:
        changed = truth.id in set_truths(connection, [truth])
    with catalog.read() as connection:
        image = by_id(connection, truth.id)
    assert image is not None
    return changed, image.storage_class, image.restored_until


def test_expiry_and_class_of_the_store_are_written(catalog: Catalog) -> None:
    (image,) = queued(catalog, 1)

    assert _write(catalog, _truth(image, None, "GLACIER")) == (True, "GLACIER", None)
    assert _write(catalog, _truth(image, "GLACIER", "GLACIER", SOON)) == (True, "GLACIER", SOON)
    assert _write(catalog, _truth(image, "GLACIER", "GLACIER")) == (True, "GLACIER", None)
    assert _write(catalog, _truth(image, "GLACIER", "STANDARD")) == (True, "STANDARD", None)


def test_a_row_whose_class_changed_meanwhile_is_skipped(catalog: Catalog) -> None:
    (image,) = queued(catalog, 1)
    _set(catalog, image, storage_class="DEEP_ARCHIVE")

    assert _write(catalog, _truth(image, None, None, SOON)) == (False, "DEEP_ARCHIVE", None)


def test_a_leased_row_may_turn_archived_but_not_readable(catalog: Catalog) -> None:
    (image,) = queued(catalog, 1)
    _set(catalog, image, leased_until=PAST)

    assert _write(catalog, _truth(image, None, "GLACIER")) == (True, "GLACIER", None)
    assert _write(catalog, _truth(image, "GLACIER", "STANDARD")) == (False, "GLACIER", None)
    assert _write(catalog, _truth(image, "GLACIER", "GLACIER", SOON)) == (True, "GLACIER", SOON)
