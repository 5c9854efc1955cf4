"""How claimed images ended: ready, failed, parked until a restore, or given back; each fenced by `attempts` (law 3)."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from uuid import UUID

from sqlalchemy import Connection, Double, Integer, Text, Update, case, func, literal, null

from imgctl.model import Status, StorageClass
from imgctl.store.catalog import batch
from imgctl.store.catalog.claims import ARCHIVED
from imgctl.store.catalog.lease import HOLD, fenced, held
from imgctl.store.catalog.schema import images
from imgctl.store.catalog.types import now_plus, status_literal

_FAILED: batch.Columns = {**HOLD, "error": Text}
_GIVEN_BACK: batch.Columns = {**_FAILED, "delay_seconds": Double, "refund": Integer}
_FINISHED: batch.Columns = {
    **_FAILED,
    "thumb_key": Text,
    "medium_key": Text,
    "full_key": Text,
    "width": Integer,
    "height": Integer,
    "recipe": Text,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """An image whose variants are all safe; None for width or height leaves what the row says."""

    id: UUID
    attempts: int
    thumb_key: str
    medium_key: str
    full_key: str
    width: int | None = None
    height: int | None = None
    recipe: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedImage:
    """An image that cannot be rendered, and why."""

    id: UUID
    attempts: int
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenBack:
    """An image to be tried again after `delay_seconds`; `refund` when the attempt was not the image's fault."""

    id: UUID
    attempts: int
    error: str | None = None
    delay_seconds: float = 0.0
    refund: bool = False


def finish(connection: Connection, results: Iterable[Finished]) -> set[UUID]:
    """Turn images `ready`; returns those that changed. A lapsed lease is no hindrance until another claims the row."""
    dialect = connection.dialect.name
    return batch.changed(connection, _finish(dialect), batch.of_images(dialect, _FINISHED, results))


@cache
def _finish(dialect: str) -> Update:
    """Turn a batch ready."""
    rows = batch.source(dialect, _FINISHED)
    changes = {name: rows.c[name] for name in ("thumb_key", "medium_key", "full_key", "recipe", "error")}
    seen = {name: func.coalesce(rows.c[name], images.c[name]) for name in ("width", "height")}
    ready = {"status": status_literal(Status.READY), "leased_until": null()}
    return fenced(rows, Status.PROCESSING).values(**changes, **seen, **ready).returning(images.c.id)


def fail(connection: Connection, failures: Iterable[FailedImage]) -> set[UUID]:
    """Turn images `failed`; returns those that changed."""
    dialect = connection.dialect.name
    return batch.changed(connection, _fail(dialect), batch.of_images(dialect, _FAILED, failures))


@cache
def _fail(dialect: str) -> Update:
    """Turn a batch failed."""
    rows = batch.source(dialect, _FAILED)
    changes = {"status": status_literal(Status.FAILED), "leased_until": null(), "error": rows.c.error}
    return fenced(rows, Status.PROCESSING).values(**changes).returning(images.c.id)


def park(connection: Connection, found: Iterable[FailedImage]) -> set[UUID]:
    """Let go of images whose originals turned out to be archived, which the rows now say; returns those that changed."""
    dialect = connection.dialect.name
    return batch.changed(connection, _park(dialect), batch.of_images(dialect, _FAILED, found))


@cache
def _park(dialect: str) -> Update:
    """Let go of a batch that turned out to be archived, unblamed; it waits for a restore then."""
    rows = batch.source(dialect, _FAILED)
    # Which archive class it is nobody said: the next look at the store writes it down.
    storage_class = case((ARCHIVED, images.c.storage_class), else_=literal(StorageClass.GLACIER.value))
    unreadable = {"storage_class": storage_class, "restored_until": null()}
    free = {"leased_until": null(), "forgiven": images.c.forgiven + 1, "error": rows.c.error}
    return held(rows, Status.PROCESSING).values(**unreadable, **free).returning(images.c.id)


def give_back(connection: Connection, returned: Iterable[GivenBack]) -> set[UUID]:
    """Let go of images, to be claimed again at once or after their delay; returns those that changed."""
    dialect = connection.dialect.name
    return batch.changed(connection, _give_back(dialect), batch.of_images(dialect, _GIVEN_BACK, returned))


@cache
def _give_back(dialect: str) -> Update:
    """Let go of a batch; a second time changes nothing where the row is free already."""
    rows = batch.source(dialect, _GIVEN_BACK)
    free_at = case((rows.c.delay_seconds > 0, now_plus(rows.c.delay_seconds)), else_=null())
    error = func.coalesce(rows.c.error, images.c.error)
    forgiven = images.c.forgiven + rows.c.refund
    return (
        held(rows, Status.PROCESSING)
        .values(leased_until=free_at, error=error, forgiven=forgiven)
        .returning(images.c.id)
    )
