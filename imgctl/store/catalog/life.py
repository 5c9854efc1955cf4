"""The life of rows that are `ready`: taking them to build variants anew, and saying how it ended (law 3).

They stay `ready` and keep their keys all the while, so that the product goes on serving them. As in `claims`,
`attempts` is the fencing token; `forgiven` grows with it, so that no backfill uses up an image's tries.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from uuid import UUID

from sqlalchemy import Connection

from imgctl.model import Image
from imgctl.store.catalog import batch
from imgctl.store.catalog import life_statements as sql
from imgctl.store.catalog.claims import Hold


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


def take(connection: Connection, seen: Iterable[Hold], *, lease_seconds: float) -> list[Image]:
    """Lease ready images that nobody holds and that nobody took since they were `seen`; returns them as they are now."""
    dialect = connection.dialect.name
    values = {**batch.of_images(dialect, sql.HOLD, seen), "lease_seconds": float(lease_seconds)}
    taken = (Image(**row._asdict()) for row in connection.execute(sql.take(dialect), values))
    return sorted(taken, key=attrgetter("id"))


def renew(connection: Connection, holds: Iterable[Hold], *, lease_seconds: float) -> set[UUID]:
    """Lengthen leases; returns the ids still held."""
    dialect = connection.dialect.name
    values = {**batch.of_images(dialect, sql.HOLD, holds), "lease_seconds": float(lease_seconds)}
    return batch.changed(connection, sql.renew(dialect), values)


def finish(connection: Connection, built: Iterable[Built]) -> set[UUID]:
    """Name new variants; returns those that changed: the others were taken over, or are no longer ready."""
    dialect = connection.dialect.name
    return batch.changed(connection, sql.finish(dialect), batch.of_images(dialect, sql.BUILT, built))


def release(connection: Connection, holds: Iterable[Hold]) -> set[UUID]:
    """Let go of images; returns those that were still held."""
    dialect = connection.dialect.name
    return batch.changed(connection, sql.release(dialect), batch.of_images(dialect, sql.HOLD, holds))
