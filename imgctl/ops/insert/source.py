"""One blob to be inserted: looked at, then read once, hashed and recognised by its content."""

import hashlib
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

from imgctl.dates import filed_at, is_likely
from imgctl.errors import BlobArchived, BlobCorrupt, BlobMissing, KeyShapeError, StoreError
from imgctl.imaging.probe import Header, Probe, probe_of
from imgctl.keys import first_id
from imgctl.ops.ingest.describe import Description, describe
from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.ops.ingest.recognise import UNFIT, LeftOut, Recogniser, Unfit, verdict
from imgctl.ops.insert.entries import Entry
from imgctl.ops.ranges import in_store
from imgctl.store.blobs.base import Blob, BlobStore

# A photo is nearly always one read, which is one billed request; a larger blob is hashed in pieces.
PIECE = 8 * 2**20
HEADER = 64 * 2**10


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A blob that is there; `id` is the one its image has or will have."""

    entry: Entry
    blob: Blob
    etag: str
    id: UUID
    started: float
    date_unlikely: bool

    @property
    def name(self) -> str:
        """The last name of its key."""
        return self.entry.key.rpartition("/")[2]

    def outcome(
        self,
        fate: Fate,
        reason: Reason = Reason.NONE,
        detail: str = "",
        *,
        image: UUID | None = None,
        sha256: bytes | None = None,
    ) -> FileOutcome:
        """What became of it."""
        return FileOutcome(
            path=self.entry.key,
            fate=fate,
            reason=reason,
            detail=detail,
            id=image,
            sha256=sha256,
            bytes=self.blob.size,
            seconds=time.monotonic() - self.started,
            date_unlikely=self.date_unlikely,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """A source whose content is known, and what it says of itself."""

    source: Source
    sha256: bytes
    probe: Probe
    said: Description


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A request that failed: the outcome, and the error by which the run judges whether to go on."""

    outcome: FileOutcome
    error: StoreError


def derived_id(at: datetime, *, user_id: UUID, key: str, etag: str) -> UUID:
    """The UUIDv7 of one content under one key for one user: the same in every run, its time is `at`.

    So a manifest that is inserted again finds its rows by their primary key, before anything is read or copied.
    """
    seed = user_id.bytes + key.encode() + b"\0" + etag.encode()
    random = int.from_bytes(hashlib.sha256(seed).digest()[:10]) & ((1 << 74) - 1)
    return UUID(int=first_id(at).int | random >> 62 << 64 | random & ((1 << 62) - 1))


def look(store: BlobStore, entry: Entry) -> Source | FileOutcome | Broken:
    """Find the blob an entry names."""
    started = time.monotonic()
    try:
        blob = store.head(entry.key)
    except KeyShapeError as error:
        return FileOutcome(path=entry.key, fate=Fate.FAILED, reason=Reason.BAD_LINE, detail=str(error))
    except StoreError as error:
        return Broken(outcome=_failed(entry, error), error=error)
    if blob is None:
        return FileOutcome(
            path=entry.key, fate=Fate.FAILED, reason=Reason.MISSING, detail="there is no such blob; check the key"
        )
    etag = blob.etag
    given = [at for at in (entry.uploaded_at, blob.modified_at) if at is not None]
    at = next(filter(is_likely, given), datetime.now(UTC))
    image_id = derived_id(filed_at(at), user_id=entry.user_id, key=entry.key, etag=etag)
    return Source(
        entry=entry, blob=blob, etag=etag, id=image_id, started=started, date_unlikely=not is_likely(given[0])
    )


def inspect(store: BlobStore, source: Source, recogniser: Recogniser) -> Inspected | FileOutcome | Broken:
    """Read a blob once, in pieces; an outcome instead where it cannot or should not be inserted."""
    digest, start = hashlib.sha256(), 0
    header: Header | None = None
    try:
        while start < source.blob.size:
            piece = store.read(source.entry.key, start=start, length=PIECE, etag=source.etag)
            header = header or recogniser.recognise(
                in_store(store, source.entry.key, size=source.blob.size, etag=source.etag, head=piece), source.name
            )
            digest.update(piece)
            start += len(piece)
            if not piece:
                raise BlobCorrupt(f"{source.entry.key} ended early", hint="run the same again")
    except UNFIT as error:
        return _unfit(source, error)
    except StoreError as error:
        return broken(source, error)
    if header is None:
        return _empty(source, recogniser)
    said = describe(header, path=source.entry.key, caption=source.entry.caption)
    if said.date_unlikely:
        source = replace(source, date_unlikely=True)
    return Inspected(source=source, sha256=digest.digest(), probe=probe_of(header), said=said)


def peek(store: BlobStore, source: Source, recogniser: Recogniser) -> FileOutcome | Broken:
    """What `inspect` and a copy would come to, told from the header: nothing is changed."""
    if not source.blob.size:
        return _empty(source, recogniser)
    try:
        head = store.read(source.entry.key, start=0, length=HEADER, etag=source.etag)
        recogniser.recognise(
            in_store(store, source.entry.key, size=source.blob.size, etag=source.etag, head=head), source.name
        )
    except UNFIT as error:
        return _unfit(source, error)
    except StoreError as error:
        return broken(source, error)
    return source.outcome(Fate.PLANNED)


def broken(source: Source, error: StoreError, *, image: UUID | None = None) -> Broken:
    """A request about this source that failed."""
    reason, detail = Reason.STORE, error.line
    if isinstance(error, BlobCorrupt):
        reason = Reason.CHANGED
    if isinstance(error, BlobArchived):
        reason, detail = Reason.ARCHIVED, "lies in an archive class; restore it there, then run the same again"
    if isinstance(error, BlobMissing):
        reason = Reason.MISSING
    return Broken(outcome=source.outcome(Fate.FAILED, reason, detail, image=image), error=error)


def _empty(source: Source, recogniser: Recogniser) -> FileOutcome:
    try:
        recogniser.recognise(b"", source.name)
    except LeftOut as error:
        return _unfit(source, error)
    except UNFIT:
        pass
    # A manifest names its blobs one by one: an empty one is missed, whatever its name.
    return source.outcome(Fate.FAILED, Reason.EMPTY, "no picture: the blob is empty; copy it again from its source")


def _unfit(source: Source, error: Unfit) -> FileOutcome:
    why = verdict(error, source.name, size=source.blob.size)
    return source.outcome(why.fate, why.reason, why.detail)


def _failed(entry: Entry, error: StoreError) -> FileOutcome:
    return FileOutcome(path=entry.key, fate=Fate.FAILED, reason=Reason.STORE, detail=error.line)
