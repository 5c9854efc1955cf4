"""From verdicts and moves to what is written into rows."""

from imgctl.model import Image
from imgctl.ops.transition.gate import Verdict
from imgctl.ops.transition.move import Job, Moved
from imgctl.pricing.prices import STANDARD
from imgctl.store.catalog.storage_class import Seen, Settled


def seen_of(image: Image) -> Seen:
    """A row as `promise_moves` compares it."""
    key = image.original_key or ""
    return Seen(id=image.id, attempts=image.attempts, original_key=key, storage_class=image.storage_class)


def job_of(verdict: Verdict, attempts: int) -> Job:
    """The move of an original that the gate let pass."""
    image, blob = verdict.image, verdict.blob
    assert blob is not None and image.original_key is not None
    return Job(
        id=image.id,
        attempts=attempts,
        key=image.original_key,
        size=blob.size,
        etag=blob.etag,
        row_class=_class_of(image, blob.storage_class),
    )


def found_of(verdict: Verdict) -> Settled:
    """What a row that names another class than the store is to say."""
    image, blob = verdict.image, verdict.blob
    assert blob is not None
    found = _class_of(image, blob.storage_class)
    # Under a lapsed lease it was a move of ours: a restore of the old class has ended with it.
    return Settled(id=image.id, attempts=image.attempts, storage_class=found, moved=image.leased_until is not None)


def settled_of(job: Job, moved: Moved | None, *, to: str) -> Settled | None:
    """What to write of a job; None leaves its promise, which the next run looks into."""
    if moved is not None and not moved.is_known:
        return None
    if moved is None or moved.blob is None or moved.blob.storage_class != to:
        return Settled(id=job.id, attempts=job.attempts, storage_class=job.row_class, moved=False)
    return Settled(id=job.id, attempts=job.attempts, storage_class=to, moved=True)


def _class_of(image: Image, found: str) -> str | None:
    """A class as rows have it: as this row does where it is the same one, and STANDARD as nothing."""
    if (image.storage_class or STANDARD) == found:
        return image.storage_class
    return None if found == STANDARD else found
