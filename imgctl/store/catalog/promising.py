"""What a promise is, whichever way the catalog is asked (law 1): rows before their bytes, confirmed after."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from imgctl.errors import CatalogError
from imgctl.model import Status
from imgctl.store.catalog.encode import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class NewImage:
    """An image about to be stored: everything known before its bytes are written; times are aware."""

    id: UUID
    user_id: UUID
    uploaded_at: datetime
    original_key: str
    sha256: bytes
    bytes: int
    content_type: str
    width: int | None = None
    height: int | None = None
    caption: str | None = None
    taken_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Promised:
    """The row that stands for a content: new (`created`), or the one its owner already had."""

    id: UUID
    original_key: str | None
    status: Status
    created: bool


NEW_COLUMNS = tuple(NewImage.__slots__)
CONTENT_COLUMNS = ("user_id", "sha256")
ID_COLUMNS = ("id",)

Rows = Iterable[Sequence[Value]]


class Asking(Protocol):
    """A transaction that can be asked what uploads ask; the rows of a batch have their values in the order of columns."""

    def insert(self, rows: Rows) -> set[UUID]:
        """Insert rows of NEW_COLUMNS as `uploading` where nothing stands in the way; returns the ids inserted."""

    def find(self, rows: Rows) -> Iterable[tuple[UUID, str | None, Status, UUID, bytes]]:
        """Id, key and status of the images with these contents (CONTENT_COLUMNS), and the contents themselves."""

    def stand(self, rows: Rows) -> Iterable[tuple[UUID, UUID, Status]]:
        """Id, owner and status of those of the ids that exist."""

    def confirm(self, rows: Rows) -> set[UUID]:
        """Turn `uploading` into `processing`; returns the ids that changed."""

    def announce_work(self) -> None:
        """Tell workers that wait for something to do; they hear it when this transaction commits."""


def promise(asking: Asking, rows: Sequence[NewImage]) -> list[Promised]:
    """For each row the one that stands for its content: inserted as `uploading`, or found; the order is kept.

    CatalogError when a row is refused for any other reason than that its content is already there.
    """
    # In one order everywhere, so that two that promise the same contents wait for each other and don't deadlock.
    ordered = sorted(rows, key=lambda row: (row.user_id, row.sha256))
    created = asking.insert([getattr(row, name) for name in NEW_COLUMNS] for row in ordered)
    known = _known(asking, [row for row in ordered if row.id not in created])
    return [_promised(row, created, known) for row in rows]


def contents(asking: Asking, rows: Sequence[NewImage]) -> list[Promised]:
    """What `promise` would answer, without writing: the row that has this content, or `created` for one that has none."""
    known = _known(asking, rows)
    return [known.get((row.user_id, row.sha256)) or _promised(row, {row.id}, known) for row in rows]


def standing(asking: Asking, ids: Iterable[UUID]) -> dict[UUID, tuple[UUID, Status]]:
    """Owner and status of each of these images that exists."""
    return {image: (user, status) for image, user, status in asking.stand([one] for one in ids)}


def confirm(asking: Asking, ids: Iterable[UUID]) -> set[UUID]:
    """Turn `uploading` into `processing` now that the bytes are safe; returns the ids that changed."""
    confirmed = asking.confirm([one] for one in sorted(ids))
    if confirmed:
        asking.announce_work()
    return confirmed


def keep(asking: Asking, arrived: Mapping[UUID, Callable[[], NewImage]]) -> None:
    """Confirm images whose bytes are safe; one whose promise `repair` dropped meanwhile is promised anew, as it was."""
    changed = confirm(asking, arrived)
    others = [one for one in arrived if one not in changed]
    known = standing(asking, others) if others else {}
    if dropped := [arrived[one]() for one in others if one not in known]:
        confirm(asking, [one.id for one in promise(asking, dropped) if one.created])


def _known(asking: Asking, rows: Sequence[NewImage]) -> dict[tuple[UUID, bytes], Promised]:
    if not rows:
        return {}
    return {
        (user_id, digest): Promised(id=image_id, original_key=key, status=status, created=False)
        for image_id, key, status, user_id, digest in asking.find((row.user_id, row.sha256) for row in rows)
    }


def _promised(row: NewImage, created: set[UUID], known: Mapping[tuple[UUID, bytes], Promised]) -> Promised:
    if row.id in created:
        return Promised(id=row.id, original_key=row.original_key, status=Status.UPLOADING, created=True)
    existing = known.get((row.user_id, row.sha256))
    if existing is None:
        raise CatalogError(f"image {row.id} could not be promised", hint="its row is gone meanwhile; run again")
    return existing
