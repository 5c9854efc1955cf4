"""Values and rows as the texts a database is given: a batch of rows travels as one JSON text."""

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from imgctl.store.catalog.names import POSTGRES

Value = str | int | float | bytes | datetime | UUID | None

_HEX_PREFIX = "\\x"


def encoded(dialect: str, names: Collection[str], rows: Iterable[Sequence[Value]]) -> str:
    """The rows as JSON, a list of objects; each row has its values in the order of the names."""
    written = [{name: _written(value, dialect) for name, value in zip(names, row, strict=True)} for row in rows]
    return json.dumps(written, separators=(",", ":"))


def time_text(moment: datetime) -> str:
    """An aware time as SQLite keeps it: UTC, 26 characters, sorting by time; ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone; the catalog keeps aware times only")
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def from_hex(text: str | None) -> bytes | None:
    """What `imgctl_from_hex` does in SQLite, which has no unhex() before 3.41."""
    return None if text is None else bytes.fromhex(text.removeprefix(_HEX_PREFIX))


def _written(value: Value, dialect: str) -> str | int | float | None:
    match value:
        case UUID():
            return str(value)
        case bytes():
            return _HEX_PREFIX + value.hex()
        case datetime():
            return value.astimezone(UTC).isoformat() if dialect == POSTGRES else time_text(value)
        case str():
            # No database keeps a NUL or half a surrogate pair; an odd message must not cost the whole batch.
            return value.replace("\0", "\ufffd").encode(errors="replace").decode()
        case bool():
            return int(value)
        case _:
            return value
