"""The trash: orphans are copied there, checked, and only then deleted; undelete works the same way.

Each step leaves a blob in one place or in both, never in none, so a kill at any instant loses nothing.
"""

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from itertools import islice
from uuid import UUID

from imgctl.errors import BlobCorrupt, BlobExists, BlobMissing, ImgctlError
from imgctl.imaging.formats import SUPPORTED
from imgctl.keys import TRASH, named_image
from imgctl.model import VariantFormat
from imgctl.ops.common.open import Parts
from imgctl.ops.common.range_reads import sha256_of
from imgctl.ops.common.retry import StopSignal, read
from imgctl.ops.erase.late_puts import delete_if_erased
from imgctl.ops.repair.options import Fate
from imgctl.run.threads import thread_pool
from imgctl.store.blobs.base import Blob, BlobStore
from imgctl.store.catalog.queries.reservations import erased_among

BATCH = 64
_TYPES = {known.extension: known.content_type for known in SUPPORTED}
_TYPES |= {one.extension: one.content_type for one in VariantFormat}


def trash_key(key: str, day: date) -> str:
    """Return the trash key of a blob that is deleted on this day."""
    return f"{TRASH}{day.isoformat()}/{key}"


def key_before(trashed: str) -> str | None:
    """Return the original key of a blob in the trash; None for a key outside the trash."""
    day, _, key = trashed.removeprefix(TRASH).partition("/")
    return key if trashed.startswith(TRASH) and day and key else None


def carry(store: BlobStore, blob: Blob, target: str, *, certain: Callable[[], bool]) -> bool:
    """Move a blob to another key: copy, compare, call `certain`, delete; False if `certain` returned False.

    BlobMissing or BlobCorrupt if the blob is gone or has changed, BlobExists if the target has other content.
    """
    if not blob.etag:
        raise BlobCorrupt(f"{blob.key} has no ETag to identify its content", hint="move it by hand")
    try:
        store.copy(blob.key, target, etag=blob.etag, content_type=_content_type(blob.key))
    except BlobExists:
        # A killed run copied it already, or the target has other content.
        if _digest(store, blob.key) != _digest(store, target):
            raise
    there, still = store.head(target), store.head(blob.key)
    if there is None or there.size != blob.size:
        raise BlobCorrupt(f"{blob.key} did not arrive whole at {target}", hint="run the same command again")
    if still is None or still.etag != blob.etag:
        raise BlobCorrupt(f"{blob.key} changed while it was moved", hint="run the same command again")
    if not certain():
        store.delete([target])
        return False
    store.delete([blob.key])
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Undeleted:
    """One blob of the trash, its original key, and how its undelete ended."""

    trashed: str
    key: str
    bytes: int
    fate: Fate
    detail: str = ""


def undelete(
    parts: Parts, day: str | None, *, apply: bool, stop: StopSignal, concurrency: int = 16
) -> Iterator[Undeleted]:
    """Restore blobs trashed on a day (`2026-11-22`) or ever, or (dry run) plan it; yields one outcome for each blob.

    A key that has other content by now keeps it, and its blob stays in the trash. So do blobs of erased images; one whose
    image is erased while it is restored is deleted.
    """
    blobs = parts.store.scan(prefix=f"{TRASH}{day}/" if day else TRASH)
    with thread_pool(concurrency, name="undelete") as threads:
        while not stop.is_set() and (batch := list(islice(blobs, BATCH))):
            gone = read(parts.catalog, partial(erased_among, ids=_images(one.key for one in batch)), stop=stop)
            done = list(threads.map(partial(_one, parts, gone, apply=apply), batch))
            if apply:
                left = _images(one.key for one in done) - gone
                gone |= delete_if_erased(parts.catalog, parts.store, parts.settings.store, left, stop=stop)
            for one in done:
                erased = named_image(one.key) in gone
                yield replace(one, fate=Fate.LEFT, detail="its image was erased") if erased else one


def _images(keys: Iterable[str]) -> set[UUID]:
    return {image for key in keys if (image := named_image(key)) is not None}


def _one(parts: Parts, gone: AbstractSet[UUID], blob: Blob, *, apply: bool) -> Undeleted:
    key = key_before(blob.key)
    if key is None:
        detail = "it is not shaped like a key of the trash"
        return Undeleted(trashed=blob.key, key="", bytes=blob.size, fate=Fate.LEFT, detail=detail)
    fate, detail = Fate.PLANNED, ""
    if apply and named_image(key) not in gone:
        try:
            carry(parts.store, blob, key, certain=lambda: True)
            fate = Fate.MENDED
        except ImgctlError as error:
            fate, detail = Fate.FAILED, error.line
    return Undeleted(trashed=blob.key, key=key, bytes=blob.size, fate=fate, detail=detail)


def _content_type(key: str) -> str:
    """Return the content type of a key's extension."""
    return _TYPES.get(key.rpartition(".")[2], "application/octet-stream")


def _digest(store: BlobStore, key: str) -> bytes:
    blob = store.head(key)
    if blob is None:
        raise BlobMissing(f"there is no blob {key}", hint="run the same command again")
    return sha256_of(store, blob)
