"""Checks of a database for `doctor`: whether it accepts writes, and whether a SQLite file is damaged."""

from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, cast

from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from imgctl.errors import CatalogError
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.explain import DAMAGED_HINT, READ_ONLY_HINT, unwritable
from imgctl.store.catalog.schema import SQLITE

if TYPE_CHECKING:
    from sqlite3 import Connection

_PAUSE_SECONDS = 0.01
_MODE = text("SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'")


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
