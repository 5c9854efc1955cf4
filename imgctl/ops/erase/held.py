"""Erased images, and images being erased, whose blobs a legal hold keeps."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import Connection

from imgctl.ops.erase.options import EraseOrder, Notes
from imgctl.store.catalog.queries.erased import Erasure
from imgctl.store.catalog.queries.holds import in_force

_INCOMPARABLE = (
    "it may be of a held user: its erasure began with another [serve] secret, so its owner cannot be compared with holds; "
    "run it with that secret, or after the holds are released"
)
_UNKNOWN = (
    "it may be of a held user: the [serve] secret of its erasure is not known, so its owner cannot be compared with holds; "
    "run it after the holds are released"
)


def held(connection: Connection, erasing: Iterable[Erasure], order: EraseOrder) -> dict[UUID, str]:
    """Return why blobs of some of these must stay: a hold on the owner, or any hold if the owner cannot be compared.

    An erasure has no user id, only its digest with the secret of `order`.
    """
    by_owner = {order.owner(one.user_id): one.line for one in reversed(in_force(connection))}
    if not by_owner:
        return {}
    found: dict[UUID, str] = {}
    for one in erasing:
        notes = Notes.read(one.notes)
        if line := by_owner.get(one.owner):
            found[one.id] = line
        elif not notes.can_compare(order.secret_id):
            found[one.id] = _INCOMPARABLE if notes.secret_id else _UNKNOWN
    return found
