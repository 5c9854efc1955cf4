"""Which schema a database has and which is wanted; creating and upgrading it, or writing out the DDL."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, select, text

from imgctl.errors import SchemaNotCurrent
from imgctl.store.catalog.engine import Catalog, dialect_of
from imgctl.store.catalog.schema import POSTGRES, SQLITE

if TYPE_CHECKING:
    # Every command asks which schema is there; only an upgrade may cost this import.
    from alembic.config import Config

HEAD = "0005"
"""The newest migration."""
ABSENT = "absent"
CURRENT = "current"

# Any number will do that no other program locks: "imgctl" in ASCII.
_LOCK = int.from_bytes(b"imgctl")
_PAUSE_SECONDS = 0.2


def state(catalog: Catalog) -> str:
    """`current`, `absent` when no migration ever ran there, or the revision that is there instead."""
    try:
        with catalog.read() as connection:
            revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    except SchemaNotCurrent:
        return ABSENT
    if revision is None:
        return ABSENT
    return CURRENT if revision == HEAD else str(revision)


def check_current(catalog: Catalog) -> None:
    """Return when the schema is the one this program was written for, or raise SchemaNotCurrent."""
    found = state(catalog)
    if found == CURRENT:
        return
    there = "has no tables yet" if found == ABSENT else f"has schema {found}"
    hint = "imgctl init" if found == ABSENT or found < HEAD else "a newer imgctl made it; upgrade this one"
    raise SchemaNotCurrent(f"catalog {catalog.place} {there}, this imgctl wants {HEAD}", hint=hint)


def upgrade(catalog: Catalog, *, to: str = "head") -> list[str]:
    """Bring the tables up to date (or to a revision), a revision at a time; returns the revisions applied, oldest first.

    After a kill the next call continues. Of two at once the second waits for the first and then finds nothing to do.
    SchemaNotCurrent when a newer imgctl made what is there.
    """
    from alembic import command
    from alembic.script import ScriptDirectory

    config = _config()
    revisions = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if state(catalog) not in {ABSENT, CURRENT, *revisions}:
        check_current(catalog)
    applied: list[str] = []

    def on_version_apply(*, step: object, **_: object) -> None:
        applied.append(str(getattr(step, "up_revision_id", "")))

    with _alone(catalog) as connection:
        config.attributes.update(connection=connection, on_version_apply=on_version_apply)
        command.upgrade(config, to)
    return applied


def ddl(url_or_dialect: str) -> str:
    """Every migration as SQL, for a database URL or for `postgresql` or `sqlite`."""
    from alembic import command

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


def _config(output: StringIO | None = None) -> "Config":
    from alembic.config import Config

    config = Config(output_buffer=output) if output is not None else Config()
    config.set_main_option("script_location", "imgctl.store.catalog:migrations")
    config.set_main_option("path_separator", "os")
    return config
