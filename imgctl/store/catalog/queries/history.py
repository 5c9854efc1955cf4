"""Reads the history of commands that changed something, newest first."""

from dataclasses import dataclass, fields
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, or_, select

from imgctl.keys import first_id
from imgctl.store.catalog.queries.lookups import PAGE_ROWS, Scope
from imgctl.store.catalog.queries.operations import operations


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A run of a command that changed something, column for column; times are by the database's clock.

    `scope` holds the options given and `counts` the results by outcome, both JSON. Without `ended_at` the command runs,
    or was killed.
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


_COLUMNS = tuple(operations.c[field.name] for field in fields(Operation))


def newest(
    connection: Connection, scope: Scope, *, command: str | None = None, before: UUID | None = None
) -> list[Operation]:
    """Return the next page of operations, newest first: started within the scope, about its user or about all users."""
    ids, user = operations.c.id, operations.c.user_id
    chosen: list[ColumnElement[bool]] = [] if before is None else [ids < before]
    chosen += [] if scope.since is None else [ids >= first_id(scope.since)]
    chosen += [] if scope.until is None else [ids < first_id(scope.until)]
    chosen += [] if scope.user_id is None else [or_(user == scope.user_id, user.is_(None))]
    chosen += [] if command is None else [operations.c.command == command]
    query = select(*_COLUMNS).where(*chosen).order_by(ids.desc()).limit(PAGE_ROWS)
    return [Operation(**row._asdict()) for row in connection.execute(query)]
