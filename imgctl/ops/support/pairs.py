"""The other files of one exposure: a Live Photo's film or picture, the raw beside its JPEG."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from imgctl.errors import ImgctlError
from imgctl.imaging.formats import KNOWN, Kind, format_by_name
from imgctl.imaging.probe import recognise
from imgctl.model import Image, is_archived
from imgctl.ops.parts import Parts
from imgctl.ops.ranges import in_store
from imgctl.store.blobs.base import BlobStore
from imgctl.store.catalog.lookups import alike

# A phone's film and picture are dated apart by its length, a camera's raw and JPEG not at all.
_WITHIN_SECONDS = 5.0
_RAW_WITHIN = timedelta(seconds=2)
_KINDS = {frozenset((Kind.PICTURE, Kind.FILM)), frozenset((Kind.PICTURE, Kind.RAW))}


class Pair(StrEnum):
    """What two files of one exposure are together."""

    LIVE_PHOTO = "live_photo"
    RAW_AND_PICTURE = "raw_and_picture"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """Another image of the same exposure, and what both are."""

    image: Image
    pair: Pair


def pairs_of(parts: Parts, image: Image) -> tuple[Paired, ...]:
    """The owner's other images that belong to this one.

    Rows of the same name but for its ending, or taken within five seconds, are candidates: those uploaded nearest to it. A raw and its picture share
    the name and the time; a Live Photo's files name the same ContentIdentifier, for which their heads are read.
    """
    with parts.catalog.read() as connection:
        found = alike(connection, image, stem=_stem(image), seconds=_WITHIN_SECONDS)
    kind = _kind(image)
    candidates = [one for one in found if frozenset((kind, _kind(one))) in _KINDS]
    return tuple(_paired(parts.store, image, candidates))


def _paired(store: BlobStore, image: Image, candidates: list[Image]) -> Iterator[Paired]:
    identifier: str | None = None
    for one in candidates:
        if Kind.RAW in (_kind(image), _kind(one)):
            if _is_same_exposure(image, one):
                yield Paired(image=one, pair=Pair.RAW_AND_PICTURE)
            continue
        identifier = _identifier(store, image) if identifier is None else identifier
        if identifier and identifier == _identifier(store, one):
            yield Paired(image=one, pair=Pair.LIVE_PHOTO)


def _is_same_exposure(image: Image, other: Image) -> bool:
    if not _stem(image) or _stem(image).casefold() != _stem(other).casefold():
        return False
    # Names of cameras begin again after 9,999.
    return image.taken_at is None or other.taken_at is None or abs(image.taken_at - other.taken_at) <= _RAW_WITHIN


def _identifier(store: BlobStore, image: Image) -> str:
    """What the original's metadata call the Live Photo; empty where they cannot be read now."""
    key = image.original_key
    if key is None or (is_archived(image.storage_class) and image.restored_until is None):
        return ""
    try:
        blob = store.head(key)
        if blob is None or not blob.etag:
            return ""
        return recognise(in_store(store, key, size=blob.size, etag=blob.etag)).content_identifier
    except ImgctlError:
        return ""


def _stem(image: Image) -> str:
    return (image.name or "").rpartition(".")[0]


def _kind(image: Image) -> Kind | None:
    # A key's ending is given by content.
    known = format_by_name(image.original_key or "")
    return KNOWN[known].kind if known else None
