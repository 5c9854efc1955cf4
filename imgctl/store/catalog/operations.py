"""Who ran what that changed something: a row when it begins, which its end completes."""

from dataclasses import dataclass, fields
from uuid import UUID

from sqlalchemy import Connection, insert, null, update

from imgctl.store.catalog.schema import now, operations


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """A run as it begins; `scope` is what was typed, as JSON."""

    id: UUID
    command: str
    who: str
    host: str
    pid: int
    scope: str
    user_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a run ended."""

    exit_code: int
    counts: str | None = None
    report: str | None = None
    error: str | None = None


_BEGINNING, _END = (tuple(field.name for field in fields(kind)) for kind in (Beginning, End))


def begin(connection: Connection, one: Beginning) -> None:
    """Write down that a run begins now."""
    connection.execute(insert(operations).values({name: getattr(one, name) for name in _BEGINNING}))


def end(connection: Connection, operation: UUID, ended: End) -> None:
    """Write down how a run ended, now; a run has one end."""
    known = {name: getattr(ended, name) for name in _END}
    open_ended = (operations.c.id == operation, operations.c.ended_at.is_(None))
    connection.execute(update(operations).where(*open_ended).values(ended_at=now(), **known))


def forget_user(connection: Connection, user_id: UUID) -> None:
    """Take an erased user's id, and what was typed about him, out of the operations; that they ran stays."""
    about = update(operations).where(operations.c.user_id == user_id)
    connection.execute(about.values(user_id=null(), scope='{"user": "erased"}'))
