"""From a prepared file to its row, and from its fate to its outcome."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from imgctl.errors import ImgctlError
from imgctl.keys import EPOCH, ORIGINAL, key_of, new_id, time_of
from imgctl.model import NewImage
from imgctl.ops.upload.order import UploadedAt, UploadOrder
from imgctl.ops.upload.outcome import Fate, FileOutcome, Reason
from imgctl.ops.upload.prepare import Prepared
from imgctl.ops.upload.puts import Put

LATEST_MICROSECONDS = (datetime.max.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


def new_row(prepared: Prepared, order: UploadOrder) -> NewImage:
    """The row that promises a file, with a new id of its `uploaded_at`."""
    found, seen = prepared.found, prepared.probe
    assert found.user_id is not None
    image_id = new_id(_uploaded_at(prepared, order.uploaded_at))
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


def _uploaded_at(prepared: Prepared, choice: UploadedAt) -> datetime:
    """The manifest's date, else the one chosen; a picture without a capture time was taken when its file was made."""
    # Some file systems keep times that no calendar has.
    mtime = EPOCH + timedelta(microseconds=max(0, min(prepared.found.mtime_ns // 1000, LATEST_MICROSECONDS)))
    chosen = {UploadedAt.NOW: None, UploadedAt.MTIME: mtime, UploadedAt.TAKEN: prepared.taken_at or mtime}[choice]
    return max(EPOCH, prepared.found.uploaded_at or chosen or datetime.now(UTC))


def settled(prepared: Prepared, fate: Fate, reason: Reason, image: UUID | None, detail: str) -> FileOutcome:
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
    )


def line(error: Exception) -> str:
    """An error as one line."""
    return error.line if isinstance(error, ImgctlError) else f"{type(error).__name__}: {error}"
