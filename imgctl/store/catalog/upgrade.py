"""Creating and upgrading the tables, or writing out the DDL for somebody else to run."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, select

from imgctl.store.catalog.engine import Catalog, dialect_of
from imgctl.store.catalog.names import POSTGRES, SQLITE
from imgctl.store.catalog.version import ABSENT, CURRENT, check_current, state

# Any number will do that no other program locks: "imgctl" in ASCII.
_LOCK = int.from_bytes(b"imgctl")
_PAUSE_SECONDS = 0.2


def upgrade(catalog: Catalog, *, to: str = "head") -> list[str]:
    """Bring the tables up to date (or to a revision), a revision at a time; returns the revisions applied, oldest first.

    Killed within, it goes on when called again. Of two at once the second waits for the first and then finds nothing to do. SchemaNotCurrent when a newer imgctl
    made what is there.
    """
    if state(catalog) not in {ABSENT, CURRENT, *_revisions()}:
        check_current(catalog)
    applied: list[str] = []

    def on_version_apply(*, step: object, **_: object) -> None:
        applied.append(str(getattr(step, "up_revision_id", "")))

    with _alone(catalog) as connection:
        config = _config()
        config.attributes.update(connection=connection, on_version_apply=on_version_apply)
        command.upgrade(config, to)
    return applied


def ddl(url_or_dialect: str) -> str:
    """Every migration as SQL, for a database URL or for `postgresql` or `sqlite`."""
    dialect = url_or_dialect if url_or_dialect in {POSTGRES, SQLITE} else dialect_of(url_or_dialect)
    written = StringIO()
    config = _config(written)
    config.attributes["dialect"] = dialect
    command.upgrade(config, "head", sql=True)
    return written.getvalue()


@contextmanager
def _alone(catalog: Catalog) -> Iterator[Connection]:
    """The connection to upgrade on, while no other upgrade runs; CatalogError or one of its kinds."""
    while True:
        with catalog.write() as guard:
            if catalog.dialect == SQLITE:
                yield guard
                return
            # The lock is a transaction's, so that it ends with it also behind a pooler; migrations commit on another
            # connection. Tried and not waited for: who waits would hold a session that the other may need.
            if guard.execute(select(func.pg_try_advisory_xact_lock(_LOCK))).scalar_one():
                with catalog.engine.connect() as connection:
                    yield connection
                return
        time.sleep(_PAUSE_SECONDS)


def _revisions() -> set[str]:
    return {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def head() -> str:
    """The newest revision among the migrations; `version.HEAD` must say the same."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def _config(output: StringIO | None = None) -> Config:
    config = Config(output_buffer=output) if output is not None else Config()
    config.set_main_option("script_location", "imgctl.store.catalog:migrations")
    config.set_main_option("path_separator", "os")
    return config
