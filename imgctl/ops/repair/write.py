"""Decisions as guarded statements: a batch of each kind, in one transaction."""

from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID

from sqlalchemy import Connection

from imgctl.model import Image, Variant
from imgctl.ops.repair.order import Decision, Do
from imgctl.store.catalog import repairs as sql
from imgctl.store.catalog.lease import Hold
from imgctl.store.catalog.reservations import confirm


def write(connection: Connection, decisions: Sequence[Decision]) -> set[int]:
    """Write what was decided; returns the places of those whose rows were still as they were seen."""
    changed: set[int] = set()
    # Names first: a row that is requeued is no longer settled.
    for variant in Variant:
        changed |= _names(connection, decisions, variant)
    for do, numbered in _by_kind(decisions).items():
        ids = _written(connection, do, [one for _, one in numbered])
        changed |= {number for number, one in numbered if _row(one).id in ids}
    return changed


def _by_kind(decisions: Sequence[Decision]) -> dict[Do, list[tuple[int, Decision]]]:
    kinds: dict[Do, list[tuple[int, Decision]]] = {}
    for number, one in enumerate(decisions):
        if one.do not in (Do.REBIND, Do.UNNAME):
            kinds.setdefault(one.do, []).append((number, one))
    return kinds


def _names(connection: Connection, decisions: Sequence[Decision], variant: Variant) -> set[int]:
    """Name and unname one variant; requeued images lose the name of what is not there as well."""
    mine = [(number, one) for number, one in enumerate(decisions) if one.finding.role == variant]
    named = sql.name_variant(connection, variant, _keys(one for _, one in mine if one.do is Do.REBIND))
    gone = [one for _, one in mine if one.do in (Do.UNNAME, Do.REQUEUE) and _row(one).variant_key(variant) == one.key]
    unnamed = sql.unname_variant(connection, variant, _keys(gone))
    done = {Do.REBIND: named, Do.UNNAME: unnamed}
    return {number for number, one in mine if _row(one).id in done.get(one.do, set())}


def _written(connection: Connection, do: Do, decisions: Sequence[Decision]) -> set[UUID]:
    match do:
        case Do.REQUEUE:
            return sql.requeue_seen(connection, {_row(one).id: _seen(one) for one in decisions}.values())
        case Do.CONFIRM:
            return confirm(connection, {_row(one).id for one in decisions})
        case Do.DROP:
            return sql.drop_promises(connection, _originals(decisions))
        case Do.FAIL:
            return sql.mark_lost(connection, _lost(decisions))
        case Do.RECLASS:
            return sql.reclass(connection, _classes(decisions))
        case _:
            raise ValueError(f"{do} is written elsewhere")


def _row(one: Decision) -> Image:
    assert one.evidence.row is not None
    return one.evidence.row


def _seen(one: Decision) -> Hold:
    return Hold(id=_row(one).id, attempts=_row(one).attempts)


def _keys(decisions: Iterable[Decision]) -> Iterator[sql.SeenKey]:
    for one in decisions:
        yield sql.SeenKey(id=_row(one).id, attempts=_row(one).attempts, key=one.key or "")


def _originals(decisions: Iterable[Decision]) -> Iterator[sql.SeenKey]:
    for one in decisions:
        yield sql.SeenKey(id=_row(one).id, attempts=_row(one).attempts, key=_row(one).original_key or "")


def _lost(decisions: Iterable[Decision]) -> Iterable[sql.Lost]:
    rows = {}
    for one in decisions:
        row = _row(one)
        rows[row.id] = sql.Lost(id=row.id, attempts=row.attempts, key=row.original_key or "", error=one.detail)
    return rows.values()


def _classes(decisions: Iterable[Decision]) -> Iterator[sql.Class]:
    for one in decisions:
        blob = one.evidence.original
        assert blob is not None
        yield sql.Class(
            id=_row(one).id,
            attempts=_row(one).attempts,
            storage_class=blob.storage_class,
            restored_until=blob.restored_until,
        )
