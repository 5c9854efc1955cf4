"""From a prepared file to its row, and from its fate to its outcome."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from imgctl.dates import EPOCH, filed_at, is_likely
from imgctl.errors import ImgctlError
from imgctl.keys import ORIGINAL, key_of, new_id, time_of
from imgctl.model import NewImage
from imgctl.ops.ingest.outcome import Fate, FileOutcome, Reason
from imgctl.ops.upload.order import UploadedAt, UploadOrder
from imgctl.ops.upload.prepare import Prepared
from imgctl.ops.upload.puts import Put

# What a datetime holds, in microseconds since 1970.
EARLIEST = (datetime.min.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
LATEST = (datetime.max.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


def new_row(prepared: Prepared, order: UploadOrder) -> NewImage:
    """The row that promises a file, with a new id of its `uploaded_at`."""
    found, seen = prepared.found, prepared.probe
    assert found.user_id is not None
    image_id = new_id(date_of(prepared, order.uploaded_at)[0])
    return NewImage(
        id=image_id,
        user_id=found.user_id,
        uploaded_at=time_of(image_id),
        original_key=key_of(image_id, ORIGINAL, seen.extension, prefix=order.originals_prefix),
        sha256=prepared.sha256,
        bytes=prepared.size,
        content_type=seen.content_type,
        width=seen.width,
        height=seen.height,
        caption=prepared.caption,
        taken_at=prepared.taken_at,
    )


def kept_row(put: Put, order: UploadOrder) -> NewImage:
    """The row of a promise that was kept, under the id and the key that its bytes have."""
    row, promised = new_row(put.prepared, order), put.promised
    key = promised.original_key or row.original_key
    return replace(row, id=promised.id, uploaded_at=time_of(promised.id), original_key=key)


def date_of(prepared: Prepared, choice: UploadedAt) -> tuple[datetime, bool]:
    """The date a file is filed under, and whether one that it was given cannot be and was not believed.

    The manifest's, else the one chosen; a picture without a capture time was taken when its file was made. Where none of
    these can be it is now.
    """
    # Some file systems keep times that no calendar has.
    mtime = EPOCH + timedelta(microseconds=max(EARLIEST, min(prepared.found.mtime_ns // 1000, LATEST)))
    chosen = {UploadedAt.NOW: (), UploadedAt.MTIME: (mtime,), UploadedAt.TAKEN: (prepared.taken_at, mtime)}[choice]
    unlikely = prepared.date_unlikely
    for moment in filter(None, (prepared.found.uploaded_at, *chosen)):
        if is_likely(moment):
            return filed_at(moment), unlikely
        unlikely = True
    return datetime.now(UTC), unlikely


def settled(
    prepared: Prepared, order: UploadOrder, *, fate: Fate, reason: Reason, image: UUID | None, detail: str
) -> FileOutcome:
    """The outcome of a file that was read."""
    return FileOutcome(
        path=prepared.found.path,
        fate=fate,
        reason=reason,
        detail=detail,
        id=image,
        sha256=prepared.sha256,
        bytes=prepared.size,
        seconds=time.monotonic() - prepared.started,
        date_unlikely=date_of(prepared, order.uploaded_at)[1],
    )


def line(error: Exception) -> str:
    """An error as one line."""
    return error.line if isinstance(error, ImgctlError) else f"{type(error).__name__}: {error}"
