"""The rows as a queue: claiming work, keeping hold of it, and saying how it ended (law 3).

`attempts` is raised by every claim and by nothing lowered: it is the fencing token. Whoever brings an older one has lost
the image to somebody else, and changes nothing. What was not the image's fault is counted beside it, in `forgiven`;
`attempts - forgiven` is what `max_attempts` limits.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from uuid import UUID

from sqlalchemy import Connection, func, select, true

from imgctl.store.catalog import batch
from imgctl.store.catalog import claim_statements as sql
from imgctl.store.catalog.names import POSTGRES
from imgctl.store.catalog.reservations import announce_work

_HEAD = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An image that is this worker's until its lease runs out; `attempts` is its fencing token,
    `forgiven` of them were not the image's fault.
    """

    id: UUID
    original_key: str | None
    attempts: int
    forgiven: int
    bytes: int | None
    content_type: str | None
    width: int | None
    height: int | None
    storage_class: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What a worker believes to hold."""

    id: UUID
    attempts: int


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How much is to be done, counted up to 10,000, and when the next lease or back-off runs out."""

    processing: int
    leased: int
    next_free_seconds: float | None


class Position:
    """How far a worker's claims have come: the next one begins there and not at the head of the queue.

    There lie the index entries of rows already done, until a vacuum; passing by a million takes 14 ms (measured on
    Postgres 18). It goes back to the head every few seconds and whenever the queue ends, for what was given back,
    what lapsed, and what came late. One thread's own.
    """

    __slots__ = ("_after", "_began", "_rewind_seconds")

    def __init__(self, *, rewind_seconds: float = 5.0) -> None:
        self._rewind_seconds = rewind_seconds
        self.rewind()

    def rewind(self) -> None:
        """Go back to the head of the queue."""
        self._after = _HEAD
        self._began = time.monotonic()

    def after(self) -> UUID:
        """The id behind which to look."""
        if time.monotonic() - self._began >= self._rewind_seconds:
            self.rewind()
        return self._after

    def move(self, claims: Sequence[Claim]) -> None:
        """Go on behind what was claimed."""
        self._after = max(self._after, *(one.id for one in claims))


def claim(
    connection: Connection, *, limit: int, lease_seconds: float, max_attempts: int, position: Position | None = None
) -> list[Claim]:
    """Up to `limit` images that nobody holds, oldest first, leased by the database's clock.

    Who claims again and again hands in a Position, and stays as fast in a queue of millions as in a short one.
    """
    values = {"lease_seconds": float(lease_seconds), "max_attempts": max_attempts}
    if position is None:
        return _claim(connection, limit, {**values, "after": _HEAD})
    after = position.after()
    claims = _claim(connection, limit, {**values, "after": after})
    if len(claims) == limit:
        position.move(claims)
        return claims
    position.rewind()
    if after == _HEAD:
        return claims
    return _claim(connection, limit - len(claims), {**values, "after": _HEAD}) + claims


def end_if_frozen(connection: Connection, *, seconds: float) -> None:
    """End this transaction when its process says nothing for so long: a frozen worker must not keep rows locked."""
    if connection.dialect.name == POSTGRES:
        milliseconds = str(max(1, round(seconds * 1000)))
        connection.execute(select(func.set_config("idle_in_transaction_session_timeout", milliseconds, true())))


def renew(connection: Connection, holds: Iterable[Hold], *, lease_seconds: float) -> set[UUID]:
    """Lengthen leases; returns the ids still held: whoever is missing was lost to another worker, or given back."""
    dialect = connection.dialect.name
    values = {**batch.of_images(dialect, sql.HOLD, holds), "lease_seconds": float(lease_seconds)}
    return batch.changed(connection, sql.renew(dialect), values)


def finish(connection: Connection, results: Iterable[Finished]) -> set[UUID]:
    """Turn images `ready`; returns those that changed. A lapsed lease is no hindrance until another claims the row."""
    dialect = connection.dialect.name
    return batch.changed(connection, sql.finish(dialect), batch.of_images(dialect, sql.FINISHED, results))


def fail(connection: Connection, failures: Iterable[FailedImage]) -> set[UUID]:
    """Turn images `failed`; returns those that changed."""
    dialect = connection.dialect.name
    return batch.changed(connection, sql.fail(dialect), batch.of_images(dialect, sql.FAILED, failures))


def shelve(connection: Connection, found: Iterable[FailedImage]) -> set[UUID]:
    """Let go of images whose originals turned out to be archived, which the rows now say; returns those that changed."""
    dialect = connection.dialect.name
    return batch.changed(connection, sql.shelve(dialect), batch.of_images(dialect, sql.FAILED, found))


def give_back(connection: Connection, returned: Iterable[GivenBack]) -> set[UUID]:
    """Let go of images, to be claimed again at once or after their delay; returns those that changed."""
    dialect = connection.dialect.name
    return batch.changed(connection, sql.give_back(dialect), batch.of_images(dialect, sql.GIVEN_BACK, returned))


def requeue(connection: Connection, ids: Iterable[UUID]) -> set[UUID]:
    """Put `ready` or `failed` images back to `processing` with all their attempts; returns those that changed."""
    dialect = connection.dialect.name
    values = batch.parameters(dialect, sql.ID, ([one] for one in sorted(ids)))
    changed = batch.changed(connection, sql.requeue(dialect), values)
    if changed:
        announce_work(connection)
    return changed


def bury(connection: Connection, *, max_attempts: int, limit: int) -> list[UUID]:
    """Fail images at the head of the queue that used up their attempts and that nobody holds; returns their ids."""
    return sorted(batch.changed(connection, sql.bury(limit), {"max_attempts": max_attempts}))


def backlog(connection: Connection) -> Backlog:
    """What is left to do, and how long until some of it is free again; looks at the head of the queue only."""
    processing, leased, seconds = connection.execute(sql.backlog()).one()
    return Backlog(processing=processing, leased=leased, next_free_seconds=seconds)


def _claim(connection: Connection, limit: int, values: Mapping[str, object]) -> list[Claim]:
    claims = (Claim(**row._asdict()) for row in connection.execute(sql.claim(limit), values))
    return sorted(claims, key=attrgetter("id"))
