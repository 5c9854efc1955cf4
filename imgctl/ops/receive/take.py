"""From received bytes to an image whose bytes are safe; whoever sends the same again gets the same image."""

import time
from dataclasses import dataclass
from uuid import UUID

from imgctl.errors import ImageRejected
from imgctl.imaging.probe import Header, Probe, probe_of
from imgctl.imaging.source import on_disk
from imgctl.model import Promised, Status
from imgctl.ops.ingest.describe import describe
from imgctl.ops.ingest.recognise import Recogniser
from imgctl.ops.parts import Parts
from imgctl.ops.receive.spool import Spool
from imgctl.ops.upload.order import UploadOrder
from imgctl.ops.upload.prepare import STREAM_ABOVE, Prepared, held_bytes
from imgctl.ops.upload.puts import Put, put_original
from imgctl.ops.upload.rows import new_row
from imgctl.ops.upload.walk import Found
from imgctl.run.window import ByteBudget
from imgctl.store.catalog.reservations import confirm, promise
from imgctl.units import count_of

# The store's client works on a copy of what it puts (measured: 50 MB cost about 100 MB for the length of a put).
COPIES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What came with the bytes: whose they are, what is said of them, and the name of the file they were."""

    user_id: UUID
    caption: str | None = None
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The image that stands for the bytes; `created` when they became safe just now, not when they were already."""

    id: UUID
    created: bool


def take(parts: Parts, spool: Spool, sent: Sent, *, budget: ByteBudget, recogniser: Recogniser) -> Taken:
    """Promise, put and confirm what a spool holds; blocks until the bytes are safe.

    NotAnImage, FormatUnsupported or ImageRejected for what is no picture that is taken or too large a one;
    CatalogUnavailable and StoreUnavailable leave a promise that the same bytes later keep. `budget` bounds what all callers hold in memory at once.
    """
    header = _header(spool, sent, recogniser)
    check_pixels(probe_of(header), max_pixels=parts.settings.work.max_pixels)
    with budget.hold(COPIES * held_bytes(spool.size)):
        prepared = _prepared(spool, sent, header)
        promised = _promise(parts, prepared)
        if promised.status is not Status.UPLOADING:
            return Taken(id=promised.id, created=False)
        put_original(parts.store, Put(prepared=prepared, promised=promised))
    return Taken(id=promised.id, created=_confirm(parts, promised.id))


def check_pixels(seen: Probe, *, max_pixels: int) -> None:
    """Raise ImageRejected for a picture that no worker would render."""
    if seen.width and seen.height and seen.width * seen.height > max_pixels:
        raise ImageRejected(
            f"the picture is {seen.width:,} × {seen.height:,}, more than {count_of(max_pixels, 'pixel')}",
            hint="scale it down, or raise [work] max_pixels",
        )


def _header(spool: Spool, sent: Sent, recogniser: Recogniser) -> Header:
    name = sent.name or None
    if spool.whole_in_memory:
        return recogniser.recognise(spool.head, name)
    with spool.path.open("rb", buffering=0) as file:
        return recogniser.recognise(on_disk(file.fileno(), spool.size, head=spool.head), name)


def _prepared(spool: Spool, sent: Sent, header: Header) -> Prepared:
    # Only the last name, for the date that may be in it: nothing is ever opened under a client's name.
    name = sent.name.replace("\\", "/").rpartition("/")[2][-255:]
    said = describe(header, path=name, caption=sent.caption)
    found = Found(path=str(spool.path), size=spool.size, mtime_ns=time.time_ns(), inode=0, user_id=sent.user_id)
    return Prepared(
        found=found,
        size=spool.size,
        body=_body(spool),
        sha256=spool.sha256,
        probe=probe_of(header),
        caption=said.caption,
        taken_at=said.taken_at,
        date_unlikely=said.date_unlikely,
        started=time.monotonic(),
    )


def _body(spool: Spool) -> bytes | None:
    """All the bytes, or None where they are too many to be held."""
    if spool.whole_in_memory:
        return spool.head
    return spool.path.read_bytes() if spool.size <= STREAM_ABOVE else None


def _promise(parts: Parts, prepared: Prepared) -> Promised:
    prefix = parts.settings.store.originals_prefix
    order = UploadOrder(concurrency=1, memory_bytes=STREAM_ABOVE, originals_prefix=prefix)
    row = new_row(prepared, order)
    with parts.catalog.write() as connection:
        return promise(connection, [row])[0]


def _confirm(parts: Parts, image_id: UUID) -> bool:
    with parts.catalog.write() as connection:
        return image_id in confirm(connection, [image_id])
