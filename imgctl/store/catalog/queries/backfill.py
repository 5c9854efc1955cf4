"""Queries of a backfill on `ready` rows: select, lease, set new variants, fill in metadata (law 3).

The rows stay `ready` and keep their keys meanwhile, so that the product continues to serve them. As in `claims`,
`attempts` is the fencing token; `forgiven` grows with it, so that a backfill uses up none of an image's attempts.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Integer,
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

from imgctl.model import Image, Status, Variant
from imgctl.store.catalog import batch
from imgctl.store.catalog.lease import FREE, LEASE, Hold, fenced
from imgctl.store.catalog.schema import COLUMNS, SAFE, PerDatabase, images, in_status

# The last seven digits of an id: random, and small enough for an integer everywhere.
SHARD_DIGITS = 7

_READY = in_status(Status.READY)


class Fact(StrEnum):
    """A fact that an original contains and its row may lack."""

    CAPTION = "caption"
    TAKEN_AT = "taken_at"
    SIZE = "size"


FACT_COLUMNS: Mapping[Fact, tuple[str, ...]] = {
    Fact.CAPTION: ("caption",),
    Fact.TAKEN_AT: ("taken_at",),
    Fact.SIZE: ("width", "height"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """The metadata to write for one image; None keeps the row's value."""

    id: UUID
    caption: str | None = None
    taken_at: datetime | None = None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """New variants of a ready image, safe under these keys; None keeps the row's value.

    `width` and `height` are set only if the row has none. `hold` keeps the lease, because blobs must be deleted
    before the row is released.
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


class shard_number(PerDatabase[int]):  # noqa: N801 - reads like the SQL function it stands for
    """The last digits of an id as a number, the same on both databases."""

    type = Integer()
    inherit_cache = True
    postgres = f"CAST(CAST('x' || right(CAST({{0}} AS text), {SHARD_DIGITS}) AS bit({4 * SHARD_DIGITS})) AS integer)"
    # SQLite has no cast from hexadecimal text: digit by digit.
    sqlite = " + ".join(
        f"(instr('0123456789abcdef', substr({{0}}, -{place}, 1)) - 1) * {16 ** (place - 1)}"
        for place in range(1, SHARD_DIGITS + 1)
    ).join("()")


def chosen(
    variants: tuple[Variant, ...], *, recipe: str | None, every: bool, shard: tuple[int, int] | None
) -> ColumnElement[bool]:
    """Condition for ready rows that lack one of the variants or have another recipe, or for `every` ready row.

    Leased rows always match: another run builds them, or died while it did.
    """
    wanted: list[ColumnElement[bool]] = [images.c.leased_until.is_not(None)]
    wanted += [images.c[f"{variant}_key"].is_(None) for variant in variants]
    if recipe is not None:
        wanted.append(func.coalesce(images.c.recipe, "") != recipe)
    mine = true() if shard is None else shard_number(images.c.id) % shard[1] == shard[0] - 1
    return and_(_READY, mine, true() if every else or_(*wanted))


def up_to(last: UUID | None) -> ColumnElement[bool]:
    """Condition for rows up to this id, included; no bound if None."""
    return true() if last is None else images.c.id <= last


def take(connection: Connection, seen: Iterable[Hold], *, lease_seconds: float) -> list[Image]:
    """Lease ready images that are free and unchanged since they were `seen`; returns their current rows."""
    rows = batch.run(connection, _take, Hold, seen, lease_seconds=float(lease_seconds))
    return sorted((Image(**row._asdict()) for row in rows), key=attrgetter("id"))


def _take(rows: FromClause) -> Update:
    same = select(images.c.id).join(rows, images.c.id == rows.c.id)
    same = same.where(images.c.attempts == rows.c.attempts, _READY, FREE).order_by(images.c.id)
    # Skip locked rows: another run is leasing them.
    picked = same.with_for_update(skip_locked=True, of=images).cte("picked")
    taken = {"attempts": images.c.attempts + 1, "forgiven": images.c.forgiven + 1, "leased_until": LEASE}
    return update(images).where(images.c.id == picked.c.id).values(**taken).returning(*COLUMNS)


def finish(connection: Connection, built: Iterable[Built]) -> set[UUID]:
    """Write new variants to their rows; returns the changed ids: the others were taken over, or are no longer ready."""
    return batch.changed(connection, _finish, Built, built)


def _finish(rows: FromClause) -> Update:
    names = ("thumb_key", "medium_key", "full_key", "recipe")
    changes = {name: func.coalesce(rows.c[name], images.c[name]) for name in names}
    size = {name: func.coalesce(images.c[name], rows.c[name]) for name in ("width", "height")}
    leased_until = case((rows.c.hold > 0, images.c.leased_until), else_=null())
    return fenced(rows, Status.READY).values(**changes, **size, leased_until=leased_until).returning(images.c.id)


def release(connection: Connection, holds: Iterable[Hold]) -> set[UUID]:
    """End the leases of images; returns the ids that were still held."""
    return batch.changed(connection, _release, Hold, holds)


def _release(rows: FromClause) -> Update:
    return fenced(rows, Status.READY).values(leased_until=null()).returning(images.c.id)


def incomplete(overwrite: Collection[Fact] = ()) -> ColumnElement[bool]:
    """Condition for rows whose bytes are safe and that lack a fact; with `overwrite`, for all safe rows."""
    empty = or_(*(images.c[name].is_(None) for names in FACT_COLUMNS.values() for name in names))
    return SAFE & (true() if overwrite else empty)


def write_metadata(
    connection: Connection, found: Iterable[Metadata], *, overwrite: Collection[Fact] = ()
) -> dict[UUID, Metadata]:
    """Fill empty columns, and replace the facts in `overwrite`; returns the resulting metadata of existing rows.

    No other column changes. Rows whose bytes are not safe are skipped: their confirmation writes these facts.
    """
    rows = batch.run(connection, _write_metadata, Metadata, found, frozenset(overwrite))
    return {row.id: Metadata(**row._asdict()) for row in rows}


def _write_metadata(rows: FromClause, overwrite: frozenset[Fact]) -> Update:
    changes = {}
    for fact, names in FACT_COLUMNS.items():
        for name in names:
            first, second = (rows, images) if fact in overwrite else (images, rows)
            changes[name] = func.coalesce(first.c[name], second.c[name])
    columns = (images.c[field.name] for field in fields(Metadata))
    return update(images).where(images.c.id == rows.c.id, SAFE).values(**changes).returning(*columns)
