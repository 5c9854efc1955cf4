"""A small archive in any state, and a snapshot of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

from sqlalchemy import delete, insert

from imgctl.config.catalog_store import CatalogSettings, StoreSettings
from imgctl.config.settings import Settings, WorkSettings
from imgctl.imaging.recipe_digest import digest
from imgctl.keys import key_of, new_id, time_of
from imgctl.model import Image, Recipe, Status, StorageClass, Variant
from imgctl.ops.backfill.options import BackfillOrder, ImageOutcome, Selection
from imgctl.ops.backfill.start import backfill
from imgctl.ops.common.open import Parts, open_parts
from imgctl.run.stop import Stop
from imgctl.store.blobs.base import Tier
from imgctl.store.blobs.open import open_store
from imgctl.store.catalog.schema import images
from tests.store.catalog.rows import NOON, USER, walk
from tests.whole.conftest import photo

CURRENT = digest(Recipe())
STALE = "0badcafe"
LAPSED = datetime(2020, 1, 1, tzinfo=UTC)
FUTURE = datetime.now(UTC) + timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sort:
    """The state of a row: its status, recipe, and variants without a key, without a blob and with an empty one.

    `cold`: the row records its original as archived; `archived`: it is; `restored`: it is, and is readable.
    `recorded_restored`: the row records it as restored. `lapsed`: a run died while it held the row.
    """

    status: Status = Status.READY
    recipe: str | None = CURRENT
    null: frozenset[Variant] = frozenset()
    missing: frozenset[Variant] = frozenset()
    empty: frozenset[Variant] = frozenset()
    cold: bool = False
    archived: bool = False
    restored: bool = False
    recorded_restored: bool = False
    lapsed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Every row by its id, and every blob's bytes (its class, for originals) by its key."""

    rows: dict[UUID, Image]
    blobs: dict[str, bytes]
    classes: dict[str, str] = field(default_factory=dict)


def settings_for(catalog_url: str, store: StoreSettings) -> Settings:
    """Settings that render in the thread of the test."""
    work = WorkSettings(scheduler="inline", lease=5.0)
    return Settings(catalog=CatalogSettings(url=catalog_url), store=store, work=work)


@contextmanager
def archive_of(settings: Settings, sorts: Sequence[Sort]) -> Iterator[tuple[Parts, list[Image]]]:
    """Yield the parts and rows of an archive with exactly these rows."""
    with open_parts(settings) as parts:
        rows = [_image(number, sort) for number, sort in enumerate(sorts)]
        with parts.catalog.write() as connection:
            connection.execute(delete(images))
            if rows:
                connection.execute(insert(images), [_values(row) for row in rows])
        for number, (row, sort) in enumerate(zip(rows, sorts, strict=True)):
            _put(parts, row, sort, number)
        yield parts, rows


def fill(parts: Parts, selection: Selection, *, limit: int | None = None) -> list[ImageOutcome]:
    """Run a backfill to its end."""
    order = BackfillOrder(selection=selection, lists_restores=parts.settings.store.url.startswith("file:"))
    with backfill(order, parts, stop=Stop(), anew=True) as filling:
        return list(filling.outcomes(limit=limit))


def snapshot(parts: Parts) -> Snapshot:
    """Return all rows and blobs; for archived originals their storage class."""
    cold = open_store(parts.settings.store)
    with parts.catalog.read() as connection:
        rows = {row.id: row for row in walk(connection)}
    blobs, classes = dict[str, bytes](), dict[str, str]()
    for blob in cold.scan():
        classes[blob.key] = blob.storage_class
        blobs[blob.key] = b"" if "-original." in blob.key else parts.store.get(blob.key)
    return Snapshot(rows=rows, blobs=blobs, classes=classes)


def _image(number: int, sort: Sort) -> Image:
    image_id = new_id(NOON + timedelta(seconds=number))
    keys = {one: None if one in sort.null else key_of(image_id, one, "jpg") for one in Variant}
    return Image(
        id=image_id,
        user_id=USER,
        uploaded_at=time_of(image_id),
        promised_at=time_of(image_id),
        status=sort.status,
        caption=f"picture {number}",
        width=96,
        height=64 if number % 2 else None,
        original_key=key_of(image_id, "original", "jpg"),
        sha256=sha256(str(number).encode()).digest(),
        bytes=len(photo(number)),
        content_type="image/jpeg",
        storage_class=StorageClass.GLACIER if sort.cold else None,
        restored_until=FUTURE if sort.recorded_restored else None,
        recipe=sort.recipe,
        attempts=3,
        forgiven=1,
        leased_until=LAPSED if sort.lapsed else None,
        thumb_key=keys[Variant.THUMB],
        medium_key=keys[Variant.MEDIUM],
        full_key=keys[Variant.FULL],
    )


def _values(row: Image) -> dict[str, object]:
    return {column.name: getattr(row, column.name) for column in images.c}


def _put(parts: Parts, row: Image, sort: Sort, number: int) -> None:
    key = row.original_key or ""
    parts.store.create(key, photo(number), content_type="image/jpeg")
    cold = open_store(parts.settings.store)
    blob = cold.details(key)
    if sort.archived and blob is not None:
        cold.move(key, to=StorageClass.GLACIER, etag=blob.etag)
        if sort.restored:
            cold.restore(key, tier=Tier.BULK, days=3)
    for variant in Variant:
        named = row.key(variant)
        if named and variant not in sort.missing:
            parts.store.replace(named, b"" if variant in sort.empty else b"old", content_type="image/jpeg")
