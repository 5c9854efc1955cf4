"""Preparation of a file for ingest: read once, hashed, recognised by its content, described and dated.

Files that an export marks as trashed, archived or hidden are left out here, by their sidecars alone.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from imgctl.dates import EPOCH, filed_at, is_likely
from imgctl.errors import StoreError
from imgctl.imaging.probe import probe_of
from imgctl.keys import new_id
from imgctl.ops.ingest.describe import Description, describe, from_list
from imgctl.ops.ingest.original import Content, Prepared, file_name, new_row
from imgctl.ops.ingest.outcome import FileOutcome, Reason
from imgctl.ops.ingest.photo_sidecars import PhotoSidecars
from imgctl.ops.ingest.recognise import SIDECAR_NAMES, UNFIT, Recogniser, unfit
from imgctl.ops.sources.base import STREAM_ABOVE, Read, SourceFile
from imgctl.ops.upload.options import UploadedAt, UploadOrder
from imgctl.run.budgets import ByteBudget

# Memory in bytes that a larger file takes, because it is streamed.
STREAM_HELD = 32 * 2**20
# The range of datetime, in microseconds since 1970.
EARLIEST = (datetime.min.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
LATEST = (datetime.max.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparing:
    """The recogniser, the key prefix of originals, and the options with which files are prepared."""

    recogniser: Recogniser
    prefix: str
    order: UploadOrder


def prepared(
    files: Sequence[SourceFile], how: Preparing, budget: ByteBudget
) -> Iterator[Prepared[SourceFile] | FileOutcome]:
    """Prepare one file after another, and reserve the bytes of each in the budget."""
    for found in files:
        held = found.size if found.source.spools else held_bytes(found.size)
        budget.acquire(held)
        result = prepare(found, how)
        needed = result.held if isinstance(result, Prepared) else 0
        if needed != held:
            # The file grew or shrank since the walk, or will not be put.
            budget.release(held)
            if needed:
                budget.acquire(needed)
        yield result


def prepare(found: SourceFile, how: Preparing) -> Prepared[SourceFile] | FileOutcome:
    """Read, hash and probe a file and its sidecars; return an outcome if it cannot or should not be uploaded."""
    started = time.monotonic()
    beside = PhotoSidecars(found.source.sidecars, found.beside)
    try:
        # Before the file itself, which a bucket would send in each run for nothing.
        if (left_out := _left_out(found, beside, how.order)) is not None:
            return left_out
    except StoreError as error:
        return _unreadable_sidecar(found, error)
    try:
        read = found.source.read(found, how.recogniser)
    except UNFIT as error:
        return unfit(error, found.path, size=found.size)
    if isinstance(read, FileOutcome):
        return read
    description = _other_content(found, read) or _described(found, read, beside)
    if isinstance(description, FileOutcome):
        if read.spool is not None:
            read.spool.close()
        return description
    at, date_unlikely = date_of(found, description, how.order.uploaded_at)
    content = Content(
        sha256=read.sha256,
        size=read.size,
        probe=probe_of(read.header),
        description=description,
        name=file_name(found.name or ("" if found.alone else found.beside)),
    )
    assert found.user_id is not None
    return Prepared(
        source=read.found,
        path=found.path,
        row=new_row(new_id(at), found.user_id, content, prefix=how.prefix),
        body=read.body,
        # A spooled file counts with its full size, so that the budget also bounds the spool's disk.
        held=read.size if read.spool is not None else held_bytes(read.size),
        spool=read.spool,
        started=started,
        date_unlikely=date_unlikely,
        description=description if description.beside else None,
    )


def _other_content(found: SourceFile, read: Read) -> FileOutcome | None:
    """Return the outcome of a file whose SHA-256 differs from its list's, or None."""
    if found.sha256 is None or found.sha256 == read.sha256:
        return None
    detail = f"its SHA-256 is {read.sha256.hex()}, the list has {found.sha256.hex()}: copy it again"
    return FileOutcome.failed(found.path, Reason.CONTENT_DIFFERS, detail, read.size)


def _described(found: SourceFile, read: Read, beside: PhotoSidecars) -> Description | FileOutcome:
    """Return the description of a file, or the outcome if a sidecar is unreadable."""
    if found.alone:
        return from_list(found.caption, found.taken_at)
    try:
        return describe(read.header, path=found.beside, caption=found.caption, taken_at=found.taken_at, beside=beside)
    except StoreError as error:
        return _unreadable_sidecar(found, error)


def _unreadable_sidecar(found: SourceFile, error: StoreError) -> FileOutcome:
    """Return the outcome of a file that, uploaded without its sidecar, would never get that metadata."""
    detail = f"its sidecar cannot be read: {error.message}; run the same command again"
    return FileOutcome.failed(found.path, Reason.SOURCE, detail, found.size)


def _left_out(found: SourceFile, beside: PhotoSidecars, order: UploadOrder) -> FileOutcome | None:
    """Return the outcome of a file that an export marks as trashed, archived or hidden, if the options exclude it.

    StoreError for an unreadable sidecar.
    """
    if found.alone or found.file_name.lower().endswith(SIDECAR_NAMES):
        # A sidecar may have the name of its own sidecar.
        return None
    if not order.takeout_trashed and beside.trashed:
        reason, detail = Reason.TRASHED, "in the bin of Google or Apple Photos; --takeout-trashed uploads it"
    elif not order.takeout_archived and beside.hidden:
        reason, detail = Reason.HIDDEN, "--no-takeout-archived"
    else:
        return None
    return FileOutcome.skipped(found.path, reason, detail, found.size)


def held_bytes(size: int) -> int:
    """Return the memory in bytes that a file of this size takes during upload: its size, or that of a stream."""
    return size if size <= STREAM_ABOVE else STREAM_HELD


def date_of(found: SourceFile, description: Description, choice: UploadedAt) -> tuple[datetime, bool]:
    """Return the date to file an image under, and whether an impossible date was ignored.

    The manifest's date comes first, then the chosen source; a picture without a capture time gets its file's mtime. If
    none of these is plausible it is now.
    """
    # Some file systems keep times outside the range of datetime.
    mtime = EPOCH + timedelta(microseconds=max(EARLIEST, min(found.mtime_ns // 1000, LATEST)))
    chosen = {UploadedAt.NOW: (), UploadedAt.MTIME: (mtime,), UploadedAt.TAKEN: (description.taken_at, mtime)}[choice]
    unlikely = description.date_unlikely
    for moment in filter(None, (found.uploaded_at, *chosen)):
        if is_likely(moment):
            return filed_at(moment), unlikely
        unlikely = True
    return datetime.now(UTC), unlikely
