"""Waits for work: by Postgres notifications (LISTEN), or by polling on SQLite and behind a pooler."""

import logging
import select
from typing import TYPE_CHECKING, Protocol, cast

from sqlalchemy.exc import SQLAlchemyError

from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.queries.reservations import WORK_CHANNEL
from imgctl.store.catalog.schema import POSTGRES

if TYPE_CHECKING:
    from psycopg import Connection

SHORTEST_SECONDS = 0.1
RECONNECT_SECONDS = 10.0

log = logging.getLogger(__name__)


class Stopping(Protocol):
    """An event that ends a wait early: its file descriptor turns readable."""

    def fileno(self) -> int:
        """The file descriptor to poll."""


class Poll:
    """Sleeps of growing length, for a database without notifications."""

    def __init__(self) -> None:
        self._seconds = SHORTEST_SECONDS

    def wait(self, seconds: float, stop: Stopping) -> None:
        """Sleep twice as long as the last time, from 0.1 s up to `seconds`, or until `stop`."""
        _ready(min(self._seconds, seconds), stop)
        self._seconds = min(2 * self._seconds, seconds)

    def busy(self) -> None:
        """Reset to short sleeps, because there was work."""
        self._seconds = SHORTEST_SECONDS

    def close(self) -> None:
        """Do nothing: there is no connection."""


class Listen:
    """Listens on a dedicated connection; polls while there is none, and behind a pooler, which does not keep LISTEN."""

    def __init__(self, catalog: Catalog, channel: str = WORK_CHANNEL) -> None:
        self._catalog = catalog
        self._channel = channel
        self._connection: Connection | None = None
        self._listens = False
        self._pooled = False
        self._is_polling = False
        self._poll = Poll()

    def wait(self, seconds: float, stop: Stopping) -> None:
        """Wait for a notification; the first wait of an idle period starts to listen and returns at once.

        The caller then reads rows committed before; later rows are notified.
        """
        from psycopg import Error

        if self._pooled:
            self._poll.wait(seconds, stop)
            return
        try:
            if not self._listens:
                self._listen()
                return
            self._receive(seconds, stop)
        except (SQLAlchemyError, Error) as error:
            if not self._is_polling:
                log.warning("cannot listen for new work, polling: %s", str(error).strip().partition("\n")[0])
            self._is_polling = True
            self.close()
            self._poll.wait(min(seconds, RECONNECT_SECONDS), stop)

    def busy(self) -> None:
        """Stop listening while there is work, so that unread notifications don't accumulate on the server."""
        from psycopg import Error

        self._poll.busy()
        if self._connection is None or not self._listens:
            return
        self._listens = False
        try:
            self._connection.execute("UNLISTEN *")
        except Error:
            self.close()

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection, self._listens = self._connection, None, False
        if connection is not None:
            connection.close()

    def _listen(self) -> None:
        if self._connection is None:
            self._connection = _dedicated(self._catalog)
            if is_pooled(self._connection):
                log.info("the database is behind a pooler: polling for new work")
                self._pooled = True
                self.close()
                return
        self._connection.execute(f"LISTEN {self._channel}")
        self._listens = True
        if self._is_polling:
            self._is_polling = False
            log.warning("listening for new work again")

    def _receive(self, seconds: float, stop: Stopping) -> None:
        assert self._connection is not None
        wire = self._connection.pgconn
        if _ready(seconds, stop, wire.socket):
            wire.consume_input()
            while wire.notifies():
                pass


Wait = Poll | Listen


def open_wait(catalog: Catalog, channel: str = WORK_CHANNEL) -> Wait:
    """Return a waiter for rows of this catalog: new work, or with ENDED_CHANNEL finished images."""
    return Listen(catalog, channel) if catalog.dialect == POSTGRES else Poll()


def is_pooled(connection: "Connection") -> bool:
    """Whether a pooler (such as PgBouncer) is between this connection and Postgres; ends the transaction.

    Postgres sends its process id when a session begins (BackendKeyData); a pooler that shares sessions sends another.
    """
    found = connection.execute("SELECT pg_backend_pid()").fetchone()
    connection.rollback()
    return found is not None and found[0] != connection.pgconn.backend_pid


def has_pooler(catalog: Catalog) -> bool:
    """Whether this catalog is behind a pooler; CatalogError or a subclass if it is unreachable."""
    if catalog.dialect != POSTGRES:
        return False
    with catalog.read() as connection:
        return is_pooled(cast("Connection", connection.connection.driver_connection))


def _dedicated(catalog: Catalog) -> "Connection":
    """Open an autocommit connection with the catalog's settings, outside of its pool."""
    pooled = catalog.engine.raw_connection()
    connection = cast("Connection", pooled.driver_connection)
    pooled.detach()
    connection.rollback()
    connection.autocommit = True
    return connection


def _ready(seconds: float, *files: Stopping | int) -> list[tuple[int, int]]:
    poll = select.poll()
    for file in files:
        poll.register(file, select.POLLIN)
    return poll.poll(max(0.0, seconds) * 1000)
