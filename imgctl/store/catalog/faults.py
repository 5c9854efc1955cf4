"""What a database's refusal means: nobody there, not allowed, no space, no tables."""

import re

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from imgctl.errors import CatalogError, CatalogUnavailable, SchemaNotCurrent

_AGAIN = "the same command later goes on where this one stopped"

# SQLSTATE, or its class (PostgreSQL 18, Appendix A). Failures to connect carry no code, only a text.
_STATES: dict[str, tuple[type[CatalogError], str]] = {
    "42P01": (SchemaNotCurrent, "imgctl init"),
    "42703": (SchemaNotCurrent, "imgctl init"),
    "42501": (CatalogError, "GRANT this user its rights on the tables, or use another one"),
    "28": (CatalogError, "check user and password in catalog.url, or PGPASSFILE"),
    "3D000": (CatalogError, "createdb, or correct the name in catalog.url"),
    "25P03": (CatalogUnavailable, _AGAIN),
    "25006": (CatalogError, "this server is a read-only replica; use the primary"),
    "53100": (CatalogError, "the disk is full where the database lives; make room"),
    "08": (CatalogUnavailable, _AGAIN),
    "40": (CatalogUnavailable, _AGAIN),
    "53": (CatalogUnavailable, _AGAIN),
    "55P03": (CatalogUnavailable, _AGAIN),
    "57": (CatalogUnavailable, _AGAIN),
}
_TEXTS: tuple[tuple[str, type[CatalogError], str], ...] = (
    (r"no such (table|column)", SchemaNotCurrent, "imgctl init"),
    (r"database \S+ does not exist", CatalogError, "createdb, or correct the name in catalog.url"),
    (r"password|authentication|pg_hba|role \S+ does not exist", CatalogError, _STATES["28"][1]),
    (r"permission denied|readonly database", CatalogError, "this user may not write there; check the rights"),
    (r"unable to open database file", CatalogError, "check that the directory exists and may be written"),
    (r"not a database|malformed", CatalogError, "this file is no SQLite database, or it is damaged"),
    (r"database or disk is full|No space left", CatalogError, "the disk is full where the database lives; make room"),
    (r"is locked|is busy", CatalogUnavailable, "another process holds the file for long; " + _AGAIN),
    (r"too many (clients|connections)|connection slots", CatalogUnavailable, _AGAIN),
)


def place(url: URL) -> str:
    """The URL as it may be shown: without its password, and of its query, which may hold one, only the host."""
    shown = {name: value for name, value in url.query.items() if name == "host"}
    bare = URL.create(url.drivername, url.username, None, url.host, url.port, url.database, shown)
    return bare.render_as_string(hide_password=True)


def explained(error: SQLAlchemyError, url: URL) -> CatalogError:
    """The CatalogError that fits, in one line that names the database and never the password."""
    reason = _reason(error, url)
    kind, hint = _meaning(error, reason)
    return kind(f"catalog {place(url)}: {reason}", hint=hint)


def _reason(error: SQLAlchemyError, url: URL) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    text = lines[0] if lines else type(cause).__name__
    return text.replace(url.password, "***") if url.password else text


def _meaning(error: SQLAlchemyError, reason: str) -> tuple[type[CatalogError], str]:
    state = getattr(getattr(error, "orig", None), "sqlstate", None) or ""
    known = _STATES.get(state) or _STATES.get(state[:2])
    if known is not None:
        return known
    for pattern, kind, hint in _TEXTS:
        if re.search(pattern, str(error), re.IGNORECASE):
            return kind, hint
    if isinstance(error, PoolTimeout) or (isinstance(error, DBAPIError) and error.connection_invalidated):
        return CatalogUnavailable, _AGAIN
    if not state and re.search(r"connect|server closed|timeout|resolve|terminat", reason, re.IGNORECASE):
        return CatalogUnavailable, "is the database running, and is catalog.url right? " + _AGAIN
    return CatalogError, ""
