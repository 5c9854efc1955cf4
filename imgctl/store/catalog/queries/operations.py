"""Records commands that change something: a row at the start, completed at the end."""

from uuid import UUID

from sqlalchemy import Column, Connection, Index, Integer, Table, Text, insert, null, update

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
