"""The SQL of moves between storage classes: built once, with the same text every time."""

from functools import cache

from sqlalchemy import (
    ColumnElement,
    Double,
    FromClause,
    Integer,
    Text,
    Update,
    bindparam,
    case,
    func,
    null,
    or_,
    update,
)

from imgctl.model import Status
from imgctl.store.catalog import batch
from imgctl.store.catalog.schema import images
from imgctl.store.catalog.types import Id, now, now_plus, status_literal

HELD: batch.Columns = {"id": Id, "attempts": Integer}
SEEN: batch.Columns = {**HELD, "original_key": Text, "storage_class": Text}
SETTLED: batch.Columns = {**HELD, "storage_class": Text, "moved": Integer}

_READY = images.c.status == status_literal(Status.READY)
_FREE = or_(images.c.leased_until.is_(None), images.c.leased_until < now())
_LEASE = now_plus(bindparam("lease_seconds", type_=Double()))
_TO = bindparam("to", type_=Text())


@cache
def promise(dialect: str) -> Update:
    """Say of free rows, still as they were seen, that their originals lie in the class they are about to move to."""
    rows = batch.source(dialect, SEEN)
    as_seen = (images.c.original_key == rows.c.original_key, _same(images.c.storage_class, rows.c.storage_class))
    # No try of a rendering: forgiven at once.
    counted = {"attempts": images.c.attempts + 1, "forgiven": images.c.forgiven + 1}
    promised = _fenced(rows).where(_FREE, *as_seen)
    return promised.values(storage_class=_TO, leased_until=_LEASE, **counted).returning(images.c.id, images.c.attempts)


@cache
def settle(dialect: str) -> Update:
    """Write the class where originals are found to lie, and let go of their rows."""
    rows = batch.source(dialect, SETTLED)
    restored_until = case((rows.c.moved == 0, images.c.restored_until), else_=null())
    settled = {"storage_class": rows.c.storage_class, "leased_until": null(), "restored_until": restored_until}
    return _fenced(rows).values(**settled).returning(images.c.id)


@cache
def correct(dialect: str) -> Update:
    """Write the class of originals that somebody else moved, on rows that nobody holds."""
    return settle(dialect).where(_FREE)


@cache
def renew(dialect: str) -> Update:
    """Lengthen the leases of promised moves."""
    rows = batch.source(dialect, HELD)
    held = _fenced(rows).where(images.c.leased_until.is_not(None))
    return held.values(leased_until=_LEASE).returning(images.c.id)


def _fenced(rows: FromClause) -> Update:
    return update(images).where(images.c.id == rows.c.id, images.c.attempts == rows.c.attempts, _READY)


def _same(one: ColumnElement[str | None], other: ColumnElement[str | None]) -> ColumnElement[bool]:
    # No class has an empty name; a join compares these faster than IS NOT DISTINCT FROM.
    return func.coalesce(one, "") == func.coalesce(other, "")
