"""Promised originals on their way: from a source to the key that its row names."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from uuid import UUID

from imgctl.errors import BlobExists, StoreError
from imgctl.keys import time_of
from imgctl.model import Image, NewImage, Promised
from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.ops.insert.source import Source, broken
from imgctl.store.blobs.base import BlobStore
from imgctl.units import count_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A promised original: from where to the key of its row, and the later sources of the same content."""

    source: Source
    row: NewImage
    followers: list[Source] = field(default_factory=list)

    def promised(self) -> NewImage:
        """The row as it was promised, should `repair` have dropped it meanwhile."""
        return self.row


def resumed(source: Source, image: Image) -> Copy:
    """A copy that an earlier run promised; the id says that the source is still the same content."""
    assert image.original_key is not None
    assert image.sha256 is not None
    row = NewImage(
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
    )
    return Copy(source=source, row=row)


def begun(source: Source, row: NewImage, promised: Promised) -> Copy:
    """The copy of a source that has just been promised, or of one whose content an earlier run promised."""
    assert promised.original_key is not None
    at = time_of(promised.id)
    return Copy(source=source, row=replace(row, id=promised.id, uploaded_at=at, original_key=promised.original_key))


def add(copies: dict[UUID, Copy], copy: Copy) -> None:
    """One copy an image; later sources of the same content share its fate."""
    first = copies.setdefault(copy.row.id, copy)
    if first is not copy:
        first.followers.append(copy.source)


def copy_one(store: BlobStore, copy: Copy) -> StoreError | None:
    """Make one original's bytes safe under its key; a key that is taken holds this content or is damaged."""
    source = copy.source
    try:
        store.copy(source.entry.key, copy.row.original_key, etag=source.etag, content_type=copy.row.content_type)
    except BlobExists:
        return _compare(store, copy)
    except StoreError as error:
        return error
    return None


def _compare(store: BlobStore, copy: Copy) -> StoreError | None:
    key = copy.row.original_key
    try:
        there = store.head(key)
    except StoreError as error:
        return error
    if there is not None and there.size == copy.source.blob.size:
        return None
    found = "nothing" if there is None else count_of(there.size, "byte")
    message = f"{key} was written before, but holds {found} instead of {copy.source.blob.size}"
    return StoreError(message, hint="imgctl show tells whose it is; ask before anything is deleted")


def copied(copy: Copy, failure: StoreError | None) -> Iterator[FileOutcome]:
    """What became of the source, and of those that follow it."""
    if failure is not None:
        for source in (copy.source, *copy.followers):
            yield broken(source, failure, image=copy.row.id).outcome
        return
    yield copy.source.outcome(Fate.UPLOADED, image=copy.row.id, sha256=copy.row.sha256)
    for source in copy.followers:
        detail = f"same content as {copy.source.entry.key}"
        yield source.outcome(Fate.PRESENT, Reason.SAME_CONTENT, detail, image=copy.row.id, sha256=copy.row.sha256)
