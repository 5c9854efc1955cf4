"""What rows say of their archived originals, kept true to what the store says."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from uuid import UUID

from sqlalchemy import Connection, Text, Update, literal_column, or_, update

from imgctl.model import ARCHIVE_CLASSES
from imgctl.store.catalog import batch
from imgctl.store.catalog.reservations import announce_work
from imgctl.store.catalog.schema import images
from imgctl.store.catalog.types import Id, UtcTime


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What the store says of an original whose row said `row_class` when it was read; None is STANDARD."""

    id: UUID
    row_class: str | None
    storage_class: str | None
    restored_until: datetime | None


_TRUTH: batch.Columns = {"id": Id, "row_class": Text, "storage_class": Text, "restored_until": UtcTime}


def set_truths(connection: Connection, truths: Iterable[Truth]) -> set[UUID]:
    """Write class and expiry of originals, and wake workers where one became readable; returns the ids that changed.

    A row that says another class than when it was read is left: somebody moves it. So is a leased one that would no
    longer say archived: a transition promises the class before it moves, and its row must not say otherwise.
    """
    ordered = sorted(truths, key=lambda truth: truth.id)
    dialect = connection.dialect.name
    values = batch.parameters(dialect, _TRUTH, ([getattr(one, name) for name in _TRUTH] for one in ordered))
    changed = set(connection.execute(_set(dialect), values).scalars())
    if changed:
        announce_work(connection)
    return changed


@cache
def _set(dialect: str) -> Update:
    rows = batch.source(dialect, _TRUTH)
    same = rows.c.storage_class.is_not_distinct_from(rows.c.row_class)
    archived = rows.c.storage_class.in_([literal_column(f"'{name}'") for name in ARCHIVE_CLASSES])
    return (
        update(images)
        .where(
            images.c.id == rows.c.id,
            images.c.storage_class.is_not_distinct_from(rows.c.row_class),
            or_(same, archived, images.c.leased_until.is_(None)),
        )
        .values(storage_class=rows.c.storage_class, restored_until=rows.c.restored_until)
        .returning(images.c.id)
    )
