"""Taking in one image over HTTP: its bytes come with the request, or the client puts them through a signed URL."""

from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event
from uuid import UUID

from sqlalchemy import Connection

from imgctl.errors import BlobCorrupt, BlobMissing, ImageMissing, ImageRejected, NotAnImage, StoreError, UsageError
from imgctl.imaging.formats import SUPPORTED
from imgctl.imaging.probe import Header, Probe, probe_of
from imgctl.imaging.source import on_disk
from imgctl.keys import ORIGINAL, key_of, new_id, time_of
from imgctl.model import Image, NewImage, Promised, Status
from imgctl.ops.common.open import Parts
from imgctl.ops.common.range_reads import in_store, stored_sha256
from imgctl.ops.erase.late_puts import delete_if_erased
from imgctl.ops.ingest.describe import describe
from imgctl.ops.ingest.original import Body, Content, as_promised, file_name, new_row, put_original
from imgctl.ops.ingest.recognise import Recogniser
from imgctl.ops.ingest.spool import Spool
from imgctl.ops.sources.base import STREAM_ABOVE
from imgctl.ops.upload.prepare_file import held_bytes
from imgctl.run.budgets import ByteBudget
from imgctl.run.telemetry import trace
from imgctl.store.blobs.base import SignedPut
from imgctl.store.catalog.queries.descriptions import Seen, note
from imgctl.store.catalog.queries.holds import LegalHold, held_among
from imgctl.store.catalog.queries.lookups import by_id
from imgctl.store.catalog.queries.reservations import confirm, promise
from imgctl.units import count_of

# The store's client copies the bytes that it puts (measured: 50 MB take about 100 MB during a put).
COPIES = 2
EXTENSIONS = {known.content_type: known.extension for known in SUPPORTED if known.taken}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """The metadata sent with the bytes: their owner, the caption, and the file's name."""

    user_id: UUID
    caption: str | None = None
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The image of the bytes, and the oldest hold on its owner.

    `created` if this request made the bytes safe, not if they were safe before.
    """

    image: Image
    created: bool
    hold: LegalHold | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """An original that its owner wants to put through a signed URL: its size in bytes and its SHA-256."""

    user_id: UUID
    sha256: bytes
    bytes: int
    content_type: str
    caption: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """The image of the announced bytes; `put` is None if they are safe already."""

    id: UUID
    put: SignedPut | None


def take(parts: Parts, spool: Spool, sent: Sent, *, budget: ByteBudget, recogniser: Recogniser) -> Taken:
    """Promise, put and confirm the contents of a spool; blocks until the bytes are safe.

    NotAnImage, FormatUnsupported or ImageRejected if it is not a picture, of a format not taken, or too large. After
    CatalogUnavailable and StoreUnavailable the same bytes later reuse the promised row. `budget` limits the memory of
    all callers together.
    """
    header = _header(spool, sent, recogniser)
    seen = probe_of(header)
    check_pixels(seen, max_pixels=parts.settings.work.max_pixels)
    # Only recorded: no file is opened under a client's name.
    name = file_name(sent.name)
    description = describe(header, path=name or "", caption=sent.caption)
    content = Content(sha256=spool.sha256, size=spool.size, probe=seen, description=description, name=name)
    row = new_row(new_id(datetime.now(UTC)), sent.user_id, content, prefix=parts.settings.store.originals_prefix)
    with budget.hold(COPIES * held_bytes(spool.size)):
        body = _body(spool)
        began = trace.clock()
        promised = _promise(parts, row)
        trace.note("promise", began)
        if promised.status is not Status.UPLOADING:
            return _present(parts, promised.id)
        began = trace.clock()
        put_original(parts.store, as_promised(row, promised), body)
        trace.note("put", began)
    began = trace.clock()
    taken = _confirmed(parts, promised.id)
    trace.note("confirm", began)
    return taken


def grant(parts: Parts, announced: Announced, *, seconds: int) -> Granted:
    """Promise the image and sign a PUT for it, valid for `seconds`.

    NotAnImage for a content type that imgctl does not keep, UsageError for a store without signed PUTs.
    """
    if announced.content_type not in EXTENSIONS:
        known = ", ".join(sorted(EXTENSIONS))
        raise NotAnImage(f"{announced.content_type} is not a content type imgctl keeps", hint=known)
    row = _row(announced, prefix=parts.settings.store.originals_prefix)
    # Signed before the promise: a store that cannot sign leaves no row behind.
    if _sign(parts, row, seconds=seconds) is None:
        raise UsageError("this store takes no direct uploads", hint="send the bytes to POST /images")
    promised = _promise(parts, row)
    if promised.status is not Status.UPLOADING:
        return Granted(id=promised.id, put=None)
    return Granted(id=promised.id, put=_sign(parts, as_promised(row, promised), seconds=seconds))


def complete(parts: Parts, image: Image, recogniser: Recogniser) -> Taken:
    """Check the blob that arrived for a promise, and confirm its row.

    BlobMissing if there is no blob, BlobCorrupt if it differs from the promise, NotAnImage, FormatUnsupported or
    ImageRejected if it is not a picture, of a format not taken, or too large: the row stays, for `repair` to decide.
    """
    if image.is_safe:
        return _present(parts, image.id)
    key = image.original_key or ""
    blob = parts.store.head(key)
    if blob is None:
        raise BlobMissing("its bytes have not arrived", hint="PUT them to the signed URL first, then complete again")
    if blob.size != image.bytes:
        arrived = count_of(blob.size, "byte")
        raise BlobCorrupt(f"{arrived} arrived instead of {image.bytes or 0:,}", hint="imgctl repair")
    if not blob.etag:
        raise StoreError(f"{blob.key} has no ETag", hint="without ETags a blob that changes meanwhile is not noticed")
    if image.sha256 != stored_sha256(parts.store, blob):
        raise BlobCorrupt("the bytes that arrived have another SHA-256 than promised", hint="imgctl repair")
    header = recogniser.recognise(in_store(parts.store, key, size=blob.size, etag=blob.etag), None)
    seen = probe_of(header)
    check_pixels(seen, max_pixels=parts.settings.work.max_pixels)
    if seen.content_type != image.content_type:
        detail = f"the picture is {seen.content_type}, promised was {image.content_type}"
        raise BlobCorrupt(detail, hint=f"announce it as {seen.content_type}")
    description = describe(header, path=image.name or "")
    known = Seen(
        id=image.id, width=seen.width, height=seen.height, taken_at=description.taken_at, caption=description.caption
    )
    return _confirmed(parts, image.id, known)


def owned(parts: Parts, image_id: UUID) -> Image:
    """Return the row of an image; ImageMissing if there is none."""
    with parts.catalog.read() as connection:
        return _row_of(connection, image_id)


def missing(image_id: UUID) -> ImageMissing:
    """Return the error for an id that no image has."""
    return ImageMissing(f"no image {image_id}", hint="check the id")


def check_pixels(seen: Probe, *, max_pixels: int) -> None:
    """Raise ImageRejected for a picture that no worker would render."""
    if seen.width and seen.height and seen.width * seen.height > max_pixels:
        raise ImageRejected(
            f"the picture is {seen.width:,} × {seen.height:,}, more than {count_of(max_pixels, 'pixel')}",
            hint="scale it down, or raise [work] max_pixels",
        )


def _confirmed(parts: Parts, image_id: UUID, known: Seen | None = None) -> Taken:
    """Confirm the row and return the image; if it was erased meanwhile, delete the bytes and raise ImageMissing."""
    try:
        with parts.catalog.write() as connection:
            if known is not None:
                note(connection, known)
            created = image_id in confirm(connection, [image_id])
            return _taken(connection, image_id, created=created)
    except ImageMissing:
        delete_if_erased(parts.catalog, parts.store, parts.settings.store, [image_id], stop=Event())
        raise


def _present(parts: Parts, image_id: UUID) -> Taken:
    with parts.catalog.read() as connection:
        return _taken(connection, image_id, created=False)


def _taken(connection: Connection, image_id: UUID, *, created: bool) -> Taken:
    image = _row_of(connection, image_id)
    return Taken(image=image, created=created, hold=held_among(connection, [image.user_id]).get(image.user_id))


def _row_of(connection: Connection, image_id: UUID) -> Image:
    found = by_id(connection, image_id)
    if found is None:
        raise missing(image_id)
    return found


def _header(spool: Spool, sent: Sent, recogniser: Recogniser) -> Header:
    name = sent.name or None
    if spool.whole_in_memory:
        return recogniser.recognise(spool.head, name)
    with spool.path.open("rb", buffering=0) as file:
        return recogniser.recognise(on_disk(file.fileno(), spool.size, head=spool.head), name)


def _body(spool: Spool) -> Body:
    """Return all the bytes, or the spool's path if they are too large for memory."""
    if spool.whole_in_memory:
        return spool.head
    return spool.path.read_bytes() if spool.size <= STREAM_ABOVE else spool.path


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
        name=file_name(announced.name or ""),
    )


def _sign(parts: Parts, row: NewImage, *, seconds: int) -> SignedPut | None:
    return parts.store.sign_create(
        row.original_key, seconds=seconds, size=row.bytes, content_type=row.content_type, sha256=row.sha256
    )


def _promise(parts: Parts, row: NewImage) -> Promised:
    with parts.catalog.write() as connection:
        return promise(connection, [row])[0]
