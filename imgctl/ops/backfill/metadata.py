"""Metadata read once more from what is stored: captions, capture times and sizes that rows lack, or are to be told anew.

Only the beginnings of originals are read, by range requests, and where a format keeps its metadata elsewhere that place.
A row's id, key and `uploaded_at` never change (law 2).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import partial
from itertools import chain, islice
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
from imgctl.ops.backfill.checkpoint import Checkpoint, Reached, named_checkpoint
from imgctl.ops.backfill.order import Shard
from imgctl.ops.backfill.sidecars import Sidecars
from imgctl.ops.backfill.wanted import in_shard, unreadable
from imgctl.ops.ingest.describe import Description, TakenFrom, describe
from imgctl.ops.ingest.outcome import FileOutcome
from imgctl.ops.parts import Parts
from imgctl.ops.ranges import in_store
from imgctl.ops.retry import StopSignal, retry
from imgctl.ops.rows import FIRST, BadId, Chosen, pages
from imgctl.ops.state import state_directory
from imgctl.run.threads import end_threads, open_threads
from imgctl.store.catalog.backfill import FACT_COLUMNS, Fact, Metadata, incomplete, write_metadata
from imgctl.store.catalog.lookups import clock

BATCH = 64
CONCURRENCY = 16

Value = str | int | datetime | None


class Fate(StrEnum):
    """What became of a chosen row; `planned` was not read, because reading costs and needs --yes."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    PLANNED = "planned"
    NEEDS_RESTORE = "needs_restore"
    FAILED = "failed"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataOrder:
    """Which rows, which facts to replace though a row has them, where sidecars lie, and whether to read and to write."""

    chosen: Chosen = field(default_factory=Chosen)
    overwrite: frozenset[Fact] = frozenset()
    sidecars_from: str | None = None
    shard: Shard | None = None
    after: UUID = FIRST
    reads: bool = True
    writes: bool = True

    def wants(self, image: Image) -> bool:
        """Whether a row is to be looked at."""
        lacks = any(getattr(image, name) is None for names in FACT_COLUMNS.values() for name in names)
        return (
            image.status is not Status.UPLOADING and in_shard(image.id, self.shard) and (lacks or bool(self.overwrite))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One row's fate: what changed, column by column as (before, after), and what said when the photo was taken."""

    id: UUID
    fate: Fate
    changes: dict[str, tuple[Value, Value]] = field(default_factory=dict)
    taken_from: TakenFrom | None = None
    error: str | None = None
    reason: str | None = None
    storage_class: str | None = None
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looked:
    """A row, and what is to be written, or its outcome where nothing is."""

    image: Image
    told: Metadata | None = None
    taken_from: TakenFrom | None = None
    outcome: Outcome | None = None


class MetadataRun:
    """One run. `resumed` is how far an earlier run of the same kind came; `bad` are lines that name no row."""

    def __init__(self, order: MetadataOrder, parts: Parts, *, stop: StopSignal, anew: bool = False) -> None:
        self.resumed = Reached()
        self.bad: list[BadId] = []
        self.sidecars = Sidecars() if order.sidecars_from else None
        self._parts = parts
        self._stop = stop
        self._checkpoint = self._checkpoint_of(order)
        if self._checkpoint and not anew:
            self.resumed = self._checkpoint.load()
            order = replace(order, after=self.resumed.after)
        self._order = order
        self._pool = open_threads(CONCURRENCY, name="metadata")
        self._reached = self.resumed

    def index(self) -> Iterator[FileOutcome]:
        """Find the photos of the source tree that something describes; yields what could not be read."""
        if self.sidecars is not None and self._order.sidecars_from is not None:
            yield from self.sidecars.add(self._order.sidecars_from, stop=self._stop)

    def outcomes(self, *, limit: int | None = None) -> Iterator[Outcome]:
        """Look at what is wanted, `limit` rows at most; raises what ends the whole run."""
        left = limit
        for some in self._batches():
            if self._stop.is_set():
                break
            chosen = some if left is None else some[:left]
            left = None if left is None else left - len(chosen)
            yield from self._settle(chosen)
            if left == 0:
                break
        else:
            if self._checkpoint and not self._stop.is_set():
                self._checkpoint.remove()
                return
        if self._checkpoint:
            self._checkpoint.save(self._reached, now=True)

    def close(self) -> None:
        """End the threads, forget the source tree."""
        end_threads(self._pool)
        if self.sidecars is not None:
            self.sidecars.close()

    def _checkpoint_of(self, order: MetadataOrder) -> Checkpoint | None:
        if order.chosen.ids_from is not None or not order.writes:
            return None
        # A set has no order of its own.
        facts = ",".join(sorted(order.overwrite))
        whole = replace(order, overwrite=frozenset(), after=FIRST)
        parts = (self._parts.catalog.place, self._parts.settings.store.url, facts, repr(whole))
        return named_checkpoint("metadata", parts, directory=state_directory())

    def _batches(self) -> Iterator[list[Image]]:
        order = self._order
        where = incomplete(order.overwrite)
        found = pages(self._parts.catalog, order.chosen, stop=self._stop, after=order.after, where=where, bad=self.bad)
        wanted = (image for image in chain.from_iterable(found) if order.wants(image))
        return iter(lambda: list(islice(wanted, BATCH)), [])

    def _settle(self, images: Sequence[Image]) -> Iterator[Outcome]:
        """Read a batch at once, write it in one transaction, and note how far the run came."""
        now = retry(self._clock, stop=self._stop)
        paths = [self.sidecars.path_of(image.sha256) if self.sidecars else None for image in images]
        looked = list(self._pool.map(partial(self._look, now), images, paths))
        told = [one.told for one in looked if one.told is not None]
        kept = retry(partial(self._write, told), stop=self._stop) if told and self._order.writes else None
        outcomes = [one.outcome or _changed(one, kept) for one in looked]
        failed = sum(one.fate is Fate.FAILED for one in outcomes)
        cold = sum(one.fate is Fate.NEEDS_RESTORE for one in outcomes)
        reached = self._reached
        self._reached = Reached(after=images[-1].id, failed=reached.failed + failed, cold=reached.cold + cold)
        if self._checkpoint:
            self._checkpoint.save(self._reached)
        yield from outcomes

    def _clock(self) -> datetime:
        with self._parts.catalog.read() as connection:
            return clock(connection)

    def _write(self, told: Sequence[Metadata]) -> dict[UUID, Metadata]:
        with self._parts.catalog.write() as connection:
            return write_metadata(connection, told, overwrite=self._order.overwrite)

    def _look(self, now: datetime, image: Image, path: str | None) -> _Looked:
        """What is to be written of one row: from its original, or from a sidecar alone where that cannot be read."""
        cold = unreadable(image, now)
        if not cold and not self._order.reads:
            return _Looked(image=image, outcome=Outcome(id=image.id, fate=Fate.PLANNED, size=image.bytes or 0))
        header: Header | None = None
        if not cold:
            try:
                header = retry(partial(self._header, image), stop=self._stop, on=StoreUnavailable)
            except BlobArchived:
                cold = True
            except (BucketMissing, StoreDenied, StoreUnavailable):
                raise
            except (StoreError, NotAnImage, FormatUnsupported) as error:
                return _Looked(image=image, outcome=_failed(image, error))
        if header is None and path is None:
            return _Looked(image=image, outcome=_needs_restore(image))
        sidecars = self.sidecars.beside if self.sidecars and path else None
        said = describe(header or Header(kind=Format.JPEG), path=path or "", sidecars=sidecars)
        told = self._told(image, said, header)
        if told is None:
            fate = _needs_restore(image) if cold else Outcome(id=image.id, fate=Fate.UNCHANGED)
            return _Looked(image=image, outcome=fate)
        return _Looked(image=image, told=told, taken_from=said.taken_from)

    def _header(self, image: Image) -> Header:
        key = image.original_key or ""
        blob = self._parts.store.head(key)
        if blob is None:
            raise BlobMissing(f"the original {key} is not in the store", hint="imgctl audit")
        return recognise(in_store(self._parts.store, key, size=blob.size, etag=blob.etag))

    def _told(self, image: Image, said: Description, header: Header | None) -> Metadata | None:
        """What is new to the row; None where nothing is."""
        told = Metadata(id=image.id)
        if said.caption and self._takes(Fact.CAPTION, image.caption, said.caption):
            told = replace(told, caption=said.caption)
        # When some program last wrote a file is better than nothing, and worse than what a row says already.
        weak = said.taken_from is TakenFrom.EXIF_MODIFIED and image.taken_at is not None
        if said.taken_at and not weak and self._takes(Fact.TAKEN_AT, image.taken_at, said.taken_at):
            told = replace(told, taken_at=said.taken_at)
        size = header.size if header else None
        known = (image.width, image.height) if image.width and image.height else None
        if size and self._takes(Fact.SIZE, known, size):
            told = replace(told, width=size[0], height=size[1])
        return None if told == Metadata(id=image.id) else told

    def _takes(self, fact: Fact, old: object, new: object) -> bool:
        return old is None or (fact in self._order.overwrite and old != new)


def _changed(one: _Looked, kept: dict[UUID, Metadata] | None) -> Outcome:
    """What changed, as the row says now; `kept` is None where nothing was to be written."""
    image, told = one.image, one.told
    assert told is not None
    if kept is not None and image.id not in kept:
        return Outcome(id=image.id, fate=Fate.GONE)
    changes: dict[str, tuple[Value, Value]] = {}
    for name in chain.from_iterable(FACT_COLUMNS.values()):
        new = getattr(told, name)
        written = new if kept is None else getattr(kept[image.id], name)
        if new is not None and new == written and new != getattr(image, name):
            changes[name] = getattr(image, name), new
    taken_from = one.taken_from if "taken_at" in changes else None
    return Outcome(
        id=image.id, fate=Fate.CHANGED if changes else Fate.UNCHANGED, changes=changes, taken_from=taken_from
    )


def _needs_restore(image: Image) -> Outcome:
    return Outcome(
        id=image.id,
        fate=Fate.NEEDS_RESTORE,
        storage_class=image.storage_class or StorageClass.GLACIER,
        size=image.bytes or 0,
    )


def _failed(image: Image, error: StoreError | NotAnImage | FormatUnsupported) -> Outcome:
    return Outcome(id=image.id, fate=Fate.FAILED, error=error.line, reason=type(error).__name__, size=image.bytes or 0)
