"""Checks, creates and upgrades the schema of a database, or writes the DDL.

`migrations/online.py` has the steps for migrations that block no reads and writes.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, select, text

from imgctl.errors import ConfigError, SchemaNotCurrent
from imgctl.store.catalog.engine import Catalog, dialect_of
from imgctl.store.catalog.explain import NO_CATALOG_HINT, NO_SCHEMA_HINT
from imgctl.store.catalog.schema import POSTGRES, SQLITE

if TYPE_CHECKING:
    # Every command checks the schema; only an upgrade needs this import.
    from alembic.config import Config

HEAD = "0008"
"""The newest migration."""
ABSENT = ""

# Any number that no other program uses as a lock: "imgctl" in ASCII.
_LOCK = int.from_bytes(b"imgctl")
_PAUSE_SECONDS = 0.2
# psql goes on after an error: it would record the revision of a step that did not get its lock.
_HOW_TO_RUN = "-- psql -v ON_ERROR_STOP=1; after an error run the output of imgctl init --sql --from REVISION again\n\n"
# Not every version of Postgres has both; `true`: until the end of the transaction.
_NO_LIMITS = """
SELECT set_config(name, '0', true) FROM pg_settings
WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The schema of a database: its revision, empty if no migration ever ran, and the oldest program that may use it."""

    revision: str
    oldest_program: str

    @property
    def is_current(self) -> bool:
        """Whether this program may use it: the same revision, or a newer one that still supports this program."""
        return self.revision == HEAD or (self.is_newer and self.oldest_program <= HEAD)

    @property
    def is_newer(self) -> bool:
        """Whether a newer imgctl made it."""
        return not self.is_foreign and self.revision > HEAD

    @property
    def is_foreign(self) -> bool:
        """Whether another program made it: Alembic's own table has the same name in every program."""
        return self.revision != ABSENT and not re.fullmatch(r"\d{4}", self.revision)


def found(catalog: Catalog) -> Found:
    """Read the schema of the database."""
    try:
        with catalog.read() as connection:
            # All columns: before revision 0004 there was only one.
            row = connection.execute(text("SELECT * FROM alembic_version")).mappings().first()
    except SchemaNotCurrent:
        row = None
    if row is None:
        return Found(revision=ABSENT, oldest_program="")
    revision = str(row["version_num"])
    return Found(revision=revision, oldest_program=str(row.get("oldest_program") or revision))


def check_current(
    catalog: Catalog, *, wait_seconds: float = 0.0, pause: Callable[[float], object] = time.sleep
) -> None:
    """Raise SchemaNotCurrent unless this program may use the schema.

    Waits up to `wait_seconds` while another process creates or upgrades the tables, one revision after the other; in
    between it sleeps with `pause`, which returns True to end the wait.
    """
    until = time.monotonic() + wait_seconds
    while not (there := found(catalog)).is_current and time.monotonic() < until and _is_locked(catalog):
        if pause(_PAUSE_SECONDS):
            break
    if not there.is_current:
        # The other process may have finished between the two queries.
        there = found(catalog)
    if there.is_current:
        return
    if there.revision == ABSENT:
        raise _no_tables(catalog)
    if there.is_foreign:
        what = f"has tables of another program (alembic_version {there.revision})"
        hint = "name a database or a search_path of its own in [catalog] url"
        raise SchemaNotCurrent(f"catalog {catalog.place} {what}", hint=hint)
    hint = "a newer imgctl made it; upgrade this one" if there.is_newer else "imgctl init"
    what = f"has schema {there.revision}, this imgctl requires {HEAD}"
    raise SchemaNotCurrent(f"catalog {catalog.place} {what}", hint=hint)


def _is_locked(catalog: Catalog) -> bool:
    """Whether another process changes the schema; never on SQLite, where a whole upgrade is one transaction."""
    if catalog.dialect == SQLITE:
        return False
    with catalog.read() as connection:
        return not connection.execute(select(func.pg_try_advisory_xact_lock(_LOCK))).scalar_one()


def _no_tables(catalog: Catalog) -> SchemaNotCurrent:
    where, hint = "", NO_CATALOG_HINT
    try:
        with catalog.read() as connection:
            if catalog.dialect == POSTGRES:
                path, usable = connection.execute(text("SELECT current_setting('search_path'), current_schema()")).one()
                where, hint = f" in its search_path {path}", hint if usable else NO_SCHEMA_HINT
    except SchemaNotCurrent as error:
        # The file does not exist.
        return error
    return SchemaNotCurrent(f"catalog {catalog.place} has no tables{where}", hint=hint)


def upgrade(catalog: Catalog, *, to: str = "head") -> list[str]:
    """Upgrade the tables to the newest (or the given) revision, one at a time; returns the applied ones, oldest first.

    The only function that creates a catalog: everything else opens an existing one. After a kill the next call
    continues. Of two concurrent upgrades the second waits, and then has nothing to do.
    A newer schema that supports this program is left unchanged; SchemaNotCurrent for one that does not, and for tables of
    another program.
    """
    from alembic import command

    there = found(catalog)
    if there.is_newer or there.is_foreign:
        check_current(catalog)
    if there.is_newer or there.revision == HEAD:
        # No lock and no second connection, which a read-only user or a connection limit may not allow.
        return []
    if there.revision == ABSENT:
        catalog.make_file()
    applied: list[str] = []

    def on_version_apply(step: object) -> None:
        applied.append(str(getattr(step, "up_revision_id", "")))

    config = _config()
    with alone(catalog) as connection:
        config.attributes.update(connection=connection, on_version_apply=on_version_apply)
        command.upgrade(config, to)
    return applied


def missing(catalog: Catalog) -> list[tuple[str, str]]:
    """Return the revisions that an upgrade would apply, oldest first, each with its description."""
    there = found(catalog)
    return (
        []
        if there.is_newer or there.is_foreign
        else [(number, what) for number, what in _revisions() if number > there.revision]
    )


def ddl(url_or_dialect: str, *, since: str = "", to: str = HEAD) -> str:
    """Return all migrations (or those between two revisions) as SQL, for a database URL or for `postgresql` or `sqlite`.

    ConfigError for an unknown revision. For Postgres it begins with a comment on how to run it.
    """
    from alembic import command

    dialect = url_or_dialect if url_or_dialect in {POSTGRES, SQLITE} else dialect_of(url_or_dialect)
    known = [number for number, _ in _revisions()]
    if since and since not in known:
        raise ConfigError(
            f"unknown revision: {since!r}", hint=f"one of {', '.join(known)}; imgctl init --check shows the current one"
        )
    written = StringIO()
    config = _config(written)
    config.attributes["dialect"] = dialect
    command.upgrade(config, f"{since}:{to}" if since else to, sql=True)
    return (_HOW_TO_RUN if dialect == POSTGRES else "") + written.getvalue()


def _revisions() -> list[tuple[str, str]]:
    """All revisions with their descriptions, oldest first."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(_config()).walk_revisions()
    return [(script.revision, str(script.doc).rstrip(".")) for script in scripts][::-1]


@contextmanager
def alone(catalog: Catalog) -> Iterator[Connection]:
    """Yield a connection that may change the schema, while no other process changes it; CatalogError or a subclass."""
    while True:
        with catalog.write() as guard:
            if catalog.dialect == SQLITE:
                yield guard
                return
            # A transaction-level lock also ends with its transaction behind a pooler; migrations commit on another
            # connection. Polled, because a blocking wait would keep a session that the other upgrade may need.
            if guard.execute(select(func.pg_try_advisory_xact_lock(_LOCK))).scalar_one():
                # Building an index on 10^8 rows may take longer than the limits that the administrator set.
                guard.execute(text(_NO_LIMITS))
                with catalog.engine.connect() as connection:
                    yield connection
                return
        time.sleep(_PAUSE_SECONDS)


def _config(output: StringIO | None = None) -> "Config":
    from alembic.config import Config

    config = Config(output_buffer=output) if output is not None else Config()
    config.set_main_option("script_location", "imgctl.store.catalog:migrations")
    config.set_main_option("path_separator", "os")
    return config
