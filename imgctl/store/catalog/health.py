"""Checks of a database for `doctor`: whether it accepts writes, a user's rights, and whether a SQLite file is damaged."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, cast

from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from imgctl.errors import CatalogError
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.explain import DAMAGED_HINT, READ_ONLY_HINT, unwritable
from imgctl.store.catalog.schema import POSTGRES, SQLITE

if TYPE_CHECKING:
    from sqlite3 import Connection

_PAUSE_SECONDS = 0.01
_MODE = text("SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'")
_WRITTEN, _RARELY_WRITTEN = ("images", "operations", "fingerprints"), ("erased", "holds")
# What the commands need, as docs/operations/permissions.md grants it to roles: right and table.
READS = frozenset(product(["SELECT"], (*_WRITTEN, *_RARELY_WRITTEN, "alembic_version")))
WRITES = frozenset(product(["INSERT", "UPDATE"], _WRITTEN))
DELETES = frozenset({("DELETE", "images"), *product(["INSERT", "UPDATE"], _RARELY_WRITTEN)})
# A table that this user cannot see, or that does not exist, has no rights to name.
_MISSING = text("""
SELECT privilege, name FROM unnest(CAST(:privileges AS text[]), CAST(:names AS text[])) AS wanted (privilege, name)
WHERE NOT has_table_privilege(to_regclass(name)::oid, privilege)
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """The rights that a database user lacks, each a privilege and a table."""

    user: str
    rights: frozenset[tuple[str, str]]

    @property
    def quoted_user(self) -> str:
        """The user as SQL writes it."""
        return '"' + self.user.replace('"', '""') + '"'

    def among(self, needed: frozenset[tuple[str, str]]) -> list[str]:
        """Return those of the needed rights as `GRANT` names them: `INSERT, UPDATE ON erased, holds`."""
        by_table: dict[str, list[str]] = {}
        for privilege, table in sorted(self.rights & needed):
            by_table.setdefault(table, []).append(privilege)
        by_privileges: dict[str, list[str]] = {}
        for table, privileges in by_table.items():
            by_privileges.setdefault(", ".join(privileges), []).append(table)
        return [f"{privileges} ON {', '.join(tables)}" for privileges, tables in by_privileges.items()]


def missing_rights(catalog: Catalog) -> Missing:
    """Return what the user lacks; nothing for SQLite, whose rights are those of the file."""
    if catalog.dialect != POSTGRES:
        return Missing(user="", rights=frozenset())
    privileges, names = zip(*sorted(READS | WRITES | DELETES), strict=True)
    with catalog.read() as connection:
        user = str(connection.execute(text("SELECT current_user")).scalar_one())
        found = connection.execute(_MISSING, {"privileges": list(privileges), "names": list(names)})
        return Missing(user=user, rights=frozenset((str(right), str(table)) for right, table in found))


def check_writable(catalog: Catalog) -> None:
    """Raise CatalogError or a subclass if the database accepts no writes; nothing is written."""
    if catalog.dialect == SQLITE:
        if one := unwritable(Path(catalog.url.database or "")):
            raise CatalogError(f"catalog {catalog.place}: {one} cannot be written", hint=READ_ONLY_HINT)
        # Takes the lock of writers, which a read-only file or file system refuses.
        with catalog.write():
            return
    with catalog.read() as connection:
        is_standby, is_read_only = connection.execute(_MODE).one()
    if is_standby:
        hint = "name the primary in [catalog] url; for several hosts add target_session_attrs=read-write"
        raise CatalogError(f"catalog {catalog.place} is a standby, which accepts no writes", hint=hint)
    if is_read_only:
        hint = "set it to off for this user and this database (ALTER ROLE, ALTER DATABASE), or use another user"
        raise CatalogError(f"catalog {catalog.place} is read-only: default_transaction_read_only is on", hint=hint)


def check_damage(catalog: Catalog, *, seconds: float) -> bool:
    """Check the pages of a SQLite file; CatalogError if one is damaged. Returns whether all were checked in time."""
    with catalog.read() as connection:
        database = cast("Connection", connection.connection.driver_connection)
        done = Event()
        timer = Thread(target=_interrupt, args=(database, seconds, done))
        timer.start()
        try:
            found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
        except OperationalError as error:
            if "interrupted" not in str(error.orig):
                raise
            return False
        finally:
            done.set()
            timer.join()
    if found != "ok":
        raise CatalogError(f"catalog {catalog.place} is damaged: {found}", hint=DAMAGED_HINT)
    return True


def _interrupt(database: "Connection", seconds: float, done: Event) -> None:
    """Interrupt the running statement after some time; repeated, in case it has not begun yet."""
    done.wait(seconds)
    while not done.wait(_PAUSE_SECONDS):
        database.interrupt()
