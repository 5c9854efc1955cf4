"""A user's images for export tests: rows of any name, caption and date, and an empty archive to upload them to."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from threading import Event
from uuid import UUID

from imgctl.config.catalog_store import CatalogSettings, StoreSettings
from imgctl.config.settings import Settings, UploadSettings
from imgctl.keys import key_of, new_id, time_of
from imgctl.model import Image, NewImage
from imgctl.ops.common.open import Parts, open_parts
from imgctl.ops.ingest.outcome import FileOutcome
from imgctl.ops.upload.options import Selection, UploadOrder
from imgctl.ops.upload.start import uploading
from imgctl.store.blobs.open import open_store
from imgctl.store.catalog.queries.reservations import confirm, promise
from tests.store.catalog.rows import walk
from tests.whole.conftest import photo

USER = UUID("0190b2b4-0000-7000-8000-000000000001")
OTHER = UUID("0190b2b4-0000-7000-8000-000000000002")
NOON = datetime(2024, 5, 17, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Columns of an image in the catalog."""

    name: str | None = None
    caption: str | None = None
    taken_at: datetime | None = None
    uploaded_at: datetime = NOON
    whole: bool = True


def settings_in(place: Path, template: Path, store: StoreSettings | None = None) -> Settings:
    """An empty archive in a directory."""
    place.mkdir(parents=True)
    shutil.copy(template, place / "catalog.db")
    return Settings(
        catalog=CatalogSettings(url=f"sqlite:///{place}/catalog.db"),
        store=store or StoreSettings(url=f"file://{place}/blobs"),
        upload=UploadSettings(concurrency=4, memory=64 * 2**20),
    )


def fill(parts: Parts, kept: Iterable[Kept], *, user: UUID = USER, first: int = 0) -> None:
    """Add rows and their originals: small JPEGs, all different."""
    for number, one in enumerate(kept, first):
        image_id, data = new_id(one.uploaded_at), photo(number)
        row = NewImage(
            id=image_id,
            user_id=user,
            uploaded_at=time_of(image_id),
            original_key=key_of(image_id, "original", "jpg"),
            sha256=sha256(data).digest(),
            bytes=len(data),
            content_type="image/jpeg",
            width=96,
            height=64,
            caption=one.caption,
            taken_at=one.taken_at,
            name=one.name,
        )
        with parts.catalog.write() as connection:
            promise(connection, [row])
        if one.whole:
            parts.store.create(row.original_key, data, content_type="image/jpeg")
            with parts.catalog.write() as connection:
                confirm(connection, [image_id])


def given_back(settings: Settings, source: Path | None = None, *, manifest: Path | None = None) -> list[FileOutcome]:
    """Upload an exported bag, or the files in one of its tables."""
    store = open_store(settings.store)
    selection, order = Selection(paths=(str(source),), user_id=USER), UploadOrder()
    if manifest is not None:
        selection = Selection(manifest=str(manifest))
    reports: list[str] = []
    with uploading(
        settings,
        selection,
        order,
        store=store,
        journal=None,
        stop=Event(),
        report=reports.append,
    ) as outcomes:
        return list(outcomes)


def images_of(settings: Settings, user: UUID = USER) -> list[Image]:
    """A user's rows."""
    with open_parts(settings) as parts, parts.catalog.read() as connection:
        return [image for image in walk(connection) if image.user_id == user]


def values_of(images: Iterable[Image]) -> set[tuple[object, ...]]:
    """The values that must round-trip: hashes, captions, dates and names."""
    return {
        (one.sha256, one.caption, one.taken_at, one.uploaded_at, one.name, one.bytes, one.content_type)
        for one in images
    }
