"""Metadata of one row, read again from its original: the missing caption, capture time and size.

Only the beginnings of originals are read, by range requests, and other ranges if a format keeps its metadata there.
A row's id, key and `uploaded_at` never change (law 2).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import partial
from itertools import chain
from uuid import UUID

from imgctl.errors import (
    BlobArchived,
    BlobMissing,
    BucketMissing,
    FormatUnsupported,
    NotAnImage,
    StoreDenied,
    StoreError,
    StoreUnavailable,
)
from imgctl.imaging.formats import Format
from imgctl.imaging.probe import Header, recognise
from imgctl.model import Image, Status, StorageClass
from imgctl.ops.backfill.options import Shard
from imgctl.ops.backfill.wanted import in_shard
from imgctl.ops.common.range_reads import in_store
from imgctl.ops.common.retry import StopSignal, retry
from imgctl.ops.common.rows import Chosen
from imgctl.ops.ingest.describe import Description, TakenFrom, describe
from imgctl.ops.ingest.photo_sidecars import PhotoSidecars
from imgctl.ops.ingest.sidecar import SidecarFiles
from imgctl.store.blobs.base import BlobStore
from imgctl.store.catalog.queries.backfill import FACT_COLUMNS, Fact, Metadata

Value = str | int | datetime | None


class Fate(StrEnum):
    """The result for a chosen row; `planned` rows were not read, because reading costs money and needs --yes."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    PLANNED = "planned"
    NEEDS_RESTORE = "needs_restore"
    FAILED = "failed"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataOrder:
    """The rows, the facts to overwrite even if a row has them, the place of sidecars, and whether to read and to write."""

    chosen: Chosen = field(default_factory=Chosen)
    overwrite: frozenset[Fact] = frozenset()
    sidecars_from: str | None = None
    shard: Shard | None = None
    reads: bool = True
    writes: bool = True

    def wants(self, image: Image) -> bool:
        """Whether a row must be examined."""
        lacks = any(getattr(image, name) is None for names in FACT_COLUMNS.values() for name in names)
        safe = image.status is not Status.UPLOADING and in_shard(image.id, self.shard)
        return safe and (lacks or bool(self.overwrite))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One row's fate: the changes by column as (before, after), and the source of its capture time."""

    id: UUID
    fate: Fate
    changes: dict[str, tuple[Value, Value]] = field(default_factory=dict)
    taken_from: TakenFrom | None = None
    error: str | None = None
    reason: str | None = None
    storage_class: str | None = None
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """A row, and the metadata to write; or its outcome if there is nothing to write."""

    image: Image
    found: Metadata | None = None
    taken_from: TakenFrom | None = None
    outcome: Outcome | None = None

    def settled(self, kept: Mapping[UUID, Metadata] | None) -> Outcome:
        """Return the outcome, given the values `kept` in the rows after the write; `kept` is None without a write."""
        image, found = self.image, self.found
        if found is None:
            return self.outcome or Outcome(id=image.id, fate=Fate.UNCHANGED)
        if kept is not None and image.id not in kept:
            return Outcome(id=image.id, fate=Fate.GONE)
        changes: dict[str, tuple[Value, Value]] = {}
        for name in chain.from_iterable(FACT_COLUMNS.values()):
            new = getattr(found, name)
            written = new if kept is None else getattr(kept[image.id], name)
            if new is not None and new == written and new != getattr(image, name):
                changes[name] = getattr(image, name), new
        fate = Fate.CHANGED if changes else Fate.UNCHANGED
        taken_from = self.taken_from if "taken_at" in changes else None
        return Outcome(id=image.id, fate=fate, changes=changes, taken_from=taken_from)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Reads the metadata of rows, in any thread."""

    order: MetadataOrder
    store: BlobStore
    sidecars: SidecarFiles | None
    stop: StopSignal

    def look(self, now: datetime, image: Image, path: str | None) -> Looked:
        """Find the metadata to write for one row: from its original, or from a sidecar alone if that cannot be read."""
        cold = image.awaits_restore(now)
        if not cold and not self.order.reads:
            return Looked(image=image, outcome=Outcome(id=image.id, fate=Fate.PLANNED, size=image.bytes or 0))
        header: Header | None = None
        if not cold:
            try:
                header = retry(partial(self._header, image), stop=self.stop, on=StoreUnavailable)
            except BlobArchived:
                cold = True
            except (BucketMissing, StoreDenied, StoreUnavailable):
                raise
            except (StoreError, NotAnImage, FormatUnsupported) as error:
                return Looked(image=image, outcome=_failed(image, error))
        if header is None and path is None:
            return Looked(image=image, outcome=_needs_restore(image))
        beside = PhotoSidecars(self.sidecars, path) if path else None
        description = describe(header or Header(kind=Format.JPEG), path=path or "", beside=beside)
        found = self._new(image, description, header)
        if found is None:
            return Looked(image=image, outcome=_needs_restore(image) if cold else None)
        return Looked(image=image, found=found, taken_from=description.taken_from)

    def _header(self, image: Image) -> Header:
        key = image.original_key or ""
        blob = self.store.head(key)
        if blob is None:
            raise BlobMissing(f"the original {key} is not in the store", hint="imgctl audit")
        return recognise(in_store(self.store, key, size=blob.size, etag=blob.etag))

    def _new(self, image: Image, description: Description, header: Header | None) -> Metadata | None:
        """Return the metadata that is new to the row; None if there is none."""
        found = Metadata(id=image.id)
        if description.caption and self._takes(Fact.CAPTION, image.caption, description.caption):
            found = replace(found, caption=description.caption)
        # EXIF's time of the last modification is better than none, and worse than the row's own time.
        weak = description.taken_from is TakenFrom.EXIF_MODIFIED and image.taken_at is not None
        if description.taken_at and not weak and self._takes(Fact.TAKEN_AT, image.taken_at, description.taken_at):
            found = replace(found, taken_at=description.taken_at)
        size = header.size if header else None
        known = (image.width, image.height) if image.width and image.height else None
        if size and self._takes(Fact.SIZE, known, size):
            found = replace(found, width=size[0], height=size[1])
        return None if found == Metadata(id=image.id) else found

    def _takes(self, fact: Fact, old: object, new: object) -> bool:
        return old is None or (fact in self.order.overwrite and old != new)


def _needs_restore(image: Image) -> Outcome:
    storage_class = image.storage_class or StorageClass.GLACIER
    return Outcome(id=image.id, fate=Fate.NEEDS_RESTORE, storage_class=storage_class, size=image.bytes or 0)


def _failed(image: Image, error: StoreError | NotAnImage | FormatUnsupported) -> Outcome:
    return Outcome(id=image.id, fate=Fate.FAILED, error=error.line, reason=type(error).__name__, size=image.bytes or 0)
