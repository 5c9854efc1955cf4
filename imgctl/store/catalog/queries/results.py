"""Writes results of claimed images: ready, failed, parked until a restore, given back; fenced by `attempts` (law 3)."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, FromClause, Text, Update, bindparam, case, func, null

from imgctl.model import Status
from imgctl.store.catalog import batch
from imgctl.store.catalog.lease import fenced, held
from imgctl.store.catalog.schema import archived, images, now_plus, status_literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """An image whose variants are all safe; None for width or height keeps the row's value."""

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
    """An image that cannot be rendered, and the reason."""

    id: UUID
    attempts: int
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenBack:
    """An image to retry after `delay_seconds`; `refund` if the failed attempt was not the image's fault."""

    id: UUID
    attempts: int
    error: str | None = None
    delay_seconds: float = 0.0
    refund: bool = False


def finish(connection: Connection, results: Iterable[Finished]) -> set[UUID]:
    """Set images to `ready`; returns the changed ids. An expired lease counts until another worker claims the row."""
    return batch.changed(connection, _finish, Finished, results)


def _finish(rows: FromClause) -> Update:
    changes = {name: rows.c[name] for name in ("thumb_key", "medium_key", "full_key", "recipe", "error")}
    size = {name: func.coalesce(rows.c[name], images.c[name]) for name in ("width", "height")}
    ready = {"status": status_literal(Status.READY), "leased_until": null()}
    return fenced(rows, Status.PROCESSING).values(**changes, **size, **ready).returning(images.c.id)


def fail(connection: Connection, failures: Iterable[FailedImage]) -> set[UUID]:
    """Set images to `failed`; returns the changed ids."""
    return batch.changed(connection, _fail, FailedImage, failures)


def _fail(rows: FromClause) -> Update:
    failed = {"status": status_literal(Status.FAILED), "leased_until": null(), "error": rows.c.error}
    return fenced(rows, Status.PROCESSING).values(**failed).returning(images.c.id)


def park(connection: Connection, found: Iterable[FailedImage], *, storage_class: str) -> set[UUID]:
    """Release images whose originals proved to be archived, and write this class if the row has no archive class.

    The attempt is forgiven; the images wait for a restore. Returns the changed ids.
    """
    return batch.changed(connection, _park, FailedImage, found, archive_class=storage_class)


def _park(rows: FromClause) -> Update:
    # The exact archive class is unknown here; the next check of the store corrects it.
    known = (archived(images.c.storage_class), images.c.storage_class)
    storage_class = case(known, else_=bindparam("archive_class", type_=Text()))
    unreadable = {"storage_class": storage_class, "restored_until": null()}
    free = {"leased_until": null(), "forgiven": images.c.forgiven + 1, "error": rows.c.error}
    return held(rows, Status.PROCESSING).values(**unreadable, **free).returning(images.c.id)


def give_back(connection: Connection, returned: Iterable[GivenBack]) -> set[UUID]:
    """Release images, to be claimed again at once or after their delay; returns the changed ids.

    A row that is already free stays as it is.
    """
    return batch.changed(connection, _give_back, GivenBack, returned)


def _give_back(rows: FromClause) -> Update:
    free = {
        "leased_until": case((rows.c.delay_seconds > 0, now_plus(rows.c.delay_seconds)), else_=null()),
        "error": func.coalesce(rows.c.error, images.c.error),
        "forgiven": images.c.forgiven + rows.c.refund,
    }
    return held(rows, Status.PROCESSING).values(**free).returning(images.c.id)
