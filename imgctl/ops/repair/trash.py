"""The trash: orphans are copied there, looked at, and only then deleted; and brought back the same way.

Each step leaves a blob in one place or in both, never in none, so a kill at any instant loses nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from itertools import islice
from uuid import UUID

from imgctl.errors import BlobCorrupt, BlobExists, BlobMissing, ImgctlError
from imgctl.imaging.formats import SUPPORTED
from imgctl.keys import TRASH, named_image
from imgctl.model import VariantFormat
from imgctl.ops.erase.late import delete_if_erased
from imgctl.ops.parts import Parts
from imgctl.ops.ranges import sha256_of
from imgctl.ops.repair.order import Fate
from imgctl.ops.retry import StopSignal, read
from imgctl.run.threads import thread_pool
from imgctl.store.blobs.base import Blob, BlobStore
from imgctl.store.catalog.reservations import erased_among

BATCH = 64
_TYPES = {known.extension: known.content_type for known in SUPPORTED}
_TYPES |= {one.extension: one.content_type for one in VariantFormat}


def trash_key(key: str, day: date) -> str:
    """Where a blob goes that is taken away on this day."""
    return f"{TRASH}{day.isoformat()}/{key}"


def key_before(trashed: str) -> str | None:
    """Where a blob in the trash came from; None for a key outside the trash."""
    day, _, key = trashed.removeprefix(TRASH).partition("/")
    return key if trashed.startswith(TRASH) and day and key else None


def carry(store: BlobStore, blob: Blob, target: str, *, certain: Callable[[], bool]) -> bool:
    """Move a blob to another key: copied, compared, `certain` asked again, deleted; False where it was not certain.

    BlobMissing and BlobCorrupt for one that is gone or has changed, BlobExists where another content has the key.
    """
    if not blob.etag:
        raise BlobCorrupt(f"{blob.key} has no ETag to tell its content by", hint="move it by hand")
    try:
        store.copy(blob.key, target, etag=blob.etag, content_type=_content_type(blob.key))
    except BlobExists:
        # Copied by a run that was killed, or another content from another day.
        if _digest(store, blob.key) != _digest(store, target):
            raise
    there, still = store.head(target), store.head(blob.key)
    if there is None or there.size != blob.size:
        raise BlobCorrupt(f"{blob.key} did not arrive whole at {target}", hint="run the same again")
    if still is None or still.etag != blob.etag:
        raise BlobCorrupt(f"{blob.key} changed while it was moved", hint="run the same again")
    if not certain():
        store.delete([target])
        return False
    store.delete([blob.key])
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Undeleted:
    """One blob of the trash, the key it belongs to, and how it ended."""

    trashed: str
    key: str
    bytes: int
    fate: Fate
    detail: str = ""


def undelete(
    parts: Parts, day: str | None, *, apply: bool, stop: StopSignal, concurrency: int = 16
) -> Iterator[Undeleted]:
    """Bring back what went to the trash on a day (`2026-11-22`) or ever, or (dry) say what would; one outcome for each blob.

    A key that holds another content by now keeps it, and its blob stays in the trash. What was erased meanwhile does not
    come back.
    """
    blobs = parts.store.scan(prefix=f"{TRASH}{day}/" if day else TRASH)
    with thread_pool(concurrency, name="undelete") as threads:
        while not stop.is_set() and (batch := list(islice(blobs, BATCH))):
            done = list(threads.map(lambda blob: _one(parts, blob, apply=apply), batch))
            gone = _erased(parts, done, apply=apply, stop=stop)
            for one in done:
                erased = named_image(one.key) in gone
                yield replace(one, fate=Fate.LEFT, detail="its image was erased") if erased else one


def _erased(parts: Parts, done: Sequence[Undeleted], *, apply: bool, stop: StopSignal) -> set[UUID]:
    """The images that were erased, perhaps while their blobs were brought back: they are deleted again."""
    images = {image for one in done if (image := named_image(one.key)) is not None}
    if apply:
        return delete_if_erased(parts.catalog, parts.store, parts.settings.store, images, stop=stop)
    return read(parts.catalog, partial(erased_among, ids=images), stop=stop)


def _one(parts: Parts, blob: Blob, *, apply: bool) -> Undeleted:
    key = key_before(blob.key)
    if key is None:
        detail = "it is not shaped like a key of the trash"
        return Undeleted(trashed=blob.key, key="", bytes=blob.size, fate=Fate.LEFT, detail=detail)
    fate, detail = Fate.PLANNED, ""
    if apply:
        try:
            carry(parts.store, blob, key, certain=lambda: True)
            fate = Fate.MENDED
        except ImgctlError as error:
            fate, detail = Fate.FAILED, error.line
    return Undeleted(trashed=blob.key, key=key, bytes=blob.size, fate=fate, detail=detail)


def _content_type(key: str) -> str:
    """The content type that a key's extension stands for."""
    return _TYPES.get(key.rpartition(".")[2], "application/octet-stream")


def _digest(store: BlobStore, key: str) -> bytes:
    blob = store.head(key)
    if blob is None:
        raise BlobMissing(f"there is no blob {key}", hint="run the same again")
    return sha256_of(store, blob)
