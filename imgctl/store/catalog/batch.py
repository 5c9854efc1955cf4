"""Passes a batch of records as one JSON parameter, which both databases read as a table.

The SQL text does not depend on the batch's content, so SQLAlchemy compiles and Postgres plans it once.
"""

import json
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar, get_args
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    Connection,
    CursorResult,
    Double,
    Executable,
    FromClause,
    Insert,
    Integer,
    LargeBinary,
    Select,
    Table,
    Text,
    bindparam,
    cast,
    column,
    func,
    select,
    type_coerce,
)
from sqlalchemy.types import TypeEngine

from imgctl.store.catalog.schema import POSTGRES, Id, UtcTime, time_text

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from sqlalchemy.dialects.postgresql import Insert as PostgresInsert
    from sqlalchemy.dialects.sqlite import Insert as SqliteInsert

Column = (
    TypeEngine[UUID] | TypeEngine[datetime] | TypeEngine[str] | TypeEngine[int] | TypeEngine[float] | TypeEngine[bytes]
)
Value = str | int | float | bytes | datetime | UUID | None

_NAME = "batch"
_HEX_PREFIX = "\\x"
# Integers are compared faster than UUIDs.
_BY_ID = ("id.int",)
_TYPES: dict[object, type[Column]] = {
    UUID: Id,
    str: Text,
    int: BigInteger,
    bool: Integer,
    float: Double,
    bytes: LargeBinary,
    datetime: UtcTime,
}

R = TypeVar("R", bound="DataclassInstance")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """A record with only an image id."""

    id: UUID


def refs(ids: Iterable[UUID]) -> list[Ref]:
    """Return the records of a batch of ids."""
    return [Ref(id=one) for one in ids]


def run(
    connection: Connection,
    build: Callable[..., Executable],
    record: type[R],
    items: Iterable[R],
    *key: Hashable,
    order: Sequence[str] = _BY_ID,
    **values: object,
) -> CursorResult[*tuple[object, ...]]:
    """Execute the statement of `build(rows, *key)`; `rows` is the batch as a FROM clause with the record's fields.

    The statement is built once for each `build`, record and key. `values` are its other parameters.
    """
    dialect = connection.dialect.name
    # Sorted the same way everywhere, so that two batches with common rows wait for each other and don't deadlock.
    ordered = sorted(items, key=attrgetter(*order))
    return connection.execute(
        _built(build, dialect, record, key), {_NAME: _encoded(dialect, record, ordered), **values}
    )


def changed(
    connection: Connection,
    build: Callable[..., Executable],
    record: type[R],
    items: Iterable[R],
    *key: Hashable,
    order: Sequence[str] = _BY_ID,
    **values: object,
) -> set[UUID]:
    """`run` a statement that returns ids, and return them as a set."""
    return set(run(connection, build, record, items, *key, order=order, **values).scalars())


@cache
def _built(
    build: Callable[..., Executable], dialect: str, record: type["DataclassInstance"], key: tuple[Hashable, ...]
) -> Executable:
    return build(_source(dialect, record), *key)


def _source(dialect: str, record: type["DataclassInstance"]) -> FromClause:
    columns = {field.name: _type_of(field.type) for field in fields(record)}
    text = bindparam(_NAME, type_=Text())
    if dialect == POSTGRES:
        typed = [column(name, type_()) for name, type_ in columns.items()]
        recordset = func.json_to_recordset(cast(text, JSON)).table_valued(*typed)
        return recordset.render_derived(name=_NAME, with_types=True)
    each = func.json_each(text).table_valued("value", name="each")
    found = []
    for name, type_ in columns.items():
        value = func.json_extract(each.c.value, f"$.{name}")
        readable = func.imgctl_from_hex(value) if issubclass(type_, LargeBinary) else value
        found.append(type_coerce(readable, type_()).label(name))
    return select(*found).select_from(each).subquery(_NAME)


def _type_of(hint: object) -> type[Column]:
    return next(_TYPES[one] for one in (hint, *get_args(hint)) if one in _TYPES)


def from_hex(text: str | None) -> bytes | None:
    """Implementation of `imgctl_from_hex` for SQLite, which has no unhex() before 3.41."""
    return None if text is None else bytes.fromhex(text.removeprefix(_HEX_PREFIX))


def lower(text: str | None) -> str | None:
    """Implementation of `imgctl_lower` for SQLite, whose lower() changes A to Z only."""
    return None if text is None else text.lower()


def differing_bits(one: int, other: int) -> int:
    """Implementation of `imgctl_differing_bits` for SQLite: the number of differing bits of two 64-bit numbers."""
    return ((one ^ other) & 2**64 - 1).bit_count()


def _encoded(dialect: str, record: type["DataclassInstance"], items: Iterable["DataclassInstance"]) -> str:
    names = tuple(field.name for field in fields(record))
    time_of = _iso_time if dialect == POSTGRES else time_text
    rows = [{name: _written(getattr(item, name), time_of) for name in names} for item in items]
    return json.dumps(rows, separators=(",", ":"))


def _written(value: Value, time_of: Callable[[datetime], str]) -> str | int | float | None:
    # Most frequent types first: each photo passes two rows of six values through here.
    if value is None or isinstance(value, int | float):
        return int(value) if isinstance(value, bool) else value
    if isinstance(value, str):
        # Databases reject NUL and lone surrogates; replace them, so that one odd text does not fail the whole batch.
        plain = value.isascii() and "\0" not in value
        return value if plain else value.replace("\0", "\ufffd").encode(errors="replace").decode()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bytes):
        return _HEX_PREFIX + value.hex()
    return time_of(value)


def _iso_time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def insert_absent(table: Table, names: Sequence[str], chosen: Select[*tuple[object, ...]], dialect: str) -> Insert:
    """Return an insert of the chosen rows that leaves out those whose keys are there, also if another run adds them now."""
    # Importing a dialect takes a tenth of a command's startup time, and a run needs only one.
    new: PostgresInsert | SqliteInsert
    if dialect == POSTGRES:
        from sqlalchemy.dialects.postgresql import insert as postgres_insert

        new = postgres_insert(table)
    else:
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert

        new = sqlite_insert(table)
    return new.from_select(names, chosen).on_conflict_do_nothing()
