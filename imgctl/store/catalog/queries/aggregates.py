"""Aggregates over the catalog, one statement each: images by state, stored bytes by class, user and month."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Connection,
    Float,
    Row,
    Select,
    String,
    Text,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    literal_column,
    null,
    select,
    union_all,
)

from imgctl.model import Sized, Status, StorageClass, Variant
from imgctl.pricing.archive_bill import Held
from imgctl.store.catalog.queries.lookups import Scope, within
from imgctl.store.catalog.schema import SAFE, Id, PerDatabase, images, in_status, seconds_until

# Below this size storage classes bill a minimum, or don't monitor the object (S3 pricing).
SMALL_BYTES = 131_072
TOTAL, USER, MONTH = "total", "user", "month"
_PERIODS = ("all", "recent", "old")
_HELD = ("objects", "size", "small", "small_size")


class By(StrEnum):
    """The columns that images can be grouped by."""

    USER = "user"
    DAY = "day"
    STATUS = "status"
    CLASS = "class"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One group of images: count, states, bytes of the originals, and the age of the oldest unfinished one."""

    group: str
    images: int
    bytes: int
    states: Mapping[Status, int]
    backlog_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Originals of one class: of all (`kind` total), of one user or of one month (`2026-11`, UTC).

    `recent` are those promised in the last month, `old` those promised before the cutoff (none without one), `unknown`
    counts those without a size, `variants` their keys. Promised rows count as `promised` and nowhere else.
    """

    kind: str
    storage_class: str
    user_id: UUID | None
    month: str | None
    all: Held
    recent: Held
    old: Held
    variants: Mapping[str, int]
    unknown: int
    promised: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Weights to rank users by cost, in any one unit: of a byte by class, and of an object by variant."""

    byte: Mapping[str, float]
    variants: Mapping[str, float]


class day_of(PerDatabase[str]):  # noqa: N801 - reads like an SQL function
    """The day of a time in UTC: `2026-11-28`."""

    type = String(10)
    inherit_cache = True
    postgres = "to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
    sqlite = "substr({0}, 1, 10)"


class month_of(PerDatabase[str]):  # noqa: N801
    """The month of a time in UTC: `2026-11`."""

    type = String(7)
    inherit_cache = True
    postgres = "to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM')"
    sqlite = "substr({0}, 1, 7)"


def groups(connection: Connection, scope: Scope, *, by: By | None = None) -> Iterator[Group]:
    """One aggregate over a scope, in groups; days come in their order, other groups largest first."""
    unfinished = in_status(Status.UPLOADING, Status.PROCESSING)
    states = [_count(in_status(one)).label(one) for one in Status]
    query: Select[*tuple[object, ...]] = select(
        _group(by).label("name"),
        func.count().label("total"),
        cast(func.coalesce(func.sum(images.c.bytes), 0), BigInteger).label("weight"),
        (-seconds_until(func.min(case((unfinished, images.c.promised_at))))).label("age"),
        *states,
    ).where(*within(scope))
    if by is not None:
        # Refer to the column by position: repeated with a new parameter, the expression would not match.
        place: ColumnElement[str] = literal_column("1")
        query = query.group_by(place).order_by(*((place,) if by is By.DAY else (literal_column("2").desc(), place)))
    # A server's cursor: the driver would hold all rows, which may be as many as users.
    for row in connection.execute(query, execution_options={"stream_results": True}):
        found = row._asdict()
        yield Group(
            group=found["name"],
            images=found["total"],
            bytes=found["weight"],
            states={one: found[one] for one in Status},
            backlog_seconds=None if found["age"] is None else max(0.0, found["age"]),
        )


def _group(by: By | None) -> ColumnElement[str]:
    match by:
        case By.USER:
            return cast(images.c.user_id, Text)
        case By.DAY:
            return day_of(images.c.uploaded_at)
        case By.STATUS:
            return cast(images.c.status, Text)
        case By.CLASS:
            return func.coalesce(images.c.storage_class, literal(str(StorageClass.STANDARD), Text()))
        case None:
            return literal("all", Text())


def tally(
    connection: Connection, scope: Scope, *, by: Sequence[ColumnElement[str | None]], where: ColumnElement[bool]
) -> list[tuple[tuple[str | None, ...], int]]:
    """Count the rows of a scope that match `where`, by each combination of these columns; reads the whole scope."""
    query = select(func.count(), *by).where(*within(scope), where).group_by(*by)
    return [(tuple(values), count) for count, *values in connection.execute(query)]


def count_since(connection: Connection, user_id: UUID, promised_since: datetime) -> int:
    """Return the number of a user's images promised at this time or later, in database time; unfinished uploads don't count."""
    where = (images.c.user_id == user_id, images.c.promised_at >= promised_since, images.c.status != Status.UPLOADING)
    return connection.execute(select(func.count()).select_from(images).where(*where)).scalar_one()


def named_keys(connection: Connection, scope: Scope) -> int:
    """Return the total number of keys in the rows of a scope; reads all rows."""
    counted = [func.count(images.c[f"{role}_key"]) for role in ("original", *Variant)]
    query: Select[int] = select(sum(counted[1:], start=counted[0])).where(*within(scope))
    return connection.execute(query).scalar_one()


def stored(
    connection: Connection,
    *,
    recent_since: datetime,
    weights: Weights,
    top: int,
    scope: Scope | None = None,
    by_month: bool = False,
    cutoff: datetime | None = None,
) -> Iterator[Stored]:
    """Yield the stored totals by class: overall, for the `top` users by cost, and with `by_month` by month; one table scan."""
    grain = _grain(scope or Scope(), recent_since, cutoff, by_month=by_month)
    parts = [_part(grain, TOTAL)]
    if by_month:
        parts.append(_part(grain, MONTH))
    if top:
        cost = func.sum(_weight(grain, weights))
        users = select(grain.c.user_id).group_by(grain.c.user_id).order_by(cost.desc(), grain.c.user_id)
        parts.append(_part(grain, USER).where(grain.c.user_id.in_(users.limit(top))))
    for row in connection.execute(union_all(*parts)):
        yield _stored(row)


def _grain(scope: Scope, recent_since: datetime, cutoff: datetime | None, *, by_month: bool) -> CTE:
    """Totals by user and class (and month); all other aggregates are sums of these."""
    row = images.c
    old = row.promised_at < cutoff if cutoff else false()
    periods = dict(zip(_PERIODS, (SAFE, and_(SAFE, row.promised_at >= recent_since), and_(SAFE, old)), strict=True))
    columns: dict[str, ColumnElement[int]] = {}
    for name, chosen in periods.items():
        small = and_(chosen, row.bytes < SMALL_BYTES)
        held = (_count(chosen), _total(chosen), _count(small), _total(small))
        columns |= {f"{name}_{what}": value for what, value in zip(_HELD, held, strict=True)}
    columns |= {one.value: _count(and_(SAFE, row[f"{one}_key"].is_not(None))) for one in Variant}
    columns["unknown"] = _count(and_(SAFE, row.bytes.is_(None)))
    columns["promised"] = _count(in_status(Status.UPLOADING))
    storage_class = func.coalesce(row.storage_class, StorageClass.STANDARD.value)
    month = month_of(row.uploaded_at) if by_month else null()
    keys = (row.user_id, storage_class.label("storage_class"), month.label("month"))
    query = select(*keys, *(value.label(name) for name, value in columns.items())).where(*within(scope))
    return query.group_by(row.user_id, storage_class, *([month] if by_month else [])).cte("grain")


def _part(grain: CTE, kind: str) -> Select[*tuple[object, ...]]:
    user = grain.c.user_id if kind == USER else cast(null(), Id)
    month = grain.c.month if kind == MONTH else cast(null(), String)
    added = (func.sum(one).label(one.name) for one in list(grain.c)[3:])
    keys = [grain.c.storage_class, *({USER: [grain.c.user_id], MONTH: [grain.c.month]}.get(kind, []))]
    label = literal(kind, literal_execute=True).label("kind")
    return select(label, grain.c.storage_class, user.label("user_id"), month.label("month"), *added).group_by(*keys)


def _weight(grain: CTE, weights: Weights) -> ColumnElement[float]:
    of_class = case(
        *((grain.c.storage_class == name, literal(weight, Float)) for name, weight in weights.byte.items()),
        else_=literal(0.0, Float),
    )
    total: ColumnElement[float] = cast(grain.c.all_size, Float) * of_class
    for name, weight in weights.variants.items():
        total += cast(grain.c[name], Float) * literal(weight, Float)
    return total


def _stored(row: Row[*tuple[object, ...]]) -> Stored:
    found = row._asdict()
    for period in _PERIODS:
        objects, size, small, small_size = (int(found.pop(f"{period}_{what}")) for what in _HELD)
        below = Sized(objects=small, size=small_size)
        found[period] = Held(large=Sized(objects=objects, size=size) - below, small=below)
    variants = {one.value: int(found.pop(one.value)) for one in Variant}
    unknown, promised = int(found.pop("unknown")), int(found.pop("promised"))
    return Stored(**found, variants=variants, unknown=unknown, promised=promised)


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count(case((condition, 1)))


def _total(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, images.c.bytes))), 0)
