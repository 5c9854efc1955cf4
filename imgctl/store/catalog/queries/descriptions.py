"""Descriptions of images whose row exists: found in their bytes, or beside another copy of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, FromClause, Update, and_, case, func, or_, update

from imgctl.model import Status
from imgctl.store.catalog import batch
from imgctl.store.catalog.schema import images, in_status


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Metadata found in the bytes of a promised image."""

    id: UUID
    width: int | None
    height: int | None
    taken_at: datetime | None
    caption: str | None


def note(connection: Connection, seen: Seen) -> None:
    """Write metadata of a promised image; only before it is confirmed, and never over an existing caption."""
    connection.execute(
        update(images)
        .where(images.c.id == seen.id, in_status(Status.UPLOADING))
        .values(
            width=seen.width,
            height=seen.height,
            taken_at=seen.taken_at,
            caption=func.coalesce(images.c.caption, seen.caption),
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarMetadata:
    """Metadata from files beside another copy of an image; `taken_alone` is the capture time of a copy without such files."""

    id: UUID
    caption: str | None
    taken_at: datetime | None
    taken_alone: datetime | None


def fill(connection: Connection, found: Iterable[SidecarMetadata]) -> None:
    """Write captions and capture times that rows lack, or have from a copy without such files; never over other values."""
    batch.run(connection, _fill, SidecarMetadata, {one.id: one for one in found}.values())


def _fill(rows: FromClause) -> Update:
    caption = and_(images.c.caption.is_(None), rows.c.caption.is_not(None))
    alone = or_(images.c.taken_at.is_(None), images.c.taken_at == rows.c.taken_alone)
    taken = and_(alone, rows.c.taken_at.is_distinct_from(images.c.taken_at), rows.c.taken_at.is_not(None))
    return (
        update(images)
        .where(images.c.id == rows.c.id, or_(caption, taken))
        .values(
            caption=func.coalesce(images.c.caption, rows.c.caption),
            taken_at=case((taken, rows.c.taken_at), else_=images.c.taken_at),
        )
    )
