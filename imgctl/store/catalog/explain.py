"""Errors of the database as CatalogError and its subclasses: their kind and the next step, never a password."""

import os
import re
from pathlib import Path
from urllib.parse import quote, quote_plus

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from imgctl.errors import NO_FILES_LEFT_HINT, CatalogError, CatalogUnavailable, SchemaNotCurrent, out_of_files

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

# Parameters of a Postgres URL that hold passwords (libpq, 34.1.2).
_SECRETS = ("password", "sslpassword")
_LONG_SECRET = 8


def place(url: URL) -> str:
    """The URL for display: without the password, and with only `host` of its query, which may also contain one."""
    shown = {name: value for name, value in url.query.items() if name == "host"}
    # A file's name may be invalid UTF-8, which cannot be quoted.
    database = url.database and url.database.encode(errors="backslashreplace").decode()
    bare = URL.create(url.drivername, url.username, None, url.host, url.port, database, shown)
    return bare.render_as_string(hide_password=True)


def explained(error: SQLAlchemyError, url: URL) -> CatalogError:
    """Return the matching CatalogError; its one-line message names the database, never the password."""
    reason = _reason(error, url)
    kind, hint = _meaning(error, reason)
    if "unable to open database file" in reason:
        hint = _obstacle(Path(url.database or ""))
    if "readonly database" in reason and (one := unwritable(Path(url.database or ""))):
        hint = f"{one} cannot be written: {READ_ONLY_HINT}"
    return kind(f"catalog {place(url)}: {reason}", hint=hint)


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
