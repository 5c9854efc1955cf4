"""The operations table: a row at the start of a command that changes something, completed at the end; read by `history`."""

from dataclasses import dataclass, fields
from datetime import datetime
from uuid import UUID

from sqlalchemy import Column, ColumnElement, Connection, Index, Integer, Table, Text, insert, null, or_, select, update

from imgctl.keys import first_id
from imgctl.store.catalog.queries.lookups import PAGE_ROWS, Scope
from imgctl.store.catalog.schema import Id, UtcTime, metadata, now

# One row for each run. Triggers in its migration keep the table append-only.
operations = Table(
    "operations",
    metadata,
    Column("id", Id, primary_key=True),
    # The user to whom the run was limited.
    Column("user_id", Id),
    Column("started_at", UtcTime, nullable=False, server_default=now()),
    # Null while it runs, and permanently if it was killed.
    Column("ended_at", UtcTime),
    Column("pid", Integer, nullable=False),
    Column("exit_code", Integer),
    Column("command", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("host", Text, nullable=False),
    # The options given, as JSON.
    Column("scope", Text, nullable=False),
    # The results by outcome, as JSON.
    Column("counts", Text),
    Column("report", Text),
    Column("error", Text),
)
Index("idx_operations_user", operations.c.user_id, operations.c.id)


def begin(
    connection: Connection,
    operation: UUID,
    *,
    command: str,
    who: str,
    host: str,
    pid: int,
    scope: str,
    user_id: UUID | None = None,
) -> None:
    """Record the start of a run; `scope` holds the options given, as JSON."""
    values = {"command": command, "who": who, "host": host, "pid": pid, "scope": scope, "user_id": user_id}
    connection.execute(insert(operations).values(id=operation, **values))


def end(
    connection: Connection,
    operation: UUID,
    *,
    exit_code: int,
    counts: str | None = None,
    report: str | None = None,
    error: str | None = None,
) -> None:
    """Record the end of a run, once; later calls change nothing."""
    values = {"exit_code": exit_code, "counts": counts, "report": report, "error": error}
    open_ended = (operations.c.id == operation, operations.c.ended_at.is_(None))
    connection.execute(update(operations).where(*open_ended).values(ended_at=now(), **values))


def forget_user(connection: Connection, user_id: UUID) -> None:
    """Remove an erased user's id and the options given for that user from the operations; the rows stay."""
    about = update(operations).where(operations.c.user_id == user_id)
    connection.execute(about.values(user_id=null(), scope='{"user": "erased"}'))


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
