"""Sums over the whole catalog in one statement: what is stored, by class, user and month, and who stores most."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Float,
    Row,
    Select,
    String,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    select,
    union_all,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from imgctl.model import Status, StorageClass, Variant
from imgctl.store.catalog.names import SQLITE
from imgctl.store.catalog.schema import images
from imgctl.store.catalog.scope import Scope
from imgctl.store.catalog.types import Id, status_literal

# Below this size classes bill a minimum, or do not watch an object (S3 pricing).
SMALL_BYTES = 131_072
TOTAL, USER, MONTH = "total", "user", "month"
_SUMS = ("objects", "size", "small", "small_size", "unknown", *Variant, "recent", "recent_size", "recent_small", "recent_small_size", "old", "old_size",
         "old_small", "old_small_size", "promised")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """Originals of one class, of all (`kind` total), of one user or of one month (`2026-11`, UTC); sizes are bytes.

    `small` are those below 128 KiB, `recent` those promised in the last month, `old` those promised before the cutoff (0 without one),
    `unknown` those without a size; `variants` counts their keys. Promised rows count as `promised` and nowhere else.
    """

    kind: str
    storage_class: str
    user_id: UUID | None
    month: str | None
    objects: int
    size: int
    small: int
    small_size: int
    unknown: int
    variants: Mapping[str, int]
    recent: int
    recent_size: int
    recent_small: int
    recent_small_size: int
    old: int
    old_size: int
    old_small: int
    old_small_size: int
    promised: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What makes a user dear, in any one unit: a byte by class, and an object's variants."""

    byte: Mapping[str, float]
    variants: Mapping[str, float]


def sums(
    connection: Connection,
    *,
    recent_since: datetime,
    weights: Weights,
    top: int,
    scope: Scope | None = None,
    by_month: bool = False,
    cutoff: datetime | None = None,
) -> Iterator[Sum]:
    """All sums by class, of months when asked for, and of the `top` dearest users; one statement, one walk of the table."""
    grain = _grain(scope or Scope(), recent_since, cutoff, by_month=by_month)
    parts = [_part(grain, TOTAL)]
    if by_month:
        parts.append(_part(grain, MONTH))
    if top:
        dear = _weight(grain, weights)
        users = select(grain.c.user_id).group_by(grain.c.user_id).order_by(func.sum(dear).desc(), grain.c.user_id)
        parts.append(_part(grain, USER).where(grain.c.user_id.in_(users.limit(top))))
    for row in connection.execute(union_all(*parts)):
        yield _sum(row)


class month_of(FunctionElement[str]):  # noqa: N801 - reads like an SQL function
    """The month of a time in UTC: `2026-11`."""

    type = String(7)
    inherit_cache = True


@compiles(month_of)
def _month_of(element: month_of, compiler: SQLCompiler, **_: object) -> str:
    return f"to_char({compiler.process(element.clauses)} AT TIME ZONE 'UTC', 'YYYY-MM')"


@compiles(month_of, SQLITE)
def _month_of_sqlite(element: month_of, compiler: SQLCompiler, **_: object) -> str:
    return f"substr({compiler.process(element.clauses)}, 1, 7)"


def _grain(scope: Scope, recent_since: datetime, cutoff: datetime | None, *, by_month: bool) -> CTE:
    """Sums of each user and class (and month): everything else is a sum of these."""
    row = images.c
    promised = row.status == status_literal(Status.UPLOADING)
    safe, size = row.status != status_literal(Status.UPLOADING), func.coalesce(row.bytes, 0)
    small = and_(safe, row.bytes < SMALL_BYTES)
    recent = and_(safe, row.promised_at >= recent_since)
    old = and_(safe, row.promised_at < cutoff) if cutoff else literal(0) == 1
    storage_class = func.coalesce(row.storage_class, StorageClass.STANDARD.value)
    month = month_of(row.uploaded_at) if by_month else null()
    aggregates = {
        "objects": _count(safe),
        "size": _total(safe, size),
        "small": _count(small),
        "small_size": _total(small, size),
        "unknown": _count(and_(safe, row.bytes.is_(None))),
        **{one.value: _count(and_(safe, row[f"{one}_key"].is_not(None))) for one in Variant},
        "recent": _count(recent),
        "recent_size": _total(recent, size),
        "recent_small": _count(and_(recent, row.bytes < SMALL_BYTES)),
        "recent_small_size": _total(and_(recent, row.bytes < SMALL_BYTES), size),
        "old": _count(old),
        "old_size": _total(old, size),
        "old_small": _count(and_(old, row.bytes < SMALL_BYTES)),
        "old_small_size": _total(and_(old, row.bytes < SMALL_BYTES), size),
        "promised": _count(promised),
    }
    keys = (row.user_id, storage_class.label("storage_class"), month.label("month"))
    query = select(*keys, *(found.label(name) for name, found in aggregates.items()))
    grouped = query.group_by(row.user_id, storage_class, *([month] if by_month else []))
    return _within(grouped, scope).cte("grain")


def _within(query: Select[*tuple[object, ...]], scope: Scope) -> Select[*tuple[object, ...]]:
    if scope.user_id is not None:
        query = query.where(images.c.user_id == scope.user_id)
    if scope.since is not None:
        query = query.where(images.c.uploaded_at >= scope.since)
    if scope.promised_before is not None:
        query = query.where(images.c.promised_at < scope.promised_before)
    return query if scope.until is None else query.where(images.c.uploaded_at < scope.until)


def _part(grain: CTE, kind: str) -> Select[*tuple[object, ...]]:
    user = grain.c.user_id if kind == USER else cast(null(), Id)
    month = grain.c.month if kind == MONTH else cast(null(), String)
    added = (func.sum(grain.c[str(name)]).label(str(name)) for name in _SUMS)
    keys = [grain.c.storage_class, *({USER: [grain.c.user_id], MONTH: [grain.c.month]}.get(kind, []))]
    label = literal(kind, literal_execute=True).label("kind")
    return select(label, grain.c.storage_class, user.label("user_id"), month.label("month"), *added).group_by(*keys)


def _weight(grain: CTE, weights: Weights) -> ColumnElement[float]:
    of_class = case(
        *((grain.c.storage_class == name, literal(weight, Float)) for name, weight in weights.byte.items()),
        else_=literal(0.0, Float),
    )
    total: ColumnElement[float] = cast(grain.c.size, Float) * of_class
    for name, weight in weights.variants.items():
        total += cast(grain.c[name], Float) * literal(weight, Float)
    return total


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count(case((condition, 1)))


def _total(condition: ColumnElement[bool], value: ColumnElement[int]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, value))), 0)


def _sum(row: Row[*tuple[object, ...]]) -> Sum:
    found = row._asdict()
    variants = {one.value: int(found.pop(one.value)) for one in Variant}
    numbers = {name: int(found[name]) for name in map(str, _SUMS) if name in found}
    return Sum(**{**found, **numbers}, variants=variants)
