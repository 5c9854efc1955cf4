"""Whether a pooler (PgBouncer and its like) stands between us and Postgres."""

from typing import TYPE_CHECKING, cast

from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.names import POSTGRES

if TYPE_CHECKING:
    from psycopg import Connection


def is_pooled(connection: "Connection") -> bool:
    """Whether whoever answered the connection is not the process that executes its statements; ends its transaction.

    Postgres names its process id when a session begins (BackendKeyData); a pooler that hands a session to many
    clients names one that it made up.
    """
    found = connection.execute("SELECT pg_backend_pid()").fetchone()
    connection.rollback()
    return found is not None and found[0] != connection.pgconn.backend_pid


def has_pooler(catalog: Catalog) -> bool:
    """Whether this catalog is reached through a pooler; CatalogError or one of its kinds where it does not answer."""
    if catalog.dialect != POSTGRES:
        return False
    with catalog.read() as connection:
        return is_pooled(cast("Connection", connection.connection.driver_connection))
