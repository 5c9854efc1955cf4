"""Which schema a database has and which is wanted; creating and upgrading it, or writing out the DDL.

How a migration is written so that nobody waits for it: `migrations/online.py`.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, select, text

from imgctl.errors import ConfigError, SchemaNotCurrent
from imgctl.store.catalog.engine import Catalog, dialect_of
from imgctl.store.catalog.schema import POSTGRES, SQLITE

if TYPE_CHECKING:
    # Every command asks which schema is there; only an upgrade may cost this import.
    from alembic.config import Config

HEAD = "0007"
"""The newest migration."""
ABSENT = ""
CURRENT = "current"

# Any number will do that no other program locks: "imgctl" in ASCII.
_LOCK = int.from_bytes(b"imgctl")
_PAUSE_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The schema that a database has: its revision, empty where no migration ever ran, and who may use it."""

    revision: str
    oldest_program: str

    @property
    def is_current(self) -> bool:
        """Whether this program may use it: its own revision, or a newer one that still admits this program."""
        return self.revision == HEAD or (self.is_newer and self.oldest_program <= HEAD)

    @property
    def is_newer(self) -> bool:
        """Whether a newer imgctl made it."""
        return self.revision not in {ABSENT, HEAD} and self.revision > HEAD


def found(catalog: Catalog) -> Found:
    """The schema that is there."""
    try:
        with catalog.read() as connection:
            # Not by name: before revision 0004 there was one column.
            row = connection.execute(text("SELECT * FROM alembic_version")).mappings().first()
    except SchemaNotCurrent:
        row = None
    if row is None:
        return Found(revision=ABSENT, oldest_program="")
    revision = str(row["version_num"])
    return Found(revision=revision, oldest_program=str(row.get("oldest_program") or revision))


def state(catalog: Catalog) -> str:
    """`current`, `absent` (empty) when no migration ever ran there, or the revision that is there instead."""
    there = found(catalog)
    return CURRENT if there.is_current else there.revision


def check_current(catalog: Catalog) -> None:
    """Return when this program may use the schema, or raise SchemaNotCurrent."""
    there = found(catalog)
    if there.is_current:
        return
    what = "has no tables yet" if there.revision == ABSENT else f"has schema {there.revision}"
    hint = "a newer imgctl made it; upgrade this one" if there.is_newer else "imgctl init"
    raise SchemaNotCurrent(f"catalog {catalog.place} {what}, this imgctl wants {HEAD}", hint=hint)


def upgrade(catalog: Catalog, *, to: str = "head") -> list[str]:
    """Bring the tables up to date (or to a revision), a revision at a time; returns the revisions applied, oldest first.

    After a kill the next call continues. Of two at once the second waits for the first and then finds nothing to do.
    Nothing is done to a newer schema that admits this program; SchemaNotCurrent for one that does not.
    """
    from alembic import command

    if found(catalog).is_newer:
        check_current(catalog)
        return []
    applied: list[str] = []

    def on_version_apply(step: object) -> None:
        applied.append(str(getattr(step, "up_revision_id", "")))

    config = _config()
    with _alone(catalog) as connection:
        config.attributes.update(connection=connection, on_version_apply=on_version_apply)
        command.upgrade(config, to)
    return applied


def missing(catalog: Catalog) -> list[tuple[str, str]]:
    """The revisions that an upgrade would apply, oldest first, each with what it does."""
    there = found(catalog)
    return [] if there.is_newer else [(number, what) for number, what in _revisions() if number > there.revision]


def ddl(url_or_dialect: str, *, since: str = "", to: str = HEAD) -> str:
    """Every migration (or those between two revisions) as SQL, for a database URL or for `postgresql` or `sqlite`.

    ConfigError for a revision that is unknown.
    """
    from alembic import command

    dialect = url_or_dialect if url_or_dialect in {POSTGRES, SQLITE} else dialect_of(url_or_dialect)
    known = [number for number, _ in _revisions()]
    if since and since not in known:
        raise ConfigError(
            f"unknown revision: {since!r}", hint=f"one of {', '.join(known)}; imgctl init --check says which"
        )
    written = StringIO()
    config = _config(written)
    config.attributes["dialect"] = dialect
    command.upgrade(config, f"{since}:{to}" if since else to, sql=True)
    return written.getvalue()


def _revisions() -> list[tuple[str, str]]:
    """Every revision with what it does, oldest first."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(_config()).walk_revisions()
    return [(script.revision, str(script.doc).rstrip(".")) for script in scripts][::-1]


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
                # An index of 10^8 rows takes longer to build than a server may let a transaction idle.
                guard.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
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
