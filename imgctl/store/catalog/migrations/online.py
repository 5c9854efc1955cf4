"""Steps of a migration that a running archive of 10^8 rows does not notice. Every revision from 0003 on is made of these.

How to write a migration
    1. `versions/NNNN_what.py` with a docstring of one line, `revision`, `down_revision` and `oldest_program`: the oldest
       schema whose programs may go on beside this one, "0005" where it only adds what old programs need not know.
       `HEAD` in `upgrade.py` and the tables in `schema.py` follow.
    2. `upgrade()` calls the steps below and nothing else. Each commits by itself and is harmless when it is repeated,
       so a killed `imgctl init` goes on with the next one. New tables with their indexes are `brief(make)`, where `make`
       calls `op.create_table(…, if_not_exists=True)` and `op.create_index(…, if_not_exists=True)`; an index of a table that
       has rows is `create_index`.
    3. A new column is nullable or has a constant default: Postgres then rewrites no row. What all rows must hold is filled
       in batches of their own transactions (0002 shows it), before anything relies on it.
    4. Nothing is renamed, dropped or narrowed in the release that stops using it, but in the one after: two releases run
       side by side while workers are replaced.

tests/store/catalog/test_online.py holds each revision to this.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import OperationalError

from imgctl.store.catalog.schema import SQLITE

T = TypeVar("T")

LOCK_TIMEOUT_SECONDS = 1.0
"""How long a step waits for a table: who comes later waits behind it, so this is the longest stall of a reader or writer."""
TRIES = 60
"""How often it asks for the table before it gives up to a dump or a long query; some two minutes."""
_PAUSE_SECONDS = 1.0
_LOCK_NOT_AVAILABLE = "55P03"


def brief(step: Callable[[], None]) -> None:
    """Do what holds a table's lock for a moment: in a transaction of its own, given up and tried again while others hold it.

    OperationalError when the table was never free.
    """
    context = op.get_context()
    if context.dialect.name == SQLITE:
        # One writer at a time, who was given one transaction for all migrations.
        step()
        return
    with context.autocommit_block():
        for tries_left in reversed(range(TRIES)):
            op.execute("BEGIN")
            op.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_SECONDS:g}s'")
            try:
                step()
                op.execute("COMMIT")
                return
            except OperationalError as error:
                op.execute("ROLLBACK")
                if getattr(error.orig, "sqlstate", "") != _LOCK_NOT_AVAILABLE or not tries_left:
                    raise
            time.sleep(_PAUSE_SECONDS)


def add_column(table: str, column: sa.Column[T]) -> None:
    """Add a column that is nullable or has a constant default."""
    brief(lambda: op.add_column(table, column, if_not_exists=_postgres()))


def create_index(
    name: str,
    table: str,
    columns: Sequence[str | sa.TextClause],
    *,
    unique: bool = False,
    where: sa.TextClause | None = None,
    using: str | None = None,
) -> None:
    """Build an index while the table is read and written; a build that was killed is thrown away and begun again."""
    build = partial(
        op.create_index,
        name,
        table,
        columns,
        unique=unique,
        postgresql_where=where,
        sqlite_where=where,
        postgresql_using=using,
    )
    if not _postgres():
        build()
        return
    context = op.get_context()
    with context.autocommit_block():
        if not context.as_sql and _is_invalid(name):
            op.drop_index(name, postgresql_concurrently=True, if_exists=True)
        build(if_not_exists=True, postgresql_concurrently=True)


def add_check(name: str, table: str, condition: str) -> None:
    """Demand something of all rows to come under a lock of a moment, then of those that exist without one; Postgres only."""
    brief(lambda: op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}"))
    brief(lambda: op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID"))
    with op.get_context().autocommit_block():
        op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def _postgres() -> bool:
    return op.get_context().dialect.name != SQLITE


def _is_invalid(index: str) -> bool:
    found = sa.text("SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
    return bool(op.get_bind().execute(found, {"name": index}).scalar())
