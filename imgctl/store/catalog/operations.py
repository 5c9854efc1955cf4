"""Who ran what that changed something: a row when it begins, which its end completes; read back newest first."""

from dataclasses import dataclass, fields
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, insert, null, or_, select, update

from imgctl.keys import first_id
from imgctl.store.catalog.lookups import PAGE_ROWS, Scope
from imgctl.store.catalog.schema import now, operations


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A run of a command that changed something, column for column; times are by the database's clock.

    `scope` is what was typed and `counts` how many ended how, both JSON. Without an `ended_at` it runs, or was killed.
    """

    id: UUID
    command: str
    who: str
    host: str
    pid: int
    scope: str
    user_id: UUID | None = None
    started_at: datetime
    ended_at: datetime | None = None
    exit_code: int | None = None
    counts: str | None = None
    report: str | None = None
    error: str | None = None


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


_COLUMNS = tuple(operations.c[field.name] for field in fields(Operation))
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


def newest(
    connection: Connection, scope: Scope, *, command: str | None = None, before: UUID | None = None
) -> list[Operation]:
    """The next page of the operations of a scope, newest first: begun within it, about its user or about everybody."""
    ids, user = operations.c.id, operations.c.user_id
    chosen: list[ColumnElement[bool]] = [] if before is None else [ids < before]
    chosen += [] if scope.since is None else [ids >= first_id(scope.since)]
    chosen += [] if scope.until is None else [ids < first_id(scope.until)]
    chosen += [] if scope.user_id is None else [or_(user == scope.user_id, user.is_(None))]
    chosen += [] if command is None else [operations.c.command == command]
    query = select(*_COLUMNS).where(*chosen).order_by(ids.desc()).limit(PAGE_ROWS)
    return [Operation(**row._asdict()) for row in connection.execute(query)]
