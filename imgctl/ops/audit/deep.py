"""Originals compared with the SHA-256 of their rows: by the store's own checksum, else by reading their bytes.

S3 keeps a CRC64NVME of most originals, and no column holds one to compare with. A column is free: 432 bytes of heap a
row and 589 with its indexes, with and without it (Postgres 18, 60,000 rows). Filling it is not: obstore does not expose
the CRC that it sends, so each photo would need a HEAD after its put ($0.40 a million, and a round trip) or a second pass
over its bytes by another library. Reading a million originals of 2.5 MB costs $0.40 of GETs within the
region, $210 of transfer from outside.
"""

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from uuid import UUID

from imgctl.config.settings import Settings
from imgctl.errors import BlobArchived, BlobCorrupt, BlobMissing
from imgctl.keys import FIRST, ORIGINAL, own_key
from imgctl.model import Image, Status
from imgctl.ops.audit.findings import Code, Finding, about
from imgctl.ops.audit.options import AuditOrder, Tally
from imgctl.ops.common.checkpoint import load_state, save_state, state_directory
from imgctl.ops.common.open import Parts
from imgctl.ops.common.range_reads import chunks
from imgctl.ops.common.retry import StopSignal, read
from imgctl.ops.common.rows import Chosen, pages
from imgctl.run.threads import thread_pool
from imgctl.store.catalog.queries.lookups import by_id

READS_AT_ONCE = 8


def deep(parts: Parts, order: AuditOrder, *, tally: Tally, stop: StopSignal) -> Iterator[Finding]:
    """Find originals whose content is not the uploaded one; reads `order.budget` bytes, from where the last run ended.

    A differing size is another finding, so such a blob is not read. Raises the store's errors.
    """
    check = _Check(parts, tally=tally, stop=stop)
    cursor = ScrubCursor(order, parts.settings)
    with thread_pool(READS_AT_ONCE, name="deep") as pool:
        for page in _around(parts, order.chosen, cursor.start, stop=stop):
            for some in _slices(page, order.budget, tally):
                for finding in pool.map(check.one, some):
                    if finding is not None:
                        yield finding
                cursor.passed(some[-1].id)
                if stop.is_set():
                    return
            if order.budget is not None and tally.hashed >= order.budget:
                return


def _around(parts: Parts, chosen: Chosen, start: UUID, *, stop: StopSignal) -> Iterator[list[Image]]:
    """Yield all rows once, from `start` to the end, then from the beginning to `start`."""
    yield from pages(parts.catalog, chosen, stop=stop, after=start)
    if start != FIRST:
        for page in pages(parts.catalog, chosen, stop=stop):
            if due := [image for image in page if image.id <= start]:
                yield due
            if len(due) < len(page):
                return


def _slices(page: list[Image], budget: int | None, tally: Tally) -> Iterator[list[Image]]:
    """Yield as many images at once as the budget allows; the first one is read even if it exceeds the budget."""
    left = [image for image in page if _is_due(image)] or page[-1:]
    while left and (budget is None or tally.hashed < budget):
        room = None if budget is None else budget - tally.hashed
        take, size = 0, 0
        for image in left[:READS_AT_ONCE]:
            size += image.bytes or 0
            if take and room is not None and size > room:
                break
            take += 1
        yield left[:take]
        left = left[take:]


def _is_due(image: Image) -> bool:
    return image.status is not Status.UPLOADING and image.sha256 is not None and image.original_key is not None


class _Check:
    """Checks originals one by one; safe to call from many threads."""

    def __init__(self, parts: Parts, *, tally: Tally, stop: StopSignal) -> None:
        self._parts = parts
        self._tally = tally
        self._stop = stop
        self._in_bucket = not parts.settings.store.url.startswith("file://")

    def one(self, image: Image) -> Finding | None:
        """Return the finding for an original whose content differs from its row; None also if it cannot be determined."""
        store = self._parts.settings.store
        # A foreign key is a finding already, and its bytes are not this image's.
        if not _is_due(image) or not own_key(
            str(image.original_key), originals=store.originals_prefix, variants=store.variants_prefix
        ):
            return None
        try:
            digest = self._digest(image)
        except BlobArchived:
            self._tally.add_work(unreadable=1)
            return None
        except (BlobCorrupt, BlobMissing):
            # It changed or was deleted while being read: this proves nothing.
            return None
        if digest is None:
            return None
        self._tally.add_work(checked=1)
        return _finding(image, digest) if digest != image.sha256 and self._still(image) else None

    def _digest(self, image: Image) -> bytes | None:
        key = str(image.original_key)
        self._tally.add_work(heads=int(self._in_bucket))
        found = self._parts.store.details(key, checksum=True)
        if found is None or found.size != image.bytes:
            return None
        if found.sha256:
            return found.sha256
        digest = hashlib.sha256()
        for chunk in chunks(self._parts.store, found):
            digest.update(chunk)
            self._tally.add_work(gets=1, hashed=len(chunk))
        self._tally.add_read(found.storage_class, found.size)
        return digest.digest()

    def _still(self, image: Image) -> bool:
        """Whether the row still has the same SHA-256."""
        again = read(self._parts.catalog, partial(by_id, image_id=image.id), stop=self._stop)
        return again is not None and again.sha256 == image.sha256


def _finding(image: Image, digest: bytes) -> Finding:
    expected = image.sha256.hex()[:16] if image.sha256 else ""
    detail = f"the original's SHA-256 begins {digest.hex()[:16]}, the row's {expected}"
    return about(image, Code.CHECKSUM_MISMATCH, detail, role=ORIGINAL, key=image.original_key)


class ScrubCursor:
    """The position where the last deep audit with a budget ended, kept in a file, so that every original is read eventually.

    An audit of a part of the archive starts at the first row.
    """

    def __init__(self, order: AuditOrder, settings: Settings) -> None:
        self._file = _cursor_file(order, settings) if order.is_whole and order.budget is not None else None
        self.start = (load_state(self._file, lambda *, after: UUID(after)) if self._file else None) or FIRST

    def passed(self, image: UUID) -> None:
        """Record that everything up to this image is done."""
        if self._file is None:
            return
        save_state(self._file, {"after": str(image)}, hint="choose another file: --checkpoint FILE")


def _cursor_file(order: AuditOrder, settings: Settings) -> Path:
    if order.checkpoint is not None:
        return order.checkpoint.with_name(f"{order.checkpoint.name}.deep")
    place = f"{settings.catalog.url}\0{settings.store.url}\0{settings.store.endpoint_url}"
    return state_directory() / f"deep-{hashlib.blake2b(place.encode(), digest_size=8).hexdigest()}.json"
