"""Opens the catalog, and runs transactions on it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from sqlite3 import OperationalError as SqliteError
from typing import TYPE_CHECKING

from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from imgctl.errors import CatalogError, ConfigError, SchemaNotCurrent
from imgctl.store.catalog.batch import differing_bits, from_hex, lower
from imgctl.store.catalog.explain import NO_CATALOG_HINT, explained, place
from imgctl.store.catalog.schema import POSTGRES, SQLITE

if TYPE_CHECKING:
    from psycopg import Connection as PostgresConnection

_POSTGRES_DRIVER = "postgresql+psycopg"
_URL_HINT = "write sqlite:///PATH or postgresql+psycopg://USER@HOST/DATABASE"
# Defaults for libpq where the URL sets nothing else; seconds.
_CONNECTING = {"connect_timeout": "10", "application_name": "imgctl"}
_BUSY_SECONDS = 30
_POOL_SIZE = 4
# That of the files which SQLite makes itself.
_FILE_MODE = 0o644
_WRITES = "imgctl_writes"


class Catalog:
    """An open catalog; safe to share between threads, not across a fork."""

    def __init__(self, url: URL, engine: Engine) -> None:
        self.url = url
        self.engine = engine
        self._writer = engine.execution_options(**{_WRITES: True})

    @property
    def dialect(self) -> str:
        """`postgresql` or `sqlite`."""
        return self.engine.dialect.name

    @property
    def place(self) -> str:
        """The URL without the password."""
        return place(self.url)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that is rolled back at the end; raises CatalogError or a subclass."""
        with self._explaining(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that commits when the block ends without an error; raises CatalogError or a subclass."""
        with self._explaining(), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def make_file(self) -> None:
        """Make the file of a SQLite catalog and its directory, where they are missing; does nothing on Postgres."""
        if self.dialect != SQLITE:
            return
        file = Path(self.url.database or "")
        making = file.parent
        try:
            making.mkdir(parents=True, exist_ok=True)
            making = file
            file.touch(mode=_FILE_MODE)
        except OSError as error:
            raise CatalogError(f"catalog {self.place}: cannot make {making}: {error.strerror}") from error

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise explained(error, self.url) from error


def open_catalog(url: str, *, connections: int = _POOL_SIZE) -> Catalog:
    """Return the catalog at a URL, not yet connected; ConfigError for an invalid URL.

    `connections` are kept for reuse; twice as many may be open for a moment.
    """
    parsed = _parsed(url)
    if parsed.get_backend_name() == SQLITE:
        return Catalog(parsed, _sqlite(parsed, connections))
    return Catalog(parsed, _postgres(parsed, connections))


def dialect_of(url: str) -> str:
    """`postgresql` or `sqlite`; ConfigError for any other URL."""
    return _parsed(url).get_backend_name()


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # The URL is not shown: it may contain a password.
        raise ConfigError("catalog.url is not a database URL", hint=_URL_HINT) from None
    if "@" in (parsed.host or ""):
        # The parsed host would start with the end of the password, and all messages contain the host.
        raise ConfigError("catalog.url has an @ in its user or password", hint="write %40 for it, or use PGPASSFILE")
    if parsed.drivername in {"postgres", POSTGRES, _POSTGRES_DRIVER}:
        return parsed.set(drivername=_POSTGRES_DRIVER)
    if parsed.drivername != SQLITE:
        raise ConfigError(f"catalog.url: unknown database {parsed.drivername!r}", hint=_URL_HINT)
    if parsed.database in {None, "", ":memory:"} or parsed.host:
        raise ConfigError(
            "catalog.url names no file", hint="three slashes and a path: sqlite:///imgctl-data/catalog.db"
        )
    _check_parameters(parsed, url)
    return parsed


def _check_parameters(parsed: URL, url: str) -> None:
    """Raise ConfigError for parameters that SQLite would ignore or not understand: a path may contain a question mark."""
    seconds = parsed.query.get("timeout", "0")
    if set(parsed.query) - {"timeout"} or ("?" in url and not parsed.query):
        raise ConfigError(
            f"catalog.url: only timeout=SECONDS may follow the ? of {place(parsed)}",
            hint="write %3F for a ? in the path",
        )
    if not (isinstance(seconds, str) and re.fullmatch(r"\d+(\.\d+)?", seconds)):
        raise ConfigError(f"catalog.url: invalid timeout: {seconds!r}", hint="a number of seconds")


def _postgres(url: URL, connections: int) -> Engine:
    # No prepared statements: with a pooler in transaction mode each transaction may run in another session.
    arguments: dict[str, str | None] = {"prepare_threshold": None, "client_encoding": "utf8"}
    arguments |= {name: value for name, value in _CONNECTING.items() if name not in url.query}
    engine = create_engine(url, connect_args=arguments, pool_size=connections, max_overflow=connections)
    # Before SQLAlchemy's own queries: it cannot read the results of a database without an encoding.
    event.listen(engine, "connect", partial(_check_encoding, place(url)), insert=True)
    return engine


def _check_encoding(where: str, connection: "PostgresConnection", _entry: ConnectionPoolEntry) -> None:
    """Raise CatalogError if the database's encoding is not UTF-8: one caption could abort a whole run."""
    encoding = (connection.pgconn.parameter_status(b"server_encoding") or b"UTF8").decode()
    if encoding == "UTF8":
        return
    connection.close()
    raise CatalogError(
        f"catalog {where}: the database's encoding is {encoding}, which cannot keep every caption",
        hint="CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0; name that one in catalog.url, then imgctl init",
    )


def _sqlite(url: URL, connections: int) -> Engine:
    # isolation_level=None: sqlite3 would begin transactions itself, and too late.
    arguments: dict[str, float | None] = {"isolation_level": None}
    if "timeout" not in url.query:
        arguments["timeout"] = _BUSY_SECONDS
    engine = create_engine(url, connect_args=arguments, pool_size=connections, max_overflow=connections)
    event.listen(engine, "do_connect", partial(_existing_file, place(url)))
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _existing_file(
    where: str, _dialect: Dialect, _entry: ConnectionPoolEntry, arguments: list[str], options: dict[str, object]
) -> None:
    """Open a file only if it exists, else raise SchemaNotCurrent: by default SQLite makes an empty one at a mistyped path."""
    file = Path(arguments[0])
    if _is_missing(file):
        raise SchemaNotCurrent(f"catalog {where} does not exist", hint=NO_CATALOG_HINT)
    arguments[0] = f"{file.as_uri()}?mode=rw"
    options["uri"] = True


def _prepare_sqlite(connection: SqliteConnection, _entry: ConnectionPoolEntry) -> None:
    connection.create_function("imgctl_from_hex", 1, from_hex, deterministic=True)
    connection.create_function("imgctl_differing_bits", 2, differing_bits, deterministic=True)
    connection.create_function("imgctl_lower", 1, lower, deterministic=True)
    # FULL: `processing` guarantees that the bytes are safe, and must survive a power cut.
    connection.execute("PRAGMA synchronous = FULL")
    if connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
        return
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except SqliteError as error:
        # The mode is stored in the file: if another process locks it, that process or the next connection sets it.
        if "locked" not in str(error) and "readonly" not in str(error):
            raise


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later cannot wait for another writer: it fails at once.
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _is_missing(file: Path) -> bool:
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
