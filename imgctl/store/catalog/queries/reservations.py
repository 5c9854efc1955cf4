"""Reservations: rows promised before their bytes are written, and confirmed after (law 1)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from uuid import UUID

from sqlalchemy import Connection, FromClause, Insert, Select, Update, case, exists, func, null, or_, select, update

from imgctl.errors import CatalogError
from imgctl.model import NewImage, Promised, Status
from imgctl.store.catalog import batch
from imgctl.store.catalog.schema import POSTGRES, SAFE, digest, erased, images, in_status, is_lost, now, status_literal

WORK_CHANNEL = "imgctl_work"
ENDED_CHANNEL = "imgctl_ended"
_NEW = tuple(field.name for field in fields(NewImage))
_CONTENT = ("user_id", "sha256")


def promise(connection: Connection, rows: Sequence[NewImage]) -> list[Promised]:
    """Insert each row as `uploading`, or return the existing row with its content; the order is kept.

    The id of an erased image is never used again: its row is not inserted. CatalogError if a row is rejected for any
    reason but an existing row with its content.
    """
    created = batch.changed(connection, _insert, NewImage, rows, connection.dialect.name, order=_CONTENT)
    known = _known(connection, others := [row for row in rows if row.id not in created])
    lost = [row.id for row in others if (row.user_id, row.sha256) not in known]
    gone = erased_among(connection, lost) if lost else set()
    return [_promised(row, created, known, gone) for row in rows]


def _insert(rows: FromClause, dialect: str) -> Insert:
    # SQLite also needs a WHERE to parse ON CONFLICT, not a join's ON.
    never = ~exists().where(erased.c.id == rows.c.id)
    chosen = select(*(rows.c[name] for name in _NEW), status_literal(Status.UPLOADING), now()).where(never)
    # Sorted, so that two runs with the same contents wait for each other and don't deadlock; a join does not keep order.
    chosen = chosen.order_by(*(rows.c[name] for name in _CONTENT))
    new = batch.insert_absent(images, [*_NEW, "status", "promised_at"], chosen, dialect)
    return new.returning(images.c.id)


def contents(connection: Connection, rows: Sequence[NewImage]) -> list[Promised]:
    """Return the result of `promise` without writing: the existing row of each content, or `created` if there is none."""
    known = _known(connection, rows)
    return [known.get((row.user_id, row.sha256)) or _promised(row, {row.id}, known, set()) for row in rows]


def lookup(connection: Connection, ids: Iterable[UUID]) -> dict[UUID, tuple[UUID, Status]]:
    """Return owner and status of the existing images among these ids."""
    found = batch.run(connection, _lookup, batch.Ref, batch.refs(ids))
    return {row.id: (row.user_id, row.status) for row in found}


def _lookup(rows: FromClause) -> Select[UUID, UUID, Status]:
    return select(images.c.id, images.c.user_id, images.c.status).where(images.c.id == rows.c.id)


def lookup_safe(connection: Connection, ids: Iterable[UUID]) -> dict[UUID, tuple[UUID, Status]]:
    """Return owner and status of those of these images whose original is in the store, as far as the catalog knows."""
    found = batch.run(connection, _lookup_safe, batch.Ref, batch.refs(ids))
    return {row.id: (row.user_id, row.status) for row in found}


def _lookup_safe(rows: FromClause) -> Select[UUID, UUID, Status]:
    return _lookup(rows).where(SAFE, ~is_lost())


def confirm(connection: Connection, ids: Iterable[UUID]) -> set[UUID]:
    """Set images to `processing` now that the bytes are safe: promised ones, and lost ones that were uploaded again.

    Returns the changed ids.
    """
    confirmed = batch.changed(connection, _confirm, batch.Ref, batch.refs(ids))
    if confirmed:
        announce(connection)
    return confirmed


def _confirm(rows: FromClause) -> Update:
    wanted = update(images).where(images.c.id == rows.c.id, or_(in_status(Status.UPLOADING), is_lost()))
    # The values of a new image; a lost one may have others.
    fresh = {"forgiven": images.c.attempts, "error": null(), "storage_class": null(), "restored_until": null()}
    return wanted.values(status=status_literal(Status.PROCESSING), **fresh).returning(images.c.id)


def keep(connection: Connection, rows: Iterable[NewImage]) -> set[UUID]:
    """Confirm images whose bytes are safe; insert rows again that `repair` dropped meanwhile.

    Returns the ids that were erased meanwhile: the caller must delete their bytes again.
    """
    arrived = {row.id: row for row in rows}
    changed = confirm(connection, arrived)
    others = [one for one in arrived if one not in changed]
    known = lookup(connection, others) if others else {}
    gone = erased_among(connection, others) if others else set()
    if dropped := [arrived[one] for one in others if one not in known and one not in gone]:
        confirm(connection, [one.id for one in promise(connection, dropped) if one.created])
    return gone


def erased_among(connection: Connection, ids: Iterable[UUID]) -> set[UUID]:
    """Return the ids of these images that were erased, or are being erased."""
    return batch.changed(connection, _erased_among, batch.Ref, batch.refs(ids))


def _erased_among(rows: FromClause) -> Select[UUID]:
    return select(erased.c.id).where(erased.c.id == rows.c.id)


def announce(connection: Connection, channel: str = WORK_CHANNEL) -> None:
    """Notify waiting workers, or with ENDED_CHANNEL listeners for finished images, when this transaction commits."""
    if connection.dialect.name == POSTGRES:
        connection.execute(select(func.pg_notify(channel, "")))


def _known(connection: Connection, rows: Sequence[NewImage]) -> dict[tuple[UUID, bytes], Promised]:
    if not rows:
        return {}
    return {
        (row.user_id, row.sha256): Promised(id=row.id, original_key=row.original_key, status=row.status, created=False)
        for row in batch.run(connection, _find, NewImage, rows)
    }


def _find(rows: FromClause) -> Select[UUID, str | None, Status, UUID, bytes]:
    same = digest(images.c.sha256) == digest(rows.c.sha256)
    # A lost original is wanted again. Its row stays as it is until the bytes are safe: it may name variants.
    status = case((is_lost(), status_literal(Status.UPLOADING)), else_=images.c.status).label("status")
    return select(images.c.id, images.c.original_key, status, rows.c.user_id, rows.c.sha256).where(
        images.c.user_id == rows.c.user_id, same
    )


def _promised(
    row: NewImage, created: set[UUID], known: Mapping[tuple[UUID, bytes], Promised], gone: set[UUID]
) -> Promised:
    if row.id in created:
        return Promised(id=row.id, original_key=row.original_key, status=Status.UPLOADING, created=True)
    if row.id in gone:
        return Promised(id=row.id, original_key=None, status=Status.UPLOADING, created=False, erased=True)
    existing = known.get((row.user_id, row.sha256))
    if existing is None:
        raise CatalogError(
            f"image {row.id} could not be promised", hint="its row was deleted meanwhile; run the same command again"
        )
    return existing
