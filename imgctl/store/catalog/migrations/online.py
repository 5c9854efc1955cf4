"""Migration steps that don't block a running archive of 10^8 rows. Every revision from 0003 on uses only these.

How to write a migration
    1. Add `versions/NNNN_what.py` with a docstring of one line, `revision`, `down_revision` and `oldest_program`: the
       oldest schema whose programs can still run with this one; "0005" if old programs can ignore all additions.
       Update `HEAD` in `upgrade.py` and the tables in `schema.py`.
    2. `upgrade()` calls only the steps below. Each step commits by itself and can be repeated, so that `imgctl init`
       continues after a kill. Create new tables with their indexes by `brief(make)`, where `make` calls
       `op.create_table(…, if_not_exists=True)` and `op.create_index(…, if_not_exists=True)`; create an index of a table
       with rows by `create_index`.
    3. A new column is nullable or has a constant default: then Postgres rewrites no row. Values that all rows need are
       filled in batches, each its own transaction (see 0002), before any code relies on them.
    4. Rename, drop or narrow nothing in the release that stops using it, but in the next one: two releases run side by
       side while workers are replaced.

tests/store/catalog/test_online.py checks these rules for each revision.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import OperationalError

from imgctl.store.catalog.listen import is_pooled
from imgctl.store.catalog.schema import SQLITE

if TYPE_CHECKING:
    from psycopg import Connection

T = TypeVar("T")

log = logging.getLogger(__name__)

LOCK_TIMEOUT_SECONDS = 1.0
"""How long a step waits for a table lock: later queries queue behind it, so a reader or writer stalls at most this long."""
TRIES = 60
"""The number of attempts to lock a table that a dump or a long query uses; about two minutes."""
_PAUSE_SECONDS = 1.0
_LOCK_NOT_AVAILABLE = "55P03"
_BRIEF_LIMITS, _LIMITS = (
    "'statement_timeout', 'transaction_timeout'",
    "'statement_timeout', 'transaction_timeout', 'lock_timeout'",
)


def brief(step: Callable[[], None]) -> None:
    """Run a step that locks a table briefly, in its own transaction; retried while other transactions lock the table.

    OperationalError if the table was never free.
    """
    context = op.get_context()
    if context.dialect.name == SQLITE:
        # SQLite has one writer at a time, and one transaction for all migrations.
        step()
        return
    with context.autocommit_block():
        for tries_left in reversed(range(TRIES)):
            op.execute("BEGIN")
            op.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_SECONDS:g}s'")
            # Shorter limits of the administrator would end the wait by another error, which is not retried.
            op.execute(_set("'0'", _BRIEF_LIMITS, local=True))
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
    """Build an index without blocking reads and writes; an interrupted build is dropped and repeated."""
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
    with _unlimited():
        if not context.as_sql and _is_invalid(name):
            op.drop_index(name, postgresql_concurrently=True, if_exists=True)
        build(if_not_exists=True, postgresql_concurrently=True)


def add_check(name: str, table: str, condition: str) -> None:
    """Add a check for new rows under a brief lock, then validate existing rows without one; Postgres only."""
    brief(lambda: op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}"))
    brief(lambda: op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID"))
    with _unlimited():
        op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


@contextmanager
def _unlimited() -> Iterator[None]:
    """Run statements that take long but block no reads and writes, each its own transaction, without time limits.

    They wait for all older transactions: a limit that the administrator set for the role or the database would end every
    try, and leave an invalid index. Their lock conflicts only with other changes of the schema, so they may wait for it.
    """
    context = op.get_context()
    with context.autocommit_block():
        # Behind a pooler the next statement may run in another session, and the setting would stay in a shared one.
        if not context.as_sql and is_pooled(cast("Connection", op.get_bind().connection.driver_connection)):
            _warn_of_limits()
            yield
            return
        op.execute(_set("'0'", _LIMITS))
        try:
            yield
        finally:
            if context.as_sql or not op.get_bind().invalidated:
                op.execute(_set("reset_val", _LIMITS))


def _set(value: str, names: str, *, local: bool = False) -> str:
    """Set those of the settings that this version of Postgres has, for the session or (`local`) for the transaction."""
    return f"SELECT set_config(name, {value}, {local}) FROM pg_settings WHERE name IN ({names})"  # noqa: S608 - constants


def _warn_of_limits() -> None:
    shown = "SELECT string_agg(name || ' = ' || current_setting(name), ', ' ORDER BY name) FROM pg_settings"
    limits = op.get_bind().execute(sa.text(f"{shown} WHERE name IN ({_LIMITS}) AND setting <> '0'")).scalar()
    if limits:
        hint = "if one ends this step, run imgctl init on a direct connection to the database"
        log.warning("behind a pooler the database's limits cannot be lifted: %s (%s)", limits, hint)


def _postgres() -> bool:
    return op.get_context().dialect.name != SQLITE


def _is_invalid(index: str) -> bool:
    found = sa.text("SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
    return bool(op.get_bind().execute(found, {"name": index}).scalar())
