"""What is wrong with an image, and the command that would mend it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from imgctl.keys import ORIGINAL
from imgctl.model import Image, Status, Variant, is_archived
from imgctl.store.cold.base import StoredBlob


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What is to be said of an image in one sentence, and the command to type; empty where nothing is to be done."""

    ok: bool
    text: str
    command: str = ""


def advise(
    image: Image, blobs: Mapping[str, StoredBlob | None], *, now: datetime, recipe: str, max_attempts: int
) -> Advice:
    """What would mend an image, from its row and from which of its blobs exist; `recipe` is the digest of the settings'."""
    original = blobs.get(ORIGINAL)
    if image.status is Status.UPLOADING:
        return _uploading(image, original)
    if original is None or original.size == 0:
        lost = "is missing" if original is None else "is empty"
        return Advice(ok=False, text=f"the original {lost} from the store", command=_repair(image))
    if image.status is Status.PROCESSING:
        return _processing(image, original, now=now, max_attempts=max_attempts)
    if image.status is Status.FAILED:
        text = f"rendering failed: {image.error or 'no reason is recorded'}"
        return Advice(
            ok=False, text=text, command=f"imgctl repair --id {image.id} --failed --apply && imgctl work --drain"
        )
    return _ready(image, blobs, original, recipe=recipe)


def _uploading(image: Image, original: StoredBlob | None) -> Advice:
    if original is None:
        text = "the upload was interrupted before its bytes arrived: run the same upload again, or drop the promise"
        return Advice(ok=False, text=text, command=_repair(image))
    whole = original.size == image.bytes
    text = "the bytes arrived but were not confirmed" if whole else "the original is not the size that was promised"
    return Advice(ok=False, text=text, command=_repair(image))


def _processing(image: Image, original: StoredBlob, *, now: datetime, max_attempts: int) -> Advice:
    if image.leased_until is not None and image.leased_until > now:
        why = f" (last error: {image.error})" if image.error else ""
        return Advice(ok=True, text=f"a worker has it, or it waits for its next try{why}")
    if image.attempts - image.forgiven >= max_attempts:
        text = f"its attempts are used up: {image.error or 'the worker died each time'}"
        return Advice(ok=False, text=text, command=_repair(image))
    if is_archived(original.storage_class) and not original.readable:
        text = f"it waits for its original, which lies in {original.storage_class}"
        return Advice(ok=False, text=text, command=f"imgctl restore {image.id} --tier standard")
    return Advice(ok=True, text="it waits for a worker", command="imgctl work --drain")


def _ready(image: Image, blobs: Mapping[str, StoredBlob | None], original: StoredBlob, *, recipe: str) -> Advice:
    bad = [one for one in Variant if not _good(blobs.get(one)) or not image.variant_key(one)]
    if bad:
        return Advice(ok=False, text=f"not there or empty: {', '.join(bad)}", command=_repair(image))
    if image.bytes is not None and original.size != image.bytes:
        text = f"the original has {original.size:,} bytes, the row says {image.bytes:,}"
        return Advice(ok=False, text=text, command=f"imgctl get {image.id} --out . and compare")
    if image.recipe != recipe:
        text = "its variants were built by other settings"
        return Advice(ok=True, text=text, command=f"echo {image.id} | imgctl backfill --stale --ids-from -")
    return Advice(ok=True, text="all is well")


def _good(blob: StoredBlob | None) -> bool:
    return blob is not None and blob.size > 0


def _repair(image: Image) -> str:
    return f"imgctl repair --id {image.id} --apply"
