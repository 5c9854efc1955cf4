"""Originals held against the SHA-256 of their rows: by the store's own checksum, else by reading their bytes."""

import hashlib
from collections.abc import Iterator
from uuid import UUID

from imgctl.errors import BlobArchived, BlobCorrupt, BlobMissing, KeyShapeError
from imgctl.keys import ORIGINAL
from imgctl.model import Image, Status
from imgctl.ops.audit.findings import Code, Finding
from imgctl.ops.audit.order import AuditOrder, Tally
from imgctl.ops.audit.ring import Ring
from imgctl.ops.parts import Parts
from imgctl.ops.retry import StopSignal, retry
from imgctl.ops.rows import FIRST, Chosen, pages
from imgctl.run.threads import thread_pool
from imgctl.store.catalog.lookups import by_id

READS_AT_ONCE = 8
CHUNK_BYTES = 8 * 2**20


def deep(parts: Parts, order: AuditOrder, *, tally: Tally, stop: StopSignal) -> Iterator[Finding]:
    """Originals whose content is not what was uploaded; within `order.budget` bytes read, going on where the last run ended.

    A size that differs is another finding, so such a blob is not read. Raises what the store raises.
    """
    check = _Check(parts, tally=tally, stop=stop)
    ring = Ring(order, parts.settings)
    with thread_pool(READS_AT_ONCE, name="deep") as pool:
        for page in _circle(parts, order.chosen, ring, stop=stop):
            for some in _slices(page, order.budget, tally):
                for finding in pool.map(check.one, some):
                    if finding is not None:
                        yield finding
                ring.passed(some[-1].id)
                if stop.is_set():
                    return
            if order.budget is not None and tally.hashed >= order.budget:
                return


def _circle(parts: Parts, chosen: Chosen, ring: Ring, *, stop: StopSignal) -> Iterator[list[Image]]:
    """All rows once, from the ring's place to the end and from the beginning to that place."""
    start = ring.start
    yield from pages(parts.catalog, chosen, stop=stop, after=start)
    if start != FIRST:
        for page in pages(parts.catalog, chosen, stop=stop):
            if due := [image for image in page if image.id <= start]:
                yield due
            if len(due) < len(page):
                return


def _slices(page: list[Image], budget: int | None, tally: Tally) -> Iterator[list[Image]]:
    """So many images at once as the budget still bears; a first one larger than all of it is read all the same."""
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
    """One original at a time; safe to call from many threads."""

    def __init__(self, parts: Parts, *, tally: Tally, stop: StopSignal) -> None:
        from imgctl.store.checksums import KeptChecksums

        self._parts = parts
        self._tally = tally
        self._stop = stop
        in_bucket = parts.settings.store.url.startswith("s3://")
        self._kept = KeptChecksums(parts.settings.store) if in_bucket else None

    def one(self, image: Image) -> Finding | None:
        """The finding for an original of another content than its row says; None too where it cannot be told."""
        if not _is_due(image):
            return None
        try:
            digest = self._digest(image)
        except BlobArchived:
            self._tally.add_work(unreadable=1)
            return None
        except KeyShapeError:
            # A row that names what we would never write: that is a finding already, and its bytes are not ours to judge.
            return None
        except (BlobCorrupt, BlobMissing):
            # It changed or went while it was read: no proof of anything.
            return None
        if digest is None:
            return None
        self._tally.add_work(checked=1)
        return self._finding(image, digest) if digest != image.sha256 and self._still(image) else None

    def _digest(self, image: Image) -> bytes | None:
        key = str(image.original_key)
        if self._kept is not None:
            self._tally.add_work(heads=1)
            kept = self._kept.of(key)
            if kept is None or kept.size != image.bytes:
                return None
            return kept.sha256 or self._read(key, kept.size, kept.etag)
        found = self._parts.store.head(key)
        if found is None or found.size != image.bytes:
            return None
        return self._read(key, found.size, found.etag or "")

    def _read(self, key: str, size: int, etag: str) -> bytes:
        digest, start = hashlib.sha256(), 0
        while start < size:
            chunk = self._parts.store.read(key, start=start, length=min(CHUNK_BYTES, size - start), etag=etag)
            digest.update(chunk)
            start += len(chunk) or size
            self._tally.add_work(gets=1, hashed=len(chunk))
        return digest.digest()

    def _still(self, image: Image) -> bool:
        """Whether the row is about the same content as before."""

        def attempt(one: UUID = image.id) -> Image | None:
            with self._parts.catalog.read() as connection:
                return by_id(connection, one)

        again = retry(attempt, stop=self._stop)
        return again is not None and again.sha256 == image.sha256

    def _finding(self, image: Image, digest: bytes) -> Finding:
        said = image.sha256.hex()[:16] if image.sha256 else ""
        return Finding(
            code=Code.CHECKSUM_MISMATCH,
            detail=f"the original's SHA-256 begins {digest.hex()[:16]}, the row says {said}",
            id=image.id,
            key=image.original_key,
            user_id=image.user_id,
            uploaded_at=image.uploaded_at,
            promised_at=image.promised_at,
            role=ORIGINAL,
            bytes=image.bytes,
        )
