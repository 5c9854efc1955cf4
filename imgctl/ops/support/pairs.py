"""The other files of one exposure: a Live Photo's film or picture, the raw beside its JPEG."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from imgctl.errors import ImgctlError
from imgctl.imaging.formats import KNOWN, Kind, format_by_name
from imgctl.imaging.probe import recognise
from imgctl.model import Image, is_archived
from imgctl.ops.common.parts import Parts
from imgctl.ops.common.ranges import in_store
from imgctl.store.blobs.base import BlobStore
from imgctl.store.catalog.queries.lookups import alike

# A phone's film and picture differ in time by the film's length; a camera's raw and JPEG have the same time.
_WITHIN_SECONDS = 5.0
_RAW_WITHIN = timedelta(seconds=2)
_KINDS = {frozenset((Kind.PICTURE, Kind.FILM)), frozenset((Kind.PICTURE, Kind.RAW))}


class Pair(StrEnum):
    """The kind of a pair of files of one exposure."""

    LIVE_PHOTO = "live_photo"
    RAW_AND_PICTURE = "raw_and_picture"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """Another image of the same exposure, and the kind of pair."""

    image: Image
    pair: Pair


def pairs_of(parts: Parts, image: Image) -> tuple[Paired, ...]:
    """Return the owner's other images of the same exposure.

    Candidates are rows with the same name but for the extension, or taken within five seconds: those uploaded nearest
    to it. A raw and its picture share name and time; a Live Photo's files have the same ContentIdentifier, which is read
    from the beginning of each file.
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
    # Cameras' file names restart after 9,999.
    return image.taken_at is None or other.taken_at is None or abs(image.taken_at - other.taken_at) <= _RAW_WITHIN


def _identifier(store: BlobStore, image: Image) -> str:
    """Return the Live Photo's ContentIdentifier from the original's metadata; empty if that cannot be read now."""
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
    # A key's extension follows from the content.
    known = format_by_name(image.original_key or "")
    return KNOWN[known].kind if known else None
