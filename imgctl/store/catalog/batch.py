"""A batch of typed rows as one parameter: JSON, which either database reads as a table.

The SQL text is the same whatever the batch holds, so SQLAlchemy compiles and Postgres plans it once.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Protocol
from uuid import UUID

from sqlalchemy import (
    JSON,
    Connection,
    FromClause,
    LargeBinary,
    Text,
    Update,
    bindparam,
    cast,
    column,
    func,
    select,
    type_coerce,
)
from sqlalchemy.types import TypeEngine

from imgctl.store.catalog.names import POSTGRES
from imgctl.store.catalog.types import time_text

Kind = (
    type[TypeEngine[UUID]]
    | type[TypeEngine[datetime]]
    | type[TypeEngine[str]]
    | type[TypeEngine[int]]
    | type[TypeEngine[float]]
    | type[TypeEngine[bytes]]
)
Columns = Mapping[str, Kind]

Value = str | int | float | bytes | datetime | UUID | None

NAME = "batch"
_HEX_PREFIX = "\\x"


def source(dialect: str, columns: Columns) -> FromClause:
    """The batch as a FROM clause with these columns; `parameters` gives its rows."""
    text = bindparam(NAME, type_=Text())
    if dialect == POSTGRES:
        typed = [column(name, kind()) for name, kind in columns.items()]
        recordset = func.json_to_recordset(cast(text, JSON)).table_valued(*typed)
        return recordset.render_derived(name=NAME, with_types=True)
    each = func.json_each(text).table_valued("value", name="each")
    fields = []
    for name, kind in columns.items():
        value = func.json_extract(each.c.value, f"$.{name}")
        readable = func.imgctl_from_hex(value) if issubclass(kind, LargeBinary) else value
        fields.append(type_coerce(readable, kind()).label(name))
    return select(*fields).select_from(each).subquery(NAME)


def parameters(dialect: str, columns: Columns, rows: Iterable[Sequence[Value]]) -> dict[str, str]:
    """What to execute a statement over `source` with; each row has its values in the order of the columns."""
    return {NAME: encoded(dialect, columns, rows)}


class HasId(Protocol):
    """What is about one image."""

    @property
    def id(self) -> UUID:
        """The image's id."""


def of_images(dialect: str, columns: Columns, items: Iterable[HasId]) -> dict[str, str]:
    """`parameters` for items whose attributes are the columns, in the order of ids."""
    # In one order everywhere, so that two batches that share rows wait for each other and don't deadlock.
    ordered = sorted(items, key=attrgetter("id"))
    return parameters(dialect, columns, ([getattr(item, name) for name in columns] for item in ordered))


def changed(connection: Connection, statement: Update, values: Mapping[str, object]) -> set[UUID]:
    """Execute an UPDATE that returns ids; returns the ids."""
    return set(connection.execute(statement, values).scalars())


def from_hex(text: str | None) -> bytes | None:
    """What `imgctl_from_hex` does in SQLite, which has no unhex() before 3.41."""
    return None if text is None else bytes.fromhex(text.removeprefix(_HEX_PREFIX))


def encoded(dialect: str, names: Collection[str], rows: Iterable[Sequence[Value]]) -> str:
    """The rows as JSON, a list of objects; each row has its values in the order of the names."""
    written = [{name: _written(value, dialect) for name, value in zip(names, row, strict=True)} for row in rows]
    return json.dumps(written, separators=(",", ":"))


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
