"""The receipt of an erasure: a signed report from tombstones, so that the same command can write a lost receipt again."""

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from imgctl.errors import StateError, os_reason
from imgctl.ops.common.checkpoint import make_parent, state_directory
from imgctl.ops.common.open import Parts
from imgctl.ops.common.retry import StopSignal, read
from imgctl.ops.common.signed_reports import places_of, signed_report
from imgctl.ops.erase.options import EraseOrder, Notes
from imgctl.ops.erase.subject import Subject
from imgctl.store.catalog.queries.erased import Erasure
from imgctl.store.catalog.queries.lookups import by_ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A written receipt: how many images it proves erased, and how many are still being erased."""

    file: Path
    sha256: str
    images: int
    blobs: int
    bytes: int
    unfinished: int


def default_file(now: datetime) -> Path:
    """Return the default file of a receipt: in the state directory, to be backed up separately from the database."""
    return state_directory() / "receipts" / f"erased-{now:%Y-%m-%dT%H-%M-%S-%f}.jsonl"


def make_place(file: Path) -> None:
    """Make the directory of a receipt; StateError, before anything is deleted, where no receipt can be written."""
    try:
        make_parent(file)
        reason = "" if os.access(file.parent, os.W_OK | os.X_OK) else os.strerror(errno.EACCES)
    except OSError as error:
        reason = os_reason(error)
    if reason:
        raise StateError(f"{file} cannot be written: {reason.lower()}", hint="name another place: --receipt FILE")


def write_receipt(parts: Parts, order: EraseOrder, file: Path, *, stop: StopSignal) -> Receipt | None:
    """Write a receipt of an order's images, erased by this run or before; StateError if the file cannot be written.

    It is complete if no image of the order has a row or is half erased. None, and no file, if `stop` is set before the end.
    """
    subject = Subject(parts, order, stop=stop)
    images = blobs = size = unfinished = 0
    with signed_report(file, order.secret, unless=stop.is_set) as report:
        owner = None if order.user_id is None else order.owner(order.user_id).hex()
        report.add(
            {"type": "receipt", "version": 1, "written_at": datetime.now(UTC), "owner": owner, **places_of(parts)}
        )
        for some in subject.done():
            for one in some:
                report.add(_record(one))
                images, blobs, size = images + 1, blobs + one.blobs, size + one.bytes
        for some in subject.erasing():
            for one in some:
                report.add({"type": "erasing", "id": one.id, "owner": one.owner.hex(), "since": one.erasing_since})
                unfinished += 1
        counts = {"images": images, "blobs": blobs, "bytes": size, "unfinished": unfinished}
        is_complete = not (stop.is_set() or unfinished or _has_row(parts, subject, stop))
        report.add({"type": "summary", **counts, "complete": is_complete})
        digest = report.sign()
    if stop.is_set():
        return None
    return Receipt(file=file, sha256=digest, images=images, blobs=blobs, bytes=size, unfinished=unfinished)


def _has_row(parts: Parts, subject: Subject, stop: StopSignal) -> bool:
    """Whether any image of an order still has its row, like those of a held user."""
    return any(
        read(parts.catalog, partial(by_ids, ids=[image_id for image_id, _ in some]), stop=stop)
        for some in subject.named()
    )


def _record(one: Erasure) -> Mapping[str, object]:
    return {
        "type": "erased",
        "id": one.id,
        "owner": one.owner.hex(),
        "secret": Notes.read(one.notes).secret_id,
        "erasing_since": one.erasing_since,
        "erased_at": one.erased_at,
        "blobs": one.blobs,
        "bytes": one.bytes,
    }
