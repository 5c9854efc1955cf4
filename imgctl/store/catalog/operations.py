"""Who ran what that changed something: a row when it begins, which its end completes."""

from uuid import UUID

from sqlalchemy import Column, Connection, Index, Integer, Table, Text, insert, null, update

from imgctl.store.catalog.schema import Id, UtcTime, metadata, now

# A row a run. Triggers of its migration keep it append-only.
operations = Table(
    "operations",
    metadata,
    Column("id", Id, primary_key=True),
    # Whose images alone it was about.
    Column("user_id", Id),
    Column("started_at", UtcTime, nullable=False, server_default=now()),
    # Null while it runs, and for ever where it was killed.
    Column("ended_at", UtcTime),
    Column("pid", Integer, nullable=False),
    Column("exit_code", Integer),
    Column("command", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("host", Text, nullable=False),
    # What was typed, as JSON.
    Column("scope", Text, nullable=False),
    # How many ended how, as JSON.
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
    """Write down that a run begins now; `scope` is what was typed, as JSON."""
    told = {"command": command, "who": who, "host": host, "pid": pid, "scope": scope, "user_id": user_id}
    connection.execute(insert(operations).values(id=operation, **told))


def end(
    connection: Connection,
    operation: UUID,
    *,
    exit_code: int,
    counts: str | None = None,
    report: str | None = None,
    error: str | None = None,
) -> None:
    """Write down how a run ended, now; a run has one end."""
    told = {"exit_code": exit_code, "counts": counts, "report": report, "error": error}
    open_ended = (operations.c.id == operation, operations.c.ended_at.is_(None))
    connection.execute(update(operations).where(*open_ended).values(ended_at=now(), **told))


def forget_user(connection: Connection, user_id: UUID) -> None:
    """Take an erased user's id, and what was typed about him, out of the operations; that they ran stays."""
    about = update(operations).where(operations.c.user_id == user_id)
    connection.execute(about.values(user_id=null(), scope='{"user": "erased"}'))
