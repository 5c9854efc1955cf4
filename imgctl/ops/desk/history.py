"""What happened to an image, as far as its row and its blobs can tell."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from imgctl.model import Image, Status, is_archived
from imgctl.store.cold.base import StoredBlob


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Something that happened; `at` is None where only that it happened is known."""

    at: datetime | None
    what: str


def history(image: Image, blobs: Mapping[str, StoredBlob | None], *, now: datetime) -> tuple[Moment, ...]:
    """The moments in their order, those without a time last."""
    found = [Moment(at=image.promised_at, what="row promised")]
    if image.taken_at is not None:
        found.append(Moment(at=image.taken_at, what="picture taken"))
    # Another class means another copy: its time is that of the last move and not of the upload.
    for role, blob in blobs.items():
        if blob is not None:
            moved = f", now {blob.storage_class}" if is_archived(blob.storage_class) else ""
            found.append(Moment(at=blob.modified_at, what=f"{role} written ({blob.size:,} bytes{moved})"))
            if blob.restored_until is not None:
                found.append(Moment(at=blob.restored_until, what=f"{role}: its restored copy expires"))
    if image.leased_until is not None:
        ended = image.leased_until <= now
        found.append(Moment(at=image.leased_until, what="the worker's lease ran out" if ended else "leased until"))
    timed = sorted((one for one in found if one.at), key=lambda one: one.at or now)
    return (*timed, *_untimed(image))


def _untimed(image: Image) -> list[Moment]:
    found = []
    if image.attempts:
        times = "once" if image.attempts == 1 else f"{image.attempts} times"
        excused = f", {image.forgiven} not its own fault" if image.forgiven else ""
        found.append(Moment(at=None, what=f"tried {times}{excused}"))
    if image.status is Status.FAILED:
        found.append(Moment(at=None, what="given up"))
    return found
