"""Decisions as guarded statements: a batch of each kind, in one transaction."""

from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

from sqlalchemy import Connection

from imgctl.model import Image, Variant
from imgctl.ops.repair.order import Decision, Do
from imgctl.store.catalog import repairs as sql
from imgctl.store.catalog.reservations import confirm

_WRITE: dict[Do, Callable[[Connection, list[sql.SeenRow]], set[UUID]]] = {
    Do.REQUEUE: sql.requeue_seen,
    Do.DROP: sql.drop_promises,
    Do.FAIL: sql.mark_lost,
    Do.RECLASS: sql.reclass,
    Do.CONFIRM: lambda connection, rows: confirm(connection, {row.id for row in rows}),
}


def write_down(connection: Connection, decisions: Sequence[Decision]) -> set[int]:
    """Write what was decided; returns the places of those whose rows were still as they were seen."""
    changed: set[int] = set()
    # Names first: a row that is requeued is no longer settled.
    for variant in Variant:
        mine = {place: one for place, one in enumerate(decisions) if one.finding.role == variant}
        named = sql.name_variant(connection, variant, _rows(one for one in mine.values() if one.do is Do.REBIND))
        # A requeued image loses the name of what is not there as well.
        gone = (
            one
            for one in mine.values()
            if one.do in (Do.UNNAME, Do.REQUEUE) and _row(one).variant_key(variant) == one.key
        )
        unnamed = sql.unname_variant(connection, variant, _rows(gone))
        done = {Do.REBIND: named, Do.UNNAME: unnamed}
        changed |= {place for place, one in mine.items() if _row(one).id in done.get(one.do, ())}
    for do, statement in _WRITE.items():
        numbered = {place: one for place, one in enumerate(decisions) if one.do is do}
        if numbered:
            ids = statement(connection, _rows(numbered.values()))
            changed |= {place for place, one in numbered.items() if _row(one).id in ids}
    return changed


def _rows(decisions: Iterable[Decision]) -> list[sql.SeenRow]:
    """The rows as they were seen and what to write, once each: a row may have several findings."""
    rows = {}
    for one in decisions:
        row, original = _row(one), one.evidence.original
        rows[row.id] = sql.SeenRow(
            id=row.id,
            attempts=row.attempts,
            key=(one.key if one.do in (Do.REBIND, Do.UNNAME, Do.REQUEUE) else row.original_key) or "",
            error=one.detail,
            storage_class=original.storage_class if original else None,
            restored_until=original.restored_until if original else None,
        )
    return list(rows.values())


def _row(one: Decision) -> Image:
    assert one.evidence.row is not None
    return one.evidence.row
