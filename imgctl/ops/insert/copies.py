"""Promised originals on their way: from a source to the key that its row names."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from imgctl.errors import BlobExists, StoreError
from imgctl.model import Image
from imgctl.ops.insert.source import Inspected, Source, broken
from imgctl.ops.upload.outcome import Fate, FileOutcome, Reason
from imgctl.store.blobs.base import BlobStore
from imgctl.store.catalog.promises import Promised


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A promised original: from where to where, and the later sources of the same content."""

    source: Source
    image: UUID
    key: str
    content_type: str
    sha256: bytes | None
    followers: list[Source] = field(default_factory=list)


def resumed(source: Source, image: Image) -> Copy:
    """A copy that an earlier run promised; the id says that the source is still the same content."""
    assert image.original_key is not None
    kind = image.content_type or "application/octet-stream"
    return Copy(source=source, image=image.id, key=image.original_key, content_type=kind, sha256=image.sha256)


def begun(one: Inspected, row: Promised) -> Copy:
    """The copy of a source that has just been promised, or of one whose content an earlier run promised."""
    assert row.original_key is not None
    kind = one.probe.content_type
    return Copy(source=one.source, image=row.id, key=row.original_key, content_type=kind, sha256=one.sha256)


def add(copies: dict[UUID, Copy], copy: Copy) -> None:
    """One copy an image; later sources of the same content share its fate."""
    first = copies.setdefault(copy.image, copy)
    if first is not copy:
        first.followers.append(copy.source)


def copy_one(store: BlobStore, copy: Copy) -> StoreError | None:
    """Make one original's bytes safe under its key; a key that is taken holds this content or is damaged."""
    source = copy.source
    try:
        store.copy(source.entry.key, copy.key, etag=source.etag, content_type=copy.content_type)
    except BlobExists:
        return _compare(store, copy)
    except StoreError as error:
        return error
    return None


def _compare(store: BlobStore, copy: Copy) -> StoreError | None:
    try:
        there = store.head(copy.key)
    except StoreError as error:
        return error
    if there is not None and there.size == copy.source.blob.size:
        return None
    found = "nothing" if there is None else f"{there.size} bytes"
    message = f"{copy.key} was written before, but holds {found} instead of {copy.source.blob.size}"
    return StoreError(message, hint="imgctl show tells whose it is; ask before anything is deleted")


def copied(copy: Copy, failure: StoreError | None) -> Iterator[FileOutcome]:
    """What became of the source, and of those that follow it."""
    if failure is not None:
        for source in (copy.source, *copy.followers):
            yield broken(source, failure, image=copy.image).outcome
        return
    yield copy.source.outcome(Fate.UPLOADED, image=copy.image, sha256=copy.sha256)
    for source in copy.followers:
        detail = f"same content as {copy.source.entry.key}"
        yield source.outcome(Fate.PRESENT, Reason.SAME_CONTENT, detail, image=copy.image, sha256=copy.sha256)
