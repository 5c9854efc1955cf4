"""Rows that wait too long, and for what."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from imgctl.keys import ORIGINAL
from imgctl.model import Image, Status, is_archived
from imgctl.ops.audit.findings import Code, Finding, Why
from imgctl.ops.audit.lanes import Seen
from imgctl.units import count_of


def stuck(
    image: Image, original: Seen | None, *, now: datetime, stuck_after: timedelta, busy: bool
) -> Iterator[Finding]:
    """The finding for a row that is still uploading or processing `stuck_after` its promise; none for one that is not."""
    if image.status not in (Status.UPLOADING, Status.PROCESSING) or image.promised_at > now - stuck_after:
        return
    uploading = image.status is Status.UPLOADING
    why, detail = _promise(original) if uploading else _wait(image, now=now, busy=busy)
    yield Finding(
        code=Code.STUCK_UPLOADING if uploading else Code.STUCK_PROCESSING,
        why=why,
        detail=detail,
        id=image.id,
        key=image.original_key,
        user_id=image.user_id,
        uploaded_at=image.uploaded_at,
        promised_at=image.promised_at,
        modified_at=original.modified_at if original else None,
        role=ORIGINAL,
        bytes=original.size if original else image.bytes,
    )


def _promise(original: Seen | None) -> tuple[Why, str]:
    if original is None:
        return Why.BYTES_MISSING, "promised, but its bytes never came: upload it again, or drop the promise"
    return Why.BYTES_SAFE, "its bytes are in the store, but its upload ended before saying so: upload it again"


def _wait(image: Image, *, now: datetime, busy: bool) -> tuple[Why, str]:
    restored = image.restored_until is not None and image.restored_until > now
    if is_archived(image.storage_class) and not restored:
        return Why.WAITING_FOR_RESTORE, f"the original is {image.storage_class}: no worker can read it before a restore"
    if image.error:
        return Why.POISONED, f"tried {count_of(image.attempts, 'time')}, last: {image.error}"
    if image.attempts and image.leased_until is not None:
        return (
            Why.LEASE_EXPIRED,
            f"its lease expired {count_of(image.attempts, 'time')}: the workers died or lost the store",
        )
    detail = "workers are busy with other rows" if busy else "no worker has taken it: imgctl work"
    return Why.NO_WORKER, detail
