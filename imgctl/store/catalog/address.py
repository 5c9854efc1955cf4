"""A plain Postgres URL read without SQLAlchemy, exactly as SQLAlchemy reads it; any other is left to it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote_plus, unquote

CONNECTING = {"connect_timeout": "10", "application_name": "imgctl"}
"""What libpq is told where the URL says nothing else; seconds."""

# Nothing here needs quoting but the password, so nothing can be read in two ways.
_PLAIN = re.compile(
    r"postgres(?:ql(?:\+psycopg)?)?://(?:(?P<user>[\w.-]+)(?::(?P<password>[^@:/?#\[\]]+))?@)?"
    r"(?P<host>[\w.-]*)(?::(?P<port>[0-9]{1,5}))?/(?P<database>[\w.-]+)(?:\?(?P<query>[\w./=&%-]+))?",
    re.ASCII,
)
_VALUE = re.compile(r"[\w./-]+", re.ASCII)
_OPTIONS = frozenset(("host", "sslmode", "connect_timeout", "application_name"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a Postgres catalog is: what libpq is told, and the place as it may be shown."""

    arguments: Mapping[str, str]
    place: str


def plain_address(url: str) -> Address | None:
    """The address in a URL that has nothing unusual in it; None for every other, and for other databases."""
    found = _PLAIN.fullmatch(url)
    if found is None:
        return None
    pairs = [pair.partition("=") for pair in (found["query"] or "").split("&") if pair]
    options = {name: unquote(value) for name, _, value in pairs}
    is_plain = options.keys() <= _OPTIONS and all(map(_VALUE.fullmatch, options.values()))
    if len(options) < len(pairs) or not is_plain:
        return None
    login = {name: unquote(found[name]) for name in ("user", "password", "host", "port") if found[name]}
    arguments = CONNECTING | login | {"dbname": found["database"]} | options
    return Address(arguments=arguments, place=_place(found, options))


def _place(found: re.Match[str], options: Mapping[str, str]) -> str:
    user = f"{found['user']}@" if found["user"] else ""
    port = f":{found['port']}" if found["port"] else ""
    query = f"?host={quote_plus(options['host'])}" if "host" in options else ""
    return f"postgresql+psycopg://{user}{found['host']}{port}/{found['database']}{query}"
