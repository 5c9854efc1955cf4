"""One file made ready to be promised: read once, hashed, recognised by its content."""

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from imgctl.dates import EPOCH, filed_at, is_likely
from imgctl.imaging.probe import Header, probe_of
from imgctl.imaging.source import on_disk
from imgctl.keys import new_id
from imgctl.ops.ingest.describe import Description, describe
from imgctl.ops.ingest.original import Content, Prepared, file_name, new_row
from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.ops.ingest.recognise import UNFIT, Recogniser, unfit
from imgctl.ops.ingest.sidecar import SidecarFiles
from imgctl.ops.upload.order import UploadedAt, UploadOrder
from imgctl.ops.upload.walk import LocalFile
from imgctl.run.window import ByteBudget

# A larger file is hashed in pieces first and streamed afterwards, so that it never fills the memory budget.
STREAM_ABOVE = 64 * 2**20
STREAM_HELD = 32 * 2**20
PIECE = 2**20
# What a datetime holds, in microseconds since 1970.
EARLIEST = (datetime.min.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
LATEST = (datetime.max.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparing:
    """How files are prepared: what recognises and describes them, where their originals go, what is asked of them."""

    recogniser: Recogniser
    sidecars: SidecarFiles
    prefix: str
    order: UploadOrder


def prepared(
    files: Sequence[LocalFile], how: Preparing, budget: ByteBudget
) -> Iterator[Prepared[LocalFile] | FileOutcome]:
    """Prepare one file after the other, the bytes of each held in the budget."""
    for found in files:
        held = held_bytes(found.size)
        budget.acquire(held)
        result = prepare(found, how)
        needed = result.held if isinstance(result, Prepared) else 0
        if needed != held:
            # It grew or shrank since the walk, or will not be put.
            budget.release(held)
            if needed:
                budget.acquire(needed)
        yield result


def prepare(found: LocalFile, how: Preparing) -> Prepared[LocalFile] | FileOutcome:
    """Read, hash and probe one file, and what lies beside it; an outcome instead where it cannot or should not be uploaded."""
    started = time.monotonic()
    try:
        read = _as_found(found, how.recogniser) or _as_it_is(found, how.recogniser)
    except UNFIT as error:
        return unfit(error, found.path, size=found.size)
    except OSError as error:
        return unreadable(found.path, error)
    if read is None:
        detail = "changed while reading; run again when nothing writes to it"
        return FileOutcome(path=found.path, fate=Fate.FAILED, reason=Reason.CHANGED, detail=detail)
    said = describe(read.header, path=found.path, caption=found.caption, sidecars=how.sidecars)
    if (away := _left_there(found, said, how.order)) is not None:
        return away
    at, date_unlikely = date_of(found, said, how.order.uploaded_at)
    content = Content(
        sha256=read.sha256,
        size=read.size,
        probe=probe_of(read.header),
        said=said,
        name=file_name(found.name or found.path),
    )
    assert found.user_id is not None
    return Prepared(
        source=found,
        path=found.path,
        row=new_row(new_id(at), found.user_id, content, prefix=how.prefix),
        body=Path(found.path) if read.body is None else read.body,
        held=held_bytes(read.size),
        started=started,
        date_unlikely=date_unlikely,
        said=said if said.beside else None,
    )


def _left_there(found: LocalFile, said: Description, order: UploadOrder) -> FileOutcome | None:
    """The outcome of what an export says was in the bin, or archived or hidden, where that is not wanted."""
    if said.trashed and not order.takeout_trashed:
        reason, detail = Reason.TRASHED, "it was in the bin of Google or Apple Photos; --takeout-trashed takes it"
    elif said.hidden and not order.takeout_archived:
        reason, detail = Reason.HIDDEN, "--no-takeout-archived"
    else:
        return None
    return FileOutcome(path=found.path, fate=Fate.SKIPPED, reason=reason, detail=detail, bytes=found.size)


def held_bytes(size: int) -> int:
    """How much memory a file of this size takes on its way: itself, or the pieces it is streamed in."""
    return size if size <= STREAM_ABOVE else STREAM_HELD


def unreadable(path: str, error: OSError) -> FileOutcome:
    """The outcome of a file that vanished after the walk, or that cannot be read."""
    detail = f"{(error.strerror or str(error)).lower()}; check the file and run again"
    reason = Reason.NOT_FOUND if isinstance(error, FileNotFoundError) else Reason.UNREADABLE
    return FileOutcome(path=path, fate=Fate.FAILED, reason=reason, detail=detail)


def date_of(found: LocalFile, said: Description, choice: UploadedAt) -> tuple[datetime, bool]:
    """The date a file is filed under, and whether one that it was given cannot be and was not believed.

    The manifest's, else the one chosen; a picture without a capture time was taken when its file was made. Where none of
    these can be it is now.
    """
    # Some file systems keep times that no calendar has.
    mtime = EPOCH + timedelta(microseconds=max(EARLIEST, min(found.mtime_ns // 1000, LATEST)))
    chosen = {UploadedAt.NOW: (), UploadedAt.MTIME: (mtime,), UploadedAt.TAKEN: (said.taken_at, mtime)}[choice]
    unlikely = said.date_unlikely
    for moment in filter(None, (found.uploaded_at, *chosen)):
        if is_likely(moment):
            return filed_at(moment), unlikely
        unlikely = True
    return datetime.now(UTC), unlikely


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """What was read; `body` is None where it is streamed later."""

    size: int
    body: bytes | None
    header: Header
    sha256: bytes


def _as_found(found: LocalFile, recogniser: Recogniser) -> _Read | None:
    """A file in one read, if it is afterwards as the walk found it; so are most, and few calls tell."""
    if found.size > STREAM_ABOVE:
        return None
    descriptor = os.open(found.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        body = os.read(descriptor, found.size + 1)
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if (len(body), after.st_size, after.st_mtime_ns) != (found.size, found.size, found.mtime_ns):
        return None
    header = recogniser.recognise(body, _name(found))
    return _Read(size=len(body), body=body, header=header, sha256=hashlib.sha256(body).digest())


def _as_it_is(found: LocalFile, recogniser: Recogniser) -> _Read | None:
    """A file too large for one piece, or one written to since the walk; None when it changes meanwhile."""
    with open(found.path, "rb", buffering=0) as file:  # noqa: PTH123  # a str keeps bytes that are no UTF-8
        before = os.fstat(file.fileno())
        large = before.st_size > STREAM_ABOVE
        head = file.read(PIECE) if large else file.read()
        # Wherever in the file its metadata lies, it is read before all of it is hashed: what is not a picture is not hashed.
        source = on_disk(file.fileno(), before.st_size, head=head) if large else head
        header, digest = recogniser.recognise(source, _name(found)), hashlib.sha256(head)
        while large and (piece := file.read(PIECE)):
            digest.update(piece)
        after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        return None
    size = before.st_size if large else len(head)
    return _Read(size=size, body=None if large else head, header=header, sha256=digest.digest())


def _name(found: LocalFile) -> str:
    return found.path.rpartition("/")[2]
