"""Opens the catalog: transactions, and translation of database errors into CatalogError and its subclasses."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from sqlite3 import OperationalError as SqliteError
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from imgctl.errors import (
    NO_FILES_LEFT_HINT,
    CatalogError,
    CatalogUnavailable,
    ConfigError,
    SchemaNotCurrent,
    out_of_files,
)
from imgctl.store.catalog.batch import differing_bits, from_hex
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
_AGAIN = "run the same command later: it continues where this one stopped"
NO_CATALOG_HINT = "imgctl init, or correct [catalog] url"
NO_SCHEMA_HINT = "no schema of this user's search_path exists and may be used: GRANT USAGE, or correct search_path"
DAMAGED_HINT = "restore it from a backup, or save its rows with sqlite3 FILE .recover"
# Not opened with immutable=1: SQLite would ignore the rows in the WAL, and read wrong ones while another process writes.
READ_ONLY_HINT = (
    "give this user write permission on the file and its directory, which SQLite needs even to read; or copy the file with "
    "its -wal to another directory"
)


def _repeated(setting: str) -> str:
    """The hint for a limit that the administrator set: a single slow moment, or a limit too low for this command."""
    return f"{_AGAIN}; if this repeats, raise {setting} for this user"


# SQLSTATE, or its class (PostgreSQL 18, Appendix A). Failures to connect carry no code, only a text.
_STATES: dict[str, tuple[type[CatalogError], str]] = {
    "42P01": (SchemaNotCurrent, NO_CATALOG_HINT),
    "42703": (SchemaNotCurrent, "imgctl init"),
    "42501": (CatalogError, "GRANT this user its rights on the tables, or use another one"),
    "3F000": (CatalogError, NO_SCHEMA_HINT),
    "28": (CatalogError, "check user and password in catalog.url, or PGPASSFILE"),
    "3D000": (CatalogError, "createdb, or correct the name in catalog.url"),
    "25P03": (CatalogUnavailable, _repeated("idle_in_transaction_session_timeout")),
    "25P04": (CatalogUnavailable, _repeated("transaction_timeout")),
    "57014": (CatalogUnavailable, _repeated("statement_timeout")),
    "25006": (
        CatalogError,
        "a replica, or default_transaction_read_only is on: use the primary, and a user that may write",
    ),
    "53100": (CatalogError, "the disk is full where the database lives; make room"),
    "08": (CatalogUnavailable, _AGAIN),
    "40": (CatalogUnavailable, _AGAIN),
    "53": (CatalogUnavailable, _AGAIN),
    "55P03": (CatalogUnavailable, "another session locks the table; " + _AGAIN),
    "57": (CatalogUnavailable, _AGAIN),
}
# Tried before the codes.
_DEFINITIONS = (
    r"permission denied for schema|must be owner of",
    CatalogError,
    "run imgctl init as the tables' owner with CREATE on the schema, or give a DBA the output of imgctl init --sql",
)
_TEXTS: tuple[tuple[str, type[CatalogError], str], ...] = (
    (r"no such table", SchemaNotCurrent, NO_CATALOG_HINT),
    (r"no such column", SchemaNotCurrent, "imgctl init"),
    (r"database \S+ does not exist", CatalogError, "createdb, or correct the name in catalog.url"),
    (
        r"invalid (connection option|port|\S+ value|\w+ value)|value for \w+:|definition of service|support SSL|certificate",
        CatalogError,
        "correct catalog.url, or the PG… variables and files that complete it",
    ),
    (r"password|authentication|pg_hba|role \S+ does not exist", CatalogError, _STATES["28"][1]),
    (r"permission denied for database", CatalogError, "GRANT CONNECT ON DATABASE to this user, or use another one"),
    (r"permission denied|readonly database", CatalogError, READ_ONLY_HINT),
    (r"not a database", CatalogError, "this file is not a SQLite database; correct catalog.url"),
    (r"malformed", CatalogError, f"the file is damaged: {DAMAGED_HINT}"),
    (r"database or disk is full|No space left", CatalogError, "the disk is full where the database lives; make room"),
    (r"disk I/O error", CatalogError, "check the disk, the quota, and ulimit -f, then run the same command again"),
    (r"is locked|is busy", CatalogUnavailable, "another process keeps the file locked; " + _AGAIN),
    (
        r"too many (clients|connections)|connection slots",
        CatalogUnavailable,
        f"{_AGAIN}; if this repeats, raise the limit or use a pooler",
    ),
)


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
        return _place(self.url)

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
            raise _explained(error, self.url) from error


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
            f"catalog.url: only timeout=SECONDS may follow the ? of {_place(parsed)}",
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
    event.listen(engine, "connect", partial(_check_encoding, _place(url)), insert=True)
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
    event.listen(engine, "do_connect", partial(_existing_file, _place(url)))
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


# Parameters of a Postgres URL that hold passwords (libpq, 34.1.2).
_SECRETS = ("password", "sslpassword")
_LONG_SECRET = 8


def _place(url: URL) -> str:
    """The URL for display: without the password, and with only `host` of its query, which may also contain one."""
    shown = {name: value for name, value in url.query.items() if name == "host"}
    # A file's name may be invalid UTF-8, which cannot be quoted.
    database = url.database and url.database.encode(errors="backslashreplace").decode()
    bare = URL.create(url.drivername, url.username, None, url.host, url.port, database, shown)
    return bare.render_as_string(hide_password=True)


def _explained(error: SQLAlchemyError, url: URL) -> CatalogError:
    """Return the matching CatalogError; its one-line message names the database, never the password."""
    reason = _reason(error, url)
    kind, hint = _meaning(error, reason)
    if "unable to open database file" in reason:
        hint = _obstacle(Path(url.database or ""))
    if "readonly database" in reason and (one := unwritable(Path(url.database or ""))):
        hint = f"{one} cannot be written: {READ_ONLY_HINT}"
    return kind(f"catalog {_place(url)}: {reason}", hint=hint)


def _reason(error: SQLAlchemyError, url: URL) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return without_passwords(lines[0] if lines else type(cause).__name__, url)


def without_passwords(text: str, url: URL) -> str:
    """Return a message with the URL's passwords masked: where one is expected, and a long one anywhere.

    A short one is part of other words, and so is one that is also the name of the user, the host or the database.
    """
    given = [url.password or "", *(one for name in _SECRETS for one in url.normalized_query.get(name, ()))]
    names = [one for one in (url.username, url.host, url.database, "password") if one]
    for secret in filter(None, given):
        forms = "|".join(re.escape(one) for one in (secret, quote(secret, safe=""), quote_plus(secret)))
        text = re.sub(rf"(?<=:)(?:{forms})(?=@)|(?<=password=)(?:{forms})|(?<=password=['\"])(?:{forms})", "***", text)
        if len(secret) >= _LONG_SECRET and not any(secret in one for one in names):
            text = re.sub(rf"\b(?:{forms})\b" if secret.isalpha() else forms, "***", text)
    return text


def _meaning(error: SQLAlchemyError, reason: str) -> tuple[type[CatalogError], str]:
    state = getattr(getattr(error, "orig", None), "sqlstate", None) or ""
    # Not the text of SQLAlchemy's error, which contains the statement and its values: any word may be in a caption.
    text = str(error.orig if isinstance(error, DBAPIError) else error)
    pattern, kind, hint = _DEFINITIONS
    if re.search(pattern, text):
        return kind, hint
    known = _STATES.get(state) or _STATES.get(state[:2])
    if known is not None:
        return known
    for pattern, kind, hint in _TEXTS:
        if re.search(pattern, text, re.IGNORECASE):
            return kind, hint
    if isinstance(error, PoolTimeout) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return CatalogUnavailable, _AGAIN
    if not state and re.search(r"connect|server closed|timeout|resolve|terminat", reason, re.IGNORECASE):
        return CatalogUnavailable, "is the database running, and is catalog.url right? " + _AGAIN
    return CatalogError, ""


def unwritable(file: Path) -> Path | None:
    """Return what this user may not write of a SQLite file, its directory, and the files that SQLite keeps beside it."""
    beside = [one for suffix in ("-wal", "-shm") if (one := file.with_name(f"{file.name}{suffix}")).exists()]
    return next((one for one in (file.parent, file, *beside) if not os.access(one, os.W_OK)), None)


def _is_missing(file: Path) -> bool:
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _obstacle(file: Path) -> str:
    """Return why SQLite cannot open a file, as a next step."""
    if os.path.isdir(file):  # noqa: PTH112 - Path.is_dir raises for a name that is too long
        return "this is a directory: name a file in it"
    for one in (str(file), f"{file}-wal", f"{file}-shm"):
        if os.path.exists(one) and not os.access(one, os.R_OK):  # noqa: PTH110
            return f"this user may not read {one}: check its owner and mode"
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        if out_of_files(error):
            return NO_FILES_LEFT_HINT
    return f"check that this user may write to {file.parent}"
