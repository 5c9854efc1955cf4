"""Rows that are `ready`: choosing those to build variants anew, taking them, and saying how it ended (law 3).

They stay `ready` and keep their keys all the while, so that the product goes on serving them. As in `claims`,
`attempts` is the fencing token; `forgiven` grows with it, so that no backfill uses up an image's tries.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Text,
    Update,
    and_,
    case,
    func,
    null,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from imgctl.model import IMAGE_COLUMNS, Image, Status, Variant
from imgctl.store.catalog import batch
from imgctl.store.catalog.lease import FREE, HOLD, LEASE, Hold, fenced, in_status
from imgctl.store.catalog.names import SQLITE
from imgctl.store.catalog.schema import images

# The last seven digits of an id: random, and small enough for an integer everywhere.
SHARD_DIGITS = 7

_BUILT: batch.Columns = {
    **HOLD,
    "thumb_key": Text,
    "medium_key": Text,
    "full_key": Text,
    "width": Integer,
    "height": Integer,
    "recipe": Text,
    "hold": Integer,
}
_READY = in_status(Status.READY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """Variants of a ready image that are safe under these keys; None leaves what the row says.

    `width` and `height` are only set where the row has none. `hold` keeps the lease, because something is to be
    cleared away before the row is let go.
    """

    id: UUID
    attempts: int
    thumb_key: str | None = None
    medium_key: str | None = None
    full_key: str | None = None
    width: int | None = None
    height: int | None = None
    recipe: str | None = None
    hold: bool = False


class shard_number(FunctionElement[int]):  # noqa: N801 - reads like the SQL function it stands for
    """The last digits of an id as a number, the same on both databases."""

    type = Integer()
    inherit_cache = True

    def __init__(self) -> None:
        super().__init__(images.c.id)


@compiles(shard_number)
def _shard_number(element: shard_number, compiler: SQLCompiler, **_: object) -> str:
    digits = f"right(CAST({compiler.process(element.clauses)} AS text), {SHARD_DIGITS})"
    return f"CAST(CAST('x' || {digits} AS bit({4 * SHARD_DIGITS})) AS integer)"


@compiles(shard_number, SQLITE)
def _shard_number_sqlite(element: shard_number, compiler: SQLCompiler, **_: object) -> str:
    # SQLite has no cast from hexadecimal text: digit by digit.
    text = compiler.process(element.clauses)
    digit = "(instr('0123456789abcdef', substr({text}, -{place}, 1)) - 1) * {weight}"
    places = range(1, SHARD_DIGITS + 1)
    return f"({' + '.join(digit.format(text=text, place=one, weight=16 ** (one - 1)) for one in places)})"


def chosen(
    variants: tuple[Variant, ...], *, recipe: str | None, every: bool, shard: tuple[int, int] | None
) -> ColumnElement[bool]:
    """Ready rows that lack one of the variants, or are of another recipe than this one, or simply `every` one.

    A row with a lease is always among them: somebody builds it, or died over it.
    """
    wanted: list[ColumnElement[bool]] = [images.c.leased_until.is_not(None)]
    wanted += [images.c[f"{variant}_key"].is_(None) for variant in variants]
    if recipe is not None:
        wanted.append(func.coalesce(images.c.recipe, "") != recipe)
    mine = true() if shard is None else shard_number() % shard[1] == shard[0] - 1
    return and_(_READY, mine, true() if every else or_(*wanted))


def up_to(last: UUID | None) -> ColumnElement[bool]:
    """Rows no further than this one; None is no bound."""
    return true() if last is None else images.c.id <= last


def take(connection: Connection, seen: Iterable[Hold], *, lease_seconds: float) -> list[Image]:
    """Lease ready images that nobody holds and that nobody took since they were `seen`; returns them as they are now."""
    dialect = connection.dialect.name
    values = {**batch.of_images(dialect, HOLD, seen), "lease_seconds": float(lease_seconds)}
    taken = (Image(**row._asdict()) for row in connection.execute(_take(dialect), values))
    return sorted(taken, key=attrgetter("id"))


@cache
def _take(dialect: str) -> Update:
    """Lease those of a batch that are ready, free, and as they were when they were looked at."""
    rows = batch.source(dialect, HOLD)
    same = select(images.c.id).join(rows, images.c.id == rows.c.id)
    same = same.where(images.c.attempts == rows.c.attempts, _READY, FREE).order_by(images.c.id)
    # Skipping: what another run is about to take is its own.
    picked = same.with_for_update(skip_locked=True, of=images).cte("picked")
    taken = {"attempts": images.c.attempts + 1, "forgiven": images.c.forgiven + 1, "leased_until": LEASE}
    columns = (images.c[name] for name in IMAGE_COLUMNS)
    return update(images).where(images.c.id == picked.c.id).values(**taken).returning(*columns)


def finish(connection: Connection, built: Iterable[Built]) -> set[UUID]:
    """Name new variants; returns those that changed: the others were taken over, or are no longer ready."""
    dialect = connection.dialect.name
    return batch.changed(connection, _finish(dialect), batch.of_images(dialect, _BUILT, built))


@cache
def _finish(dialect: str) -> Update:
    """Set what a batch names; null leaves what the row says, and what is to be held keeps its lease."""
    rows = batch.source(dialect, _BUILT)
    names = ("thumb_key", "medium_key", "full_key", "recipe")
    changes = {name: func.coalesce(rows.c[name], images.c[name]) for name in names}
    seen = {name: func.coalesce(images.c[name], rows.c[name]) for name in ("width", "height")}
    leased_until = case((rows.c.hold > 0, images.c.leased_until), else_=null())
    return fenced(rows, Status.READY).values(**changes, **seen, leased_until=leased_until).returning(images.c.id)


def release(connection: Connection, holds: Iterable[Hold]) -> set[UUID]:
    """Let go of images; returns those that were still held."""
    dialect = connection.dialect.name
    return batch.changed(connection, _release(dialect), batch.of_images(dialect, HOLD, holds))


@cache
def _release(dialect: str) -> Update:
    """Let go of a batch."""
    return fenced(batch.source(dialect, HOLD), Status.READY).values(leased_until=null()).returning(images.c.id)
