"""Writes of `repair`: each statement checks the values that were read, so that rows changed since stay as they are."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, FromClause, Update, delete, null, select, tuple_
from sqlalchemy.sql.dml import ReturningDelete

from imgctl.model import Status, Variant
from imgctl.store.catalog import batch
from imgctl.store.catalog.lease import FREE, Hold, fenced
from imgctl.store.catalog.queries.holds import is_held, lock_holds
from imgctl.store.catalog.queries.reservations import announce
from imgctl.store.catalog.schema import SAFE, images, in_status, status_literal

_SETTLED = (Status.READY, Status.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenRow(Hold):
    """A row as it was read, and the values to write; each statement uses only the fields that it needs."""

    key: str = ""
    error: str = ""
    storage_class: str | None = None
    restored_until: datetime | None = None


def requeue_seen(connection: Connection, rows: Iterable[Hold]) -> set[UUID]:
    """Set free images back to `processing` and forgive their attempts; returns the changed ids."""
    changed = batch.changed(connection, _requeue, Hold, rows)
    if changed:
        announce(connection)
    return changed


def _requeue(rows: FromClause) -> Update:
    fresh = {
        "status": status_literal(Status.PROCESSING),
        "forgiven": images.c.attempts,
        "leased_until": null(),
        "error": null(),
    }
    return fenced(rows, *_SETTLED, Status.PROCESSING).where(FREE).values(**fresh).returning(images.c.id)


def name_variant(connection: Connection, variant: Variant, rows: Iterable[SeenRow]) -> set[UUID]:
    """Set this variant's key in settled rows that have none; returns the changed ids."""
    return batch.changed(connection, _name, SeenRow, rows, variant)


def _name(rows: FromClause, variant: Variant) -> Update:
    column = images.c[f"{variant}_key"]
    unnamed = fenced(rows, *_SETTLED).where(FREE, column.is_(None))
    return unnamed.values({column: rows.c.key}).returning(images.c.id)


def unname_variant(connection: Connection, variant: Variant, rows: Iterable[SeenRow]) -> set[UUID]:
    """Clear this variant's key in settled rows; returns the changed ids."""
    return batch.changed(connection, _unname, SeenRow, rows, variant)


def _unname(rows: FromClause, variant: Variant) -> Update:
    column = images.c[f"{variant}_key"]
    named = fenced(rows, *_SETTLED).where(FREE, column == rows.c.key)
    return named.values({column: null()}).returning(images.c.id)


def mark_lost(connection: Connection, rows: Iterable[SeenRow]) -> set[UUID]:
    """Set images whose original is missing to `failed`, with their variants kept; returns the changed ids."""
    return batch.changed(connection, _mark_lost, SeenRow, rows)


def _mark_lost(rows: FromClause) -> Update:
    failed = {"status": status_literal(Status.FAILED), "leased_until": null(), "error": rows.c.error}
    same = fenced(rows).where(FREE, SAFE, images.c.original_key == rows.c.key)
    return same.values(**failed).returning(images.c.id)


def reclass(connection: Connection, rows: Iterable[SeenRow]) -> set[UUID]:
    """Write the actual storage class of originals to their rows; returns the changed ids."""
    return batch.changed(connection, _reclass, SeenRow, rows)


def _reclass(rows: FromClause) -> Update:
    found = {name: rows.c[name] for name in ("storage_class", "restored_until")}
    return fenced(rows).where(FREE).values(**found).returning(images.c.id)


def drop_promises(connection: Connection, rows: Iterable[SeenRow]) -> set[UUID]:
    """Delete rows that are still `uploading` and whose owners are not under a hold; returns the deleted ids."""
    lock_holds(connection)
    return batch.changed(connection, _drop, SeenRow, rows)


def _drop(rows: FromClause) -> ReturningDelete[UUID]:
    # Not DELETE … USING, which SQLite does not support.
    named = tuple_(images.c.id, images.c.original_key).in_(select(rows.c.id, rows.c.key))
    return delete(images).where(in_status(Status.UPLOADING), named, ~is_held(images.c.user_id)).returning(images.c.id)
