"""The insert of a manifest: a HEAD and one read of each blob, hash, recognition; the ingest loop copies it."""

import hashlib
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar
from uuid import UUID

from imgctl.dates import filed_at, is_likely
from imgctl.errors import (
    KeyShapeError,
    StoreError,
)
from imgctl.imaging.probe import Header, probe_of
from imgctl.keys import first_id
from imgctl.model import Image, NewImage
from imgctl.ops.common.open import Parts
from imgctl.ops.common.range_reads import CHUNK_BYTES, chunks, in_store
from imgctl.ops.common.retry import Failures, StopSignal, read
from imgctl.ops.common.transactions import InProcess
from imgctl.ops.ingest.describe import describe
from imgctl.ops.ingest.loop import Ingest, IngestOrder
from imgctl.ops.ingest.original import Content, Prepared, StoredBlob, file_name, new_row, why
from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.ops.ingest.recognise import UNFIT, LeftOut, Recogniser, unfit
from imgctl.ops.insert.entries import Entry
from imgctl.run.budgets import ByteBudget
from imgctl.store.blobs.base import Blob
from imgctl.store.catalog.queries.lookups import by_ids

HEADER = 64 * 2**10
# Small, because each entry takes several requests.
CHUNK = 4

T = TypeVar("T", "Entry", "Source")
R = TypeVar("R")


def insert(
    entries: Iterable[Entry | FileOutcome],
    parts: Parts,
    *,
    recogniser: Recogniser,
    stop: StopSignal,
    dry_run: bool = False,
    peeks: bool = True,
) -> Generator[FileOutcome]:
    """Insert the blob of every entry; yields one outcome per entry, and leaves the source blobs unchanged.

    A dry run reads the first bytes of each blob if `peeks` is set.
    Starts no further blob after `stop` is set. Raises the error that ends the run (no bucket, no space, permission
    denied or store unreachable many times in a row, database unreachable) after the copies in flight have ended.
    """
    requests = parts.requests
    readers = max(1, requests // 2)
    order = IngestOrder(
        concurrency=max(1, requests - readers),
        memory_bytes=parts.settings.upload.memory,
        readers=readers,
        chunk=CHUNK,
        finish=True,
        dry_run=dry_run,
    )
    failures = Failures(requests + 1)
    sources = Sources(parts=parts, recogniser=recogniser, stop=stop, dry_run=dry_run, peeks=peeks, failures=failures)
    ingest = Ingest(entries, sources.read, order, store=parts.store, stop=stop)
    # First, because a HEAD cannot distinguish a missing bucket from a missing blob.
    ingest.bucket.result()
    ingest.start()
    yield from ingest.outcomes(InProcess(parts.catalog))


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An existing blob; `id` is that of its image, existing or new."""

    entry: Entry
    blob: Blob
    id: UUID
    started: float
    date_unlikely: bool

    @property
    def key(self) -> str:
        """Its key."""
        return self.entry.key

    def outcome(self, fate: Fate, reason: Reason = Reason.NONE, detail: str = "") -> FileOutcome:
        """Return the outcome of a blob that is not copied."""
        seconds = time.monotonic() - self.started
        return FileOutcome(
            path=self.key,
            fate=fate,
            reason=reason,
            detail=detail,
            bytes=self.blob.size,
            seconds=seconds,
            date_unlikely=self.date_unlikely,
        )

    def prepared(self, row: NewImage, *, date_unlikely: bool = False) -> Prepared[Entry]:
        """Return the blob ready to be copied to the key of its row."""
        return Prepared(
            source=self.entry,
            path=self.key,
            row=row,
            body=StoredBlob(key=self.key, etag=self.blob.etag),
            started=self.started,
            date_unlikely=self.date_unlikely or date_unlikely,
        )


@dataclass(slots=True, kw_only=True)
class Sources:
    """Looks up and reads the blobs of a manifest; thread-safe."""

    parts: Parts
    recogniser: Recogniser
    stop: StopSignal
    dry_run: bool
    peeks: bool
    failures: Failures

    def read(self, entries: Sequence[Entry], budget: ByteBudget) -> Iterator[Sequence[Prepared[Entry] | FileOutcome]]:
        """Yield each entry ready to be copied, or its outcome; raises the StoreError that ends the run."""
        sources: list[Source] = []
        for entry in entries:
            found = self._try(self._look_up, entry)
            if isinstance(found, Source):
                sources.append(found)
            else:
                yield (found,)
        known = self._known(sources)
        for source in sources:
            image = known.get(source.id)
            if image is not None and image.is_safe:
                yield (_present(source, image),)
            elif self.dry_run:
                yield (self._try(self._peek, source),)
            elif image is not None:
                yield (source.prepared(_promised(source, image)),)
            else:
                with budget.hold(min(source.blob.size, CHUNK_BYTES)):
                    yield (self._try(self._inspect, source),)

    def _known(self, sources: Sequence[Source]) -> dict[UUID, Image]:
        """Return the rows of these blobs from earlier runs, by id."""
        ids = {source.id for source in sources}
        return read(self.parts.catalog, partial(by_ids, ids=ids), stop=self.stop) if ids else {}

    def _try(self, act: Callable[[T], R], item: T) -> R | FileOutcome:
        """Return the result of `act` for an item, or its outcome if a request fails; raises if that ends the run."""
        size = item.blob.size if isinstance(item, Source) else None
        try:
            result = act(item)
        except KeyShapeError as error:
            # Such a blob may exist and have a size, but not every store reads it.
            detail = f"{error}; rename the blob, then run the same command again"
            return FileOutcome.failed(item.key, Reason.BAD_LINE, detail, size)
        except StoreError as error:
            self.failures.record(error)
            if self.failures.over is not None:
                raise
            reason, detail = why(error, changed=True)
            return FileOutcome.failed(item.key, reason, detail, size)
        self.failures.record(None)
        return result

    def _look_up(self, entry: Entry) -> Source | FileOutcome:
        """HEAD the blob of an entry; return an outcome if there is none."""
        started = time.monotonic()
        blob = self.parts.store.head(entry.key)
        if blob is None:
            return FileOutcome.failed(entry.key, Reason.MISSING, "the blob does not exist; check the key")
        given = [at for at in (entry.uploaded_at, blob.modified_at) if at is not None]
        at = next(filter(is_likely, given), datetime.now(UTC))
        image_id = derived_id(filed_at(at), user_id=entry.user_id, key=entry.key, etag=blob.etag)
        unlikely = not is_likely(given[0])
        return Source(entry=entry, blob=blob, id=image_id, started=started, date_unlikely=unlikely)

    def _inspect(self, source: Source) -> Prepared[Entry] | FileOutcome:
        """Read a blob once, in pieces; return an outcome if it should not be inserted."""
        digest, header = hashlib.sha256(), None
        try:
            for piece in chunks(self.parts.store, source.blob):
                header = header or self._recognised(source, piece)
                digest.update(piece)
        except UNFIT as error:
            return unfit(error, source.key, size=source.blob.size)
        if header is None:
            return self._empty(source)
        description = describe(header, path=source.key, caption=source.entry.caption)
        name = file_name(source.entry.name or source.key)
        probe = probe_of(header)
        content = Content(
            sha256=digest.digest(), size=source.blob.size, probe=probe, description=description, name=name
        )
        row = new_row(source.id, source.entry.user_id, content, prefix=self.parts.settings.store.originals_prefix)
        return source.prepared(row, date_unlikely=description.date_unlikely)

    def _peek(self, source: Source) -> FileOutcome:
        """Return the likely outcome of an insert, from the header at most, for a dry run."""
        if not source.blob.size:
            return self._empty(source)
        if not self.peeks:
            return source.outcome(Fate.PLANNED)
        try:
            self._recognised(source, self.parts.store.read(source.key, start=0, length=HEADER, etag=source.blob.etag))
        except UNFIT as error:
            return unfit(error, source.key, size=source.blob.size)
        return source.outcome(Fate.PLANNED)

    def _recognised(self, source: Source, head: bytes) -> Header:
        ranges = in_store(self.parts.store, source.key, size=source.blob.size, etag=source.blob.etag, head=head)
        return self.recogniser.recognise(ranges, source.key.rpartition("/")[2])

    def _empty(self, source: Source) -> FileOutcome:
        try:
            self.recogniser.recognise(b"", source.key.rpartition("/")[2])
        except LeftOut as error:
            return unfit(error, source.key, size=0)
        except UNFIT:
            pass
        # An empty blob fails under any name, because the manifest lists it explicitly.
        return source.outcome(
            Fate.FAILED, Reason.EMPTY, "not an image: the blob is empty; copy it again from its source"
        )


def derived_id(at: datetime, *, user_id: UUID, key: str, etag: str) -> UUID:
    """Return the UUIDv7 of a content under a key for a user: the same in every run, with the time `at`.

    A repeated insert of a manifest finds its rows by primary key, before anything is read or copied.
    """
    seed = user_id.bytes + key.encode() + b"\0" + etag.encode()
    random = int.from_bytes(hashlib.sha256(seed).digest()[:10]) & ((1 << 74) - 1)
    return UUID(int=first_id(at).int | random >> 62 << 64 | random & ((1 << 62) - 1))


def _present(source: Source, image: Image) -> FileOutcome:
    outcome = source.outcome(Fate.PRESENT, Reason.ALREADY_THERE, f"{image.status} as {image.id}")
    return replace(outcome, id=image.id, sha256=image.sha256)


def _promised(source: Source, image: Image) -> NewImage:
    """Return the row that an earlier run promised; the same id implies the same source content."""
    assert image.original_key is not None
    assert image.sha256 is not None
    return NewImage(
        id=image.id,
        user_id=image.user_id,
        uploaded_at=image.uploaded_at,
        original_key=image.original_key,
        sha256=image.sha256,
        bytes=source.blob.size,
        content_type=image.content_type or "application/octet-stream",
        width=image.width,
        height=image.height,
        caption=image.caption,
        taken_at=image.taken_at,
        name=image.name,
    )
