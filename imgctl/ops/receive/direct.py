"""Uploads that pass by: a promise and a signed PUT first, a look at what arrived and the confirmation after."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from imgctl.errors import BlobCorrupt, BlobMissing, ImageMissing, NotAnImage, StoreError, UsageError
from imgctl.imaging.formats import SUPPORTED
from imgctl.imaging.probe import Header, probe_of
from imgctl.keys import ORIGINAL, key_of, new_id, time_of
from imgctl.model import Image, NewImage, Promised, Status
from imgctl.ops.ingest.describe import describe
from imgctl.ops.ingest.recognise import Recogniser
from imgctl.ops.parts import Parts
from imgctl.ops.ranges import in_store
from imgctl.ops.receive.take import Taken, check_pixels
from imgctl.store.blobs.base import Blob, SignedPut
from imgctl.store.catalog.lookups import by_id
from imgctl.store.catalog.reservations import Seen, confirm, note, promise
from imgctl.units import count_of

PIECE_BYTES = 4 * 2**20
EXTENSIONS = {known.content_type: known.extension for known in SUPPORTED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """An original that its owner wants to put by himself: its size in bytes and its SHA-256."""

    user_id: UUID
    sha256: bytes
    bytes: int
    content_type: str
    caption: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """The image that stands for the announced bytes; `put` is None when they are safe already."""

    id: UUID
    put: SignedPut | None


def grant(parts: Parts, announced: Announced, *, seconds: int) -> Granted:
    """Promise the image and sign a PUT for it, good for `seconds`.

    NotAnImage for a content type imgctl does not keep, UsageError where the store takes no PUTs from outside.
    """
    if announced.content_type not in EXTENSIONS:
        known = ", ".join(sorted(EXTENSIONS))
        raise NotAnImage(f"{announced.content_type} is no type of picture imgctl keeps", hint=known)
    row = _row(announced, prefix=parts.settings.store.originals_prefix)
    # Signed before anything is promised: a store that cannot leaves no row behind.
    if _sign(parts, announced, row.original_key, seconds=seconds) is None:
        raise UsageError("this store takes no uploads from outside", hint="send the bytes to POST /images")
    promised = _promise(parts, row)
    if promised.status is not Status.UPLOADING:
        return Granted(id=promised.id, put=None)
    assert promised.original_key is not None
    return Granted(id=promised.id, put=_sign(parts, announced, promised.original_key, seconds=seconds))


def complete(parts: Parts, image: Image, recogniser: Recogniser) -> Taken:
    """Look at what arrived for a promise, and confirm it.

    BlobMissing while nothing is there, BlobCorrupt when it is not what was promised, NotAnImage, FormatUnsupported or
    ImageRejected when it is no picture that is taken or too large a one: the promise stays, and is kept or dropped by `repair`.
    """
    if image.status is not Status.UPLOADING:
        return Taken(id=image.id, created=False)
    key = image.original_key or ""
    blob = parts.store.head(key)
    if blob is None:
        raise BlobMissing("its bytes have not arrived", hint="PUT them to the signed URL first, then complete again")
    _check_promise(parts, image, blob)
    if not blob.etag:
        raise StoreError(f"{blob.key} has no ETag", hint="this store does not say whether a blob changed meanwhile")
    header = recogniser.recognise(in_store(parts.store, key, size=blob.size, etag=blob.etag), None)
    seen = probe_of(header)
    check_pixels(seen, max_pixels=parts.settings.work.max_pixels)
    if seen.content_type != image.content_type:
        raise BlobCorrupt(f"promised was {image.content_type}, it is {seen.content_type}", hint="announce it as that")
    return Taken(id=image.id, created=_confirm(parts, image, header))


def owned(parts: Parts, image_id: UUID) -> Image:
    """The row of an image; ImageMissing when there is none."""
    with parts.catalog.read() as connection:
        found = by_id(connection, image_id)
    if found is None:
        raise ImageMissing(f"no image {image_id}", hint="check the id")
    return found


def _row(announced: Announced, *, prefix: str) -> NewImage:
    image_id = new_id(datetime.now(UTC))
    return NewImage(
        id=image_id,
        user_id=announced.user_id,
        uploaded_at=time_of(image_id),
        original_key=key_of(image_id, ORIGINAL, EXTENSIONS[announced.content_type], prefix=prefix),
        sha256=announced.sha256,
        bytes=announced.bytes,
        content_type=announced.content_type,
        caption=announced.caption,
    )


def _sign(parts: Parts, announced: Announced, key: str, *, seconds: int) -> SignedPut | None:
    return parts.store.sign_create(
        key, seconds=seconds, size=announced.bytes, content_type=announced.content_type, sha256=announced.sha256
    )


def _promise(parts: Parts, row: NewImage) -> Promised:
    with parts.catalog.write() as connection:
        return promise(connection, [row])[0]


def _check_promise(parts: Parts, image: Image, blob: Blob) -> None:
    if blob.size != image.bytes:
        raise BlobCorrupt(
            f"{count_of(blob.size, 'byte')} arrived, promised were {image.bytes or 0:,}", hint="imgctl repair"
        )
    kept = parts.store.details(blob.key, checksum=True)
    if image.sha256 != ((kept and kept.sha256) or _sha256(parts, blob)):
        raise BlobCorrupt("what arrived has another SHA-256 than was promised", hint="imgctl repair")


def _sha256(parts: Parts, blob: Blob) -> bytes:
    digest = hashlib.sha256()
    for piece in _pieces(parts, blob):
        digest.update(piece)
    return digest.digest()


def _pieces(parts: Parts, blob: Blob) -> Iterator[bytes]:
    if not blob.etag:
        raise StoreError(f"{blob.key} has no ETag", hint="this store does not say whether a blob changed meanwhile")
    for start in range(0, blob.size, PIECE_BYTES):
        yield parts.store.read(blob.key, start=start, length=PIECE_BYTES, etag=blob.etag)


def _confirm(parts: Parts, image: Image, header: Header) -> bool:
    said, seen = describe(header, path=""), probe_of(header)
    known = Seen(id=image.id, width=seen.width, height=seen.height, taken_at=said.taken_at, caption=said.caption)
    with parts.catalog.write() as connection:
        note(connection, known)
        return image.id in confirm(connection, [image.id])
