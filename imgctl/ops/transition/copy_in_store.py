"""Concurrent copies of a batch's originals within the store, through outages; a move of unknown result stays promised."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from uuid import UUID

from imgctl.errors import BucketMissing, CatalogError, StoreDenied, StoreError, StoreFull, StoreUnavailable
from imgctl.model import Image
from imgctl.ops.common.retry import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, RETRY_SECONDS, STORE_OUTAGES, StopSignal
from imgctl.ops.transition.eligibility import Verdict
from imgctl.pricing.prices import STANDARD
from imgctl.run.budgets import RateLimit, bounded
from imgctl.run.threads import end_threads, open_threads
from imgctl.store.blobs.base import Blob, BlobStore
from imgctl.store.catalog.queries.storage_class import Seen, Settled

FATAL = (StoreDenied, BucketMissing, StoreFull)
# A look before the copy, the copy, a look after it.
REQUESTS_A_MOVE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An original whose move is promised in its row; `attempts` fences the row."""

    id: UUID
    user_id: UUID
    attempts: int
    key: str
    size: int
    etag: str
    row_class: str | None
    is_interrupted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """How a job ended: `blob` is its current state in the store, None when it is gone; not `is_known` leaves it promised.

    `hold` is the hold on its owner for which the old version stays, empty without one. With `leaves` the old version was
    not deleted: the row stays promised, so that the next run deletes it.
    """

    job: Job
    blob: Blob | None = None
    error: StoreError | None = None
    is_known: bool = True
    hold: str = ""
    leaves: bool = False


def seen_of(image: Image) -> Seen:
    """Return a row as `promise_moves` compares it."""
    key = image.original_key or ""
    return Seen(id=image.id, attempts=image.attempts, original_key=key, storage_class=image.storage_class)


def job_of(verdict: Verdict, attempts: int) -> Job:
    """Return the move of an eligible or moved original."""
    image, blob = verdict.image, verdict.blob
    assert blob is not None and image.original_key is not None
    return Job(
        id=image.id,
        user_id=image.user_id,
        attempts=attempts,
        key=image.original_key,
        size=blob.size,
        etag=blob.etag,
        row_class=_class_of(image, blob.storage_class),
        is_interrupted=verdict.is_interrupted,
    )


def found_of(verdict: Verdict) -> Settled:
    """Return the correction for a row whose class differs from the store's."""
    image, blob = verdict.image, verdict.blob
    assert blob is not None
    found = _class_of(image, blob.storage_class)
    # A lapsed lease means that our own move changed the class; a restore of the old class ended with it.
    return Settled(id=image.id, attempts=image.attempts, storage_class=found, moved=image.leased_until is not None)


def settled_of(job: Job, moved: Moved | None, *, to: str) -> Settled | None:
    """Return what to write for a job; None leaves its promise, which the next run checks."""
    if moved is not None and (moved.leaves or not moved.is_known):
        return None
    if moved is None or moved.blob is None or moved.blob.storage_class != to:
        return Settled(id=job.id, attempts=job.attempts, storage_class=job.row_class, moved=False)
    return Settled(id=job.id, attempts=job.attempts, storage_class=to, moved=True)


def _class_of(image: Image, found: str) -> str | None:
    """Return a class as rows store it: unchanged where it is the row's own, and STANDARD as None."""
    if (image.storage_class or STANDARD) == found:
        return image.storage_class
    return None if found == STANDARD else found


class Mover:
    """Moves jobs to one class; `gone` is the error that ends the run.

    With `delete_noncurrent` it deletes the version that was copied from, unless `hold_on` its owner returns a hold: each
    is asked for just before. When the store throttles (503 SlowDown), concurrency goes down."""

    def __init__(
        self,
        store: BlobStore,
        *,
        to: str,
        concurrency: int,
        rate: int | None,
        delete_noncurrent: bool,
        hold_on: Callable[[UUID], str],
        stop: StopSignal,
        outage_seconds: float = RETRY_SECONDS,
    ) -> None:
        self.gone: StoreError | None = None
        self._store = store
        self._to = to
        self._most = self._limit = concurrency
        self._rate = RateLimit(rate) if rate else None
        self._delete_noncurrent = delete_noncurrent
        self._hold_on = hold_on
        self._stop = stop
        self._outage_seconds = outage_seconds
        self._pool = open_threads(concurrency, name="move")
        # The source versions of moves in progress.
        self._sources: dict[UUID, str] = {}

    def is_set(self) -> bool:
        """Whether no further move may begin."""
        return self.gone is not None or self._stop.is_set()

    def move(self, jobs: Iterable[Job]) -> Iterator[Moved]:
        """Move these; yields each started job as it ends. Jobs not yielded were left untouched."""
        left = {job.id: job for job in jobs}
        unsure: dict[UUID, Moved] = {}
        pause, down_since = FIRST_PAUSE_SECONDS, time.monotonic()
        while left and not self.is_set():
            ended_count = 0
            for job, future in bounded(self._submit, tuple(left.values()), limit=self._limit, stop=self):
                ended = future.result()
                if not ended.is_known and isinstance(ended.error, StoreUnavailable):
                    unsure[job.id] = ended
                    continue
                ended_count += 1
                self._record_fatal(ended.error)
                unsure.pop(job.id, None)
                del left[job.id]
                yield ended
            if ended_count:
                if pause > FIRST_PAUSE_SECONDS:
                    STORE_OUTAGES.succeeded()
                pause, down_since = FIRST_PAUSE_SECONDS, time.monotonic()
            if not unsure:
                self._limit = min(self._most, self._limit + 1)
                continue
            pause = self._back_off(next(iter(unsure.values())), pause, time.monotonic() - down_since)
        yield from unsure.values()

    def conclude(self, jobs: Sequence[Job]) -> Iterator[Moved]:
        """Delete the old versions of originals that an earlier run moved; yields each as it ends."""
        for _, future in bounded(
            lambda job: self._pool.submit(self._concluded, job), jobs, limit=self._most, stop=self
        ):
            yield future.result()

    def close(self) -> None:
        """Stop the threads."""
        end_threads(self._pool)

    def _record_fatal(self, error: StoreError | None) -> None:
        if self.gone is None and isinstance(error, FATAL):
            self.gone = error

    def _back_off(self, unsure: Moved, pause: float, down_seconds: float) -> float:
        """Wait before the next round and lower the concurrency; returns the next pause in seconds."""
        self._limit = max(1, self._limit // 2)
        STORE_OUTAGES.failed(unsure.error)
        if down_seconds + pause > self._outage_seconds:
            self.gone = unsure.error
        else:
            self._stop.wait(pause)
        return min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _submit(self, job: Job) -> "Future[Moved]":
        if self._rate is not None and (turn := self._rate.reserve(REQUESTS_A_MOVE)):
            self._stop.wait(turn)
        return self._pool.submit(self._move, job)

    def _concluded(self, job: Job) -> Moved:
        """Return an original that an earlier run moved, its old version deleted if it may be."""
        try:
            blob = self._store.details(job.key)
            source = self._store.copied_version(blob) if blob is not None else None
        except StoreError as error:
            return Moved(job=job, error=error, leaves=True)
        if blob is None or source is None:
            return Moved(job=job, blob=blob)
        return self._without(source, job, blob)

    def _move(self, job: Job) -> Moved:
        try:
            if self._delete_noncurrent:
                if job.is_interrupted and (left := self._concluded(job)).leaves:
                    return replace(left, is_known=not isinstance(left.error, StoreUnavailable))
                self._note_source(job)
            blob = self._store.move(job.key, to=self._to, etag=job.etag)
        except StoreUnavailable as error:
            return Moved(job=job, error=error, is_known=False)
        except StoreError as error:
            return self._look(job, error)
        return self._without_source(job, blob)

    def _look(self, job: Job, error: StoreError) -> Moved:
        """Return the store's state after an error: an earlier attempt may have succeeded and its response been lost."""
        try:
            blob = self._store.details(job.key)
        except StoreError:
            return Moved(job=job, error=error, is_known=False)
        if blob is not None and blob.storage_class == self._to and blob.size == job.size:
            return self._without_source(job, blob)
        return Moved(job=job, blob=blob, error=error)

    def _note_source(self, job: Job) -> None:
        blob = self._store.details(job.key)
        if blob is not None and blob.etag == job.etag and blob.version_id is not None:
            # On a retry after a lost response the store may already return the copy's version.
            self._sources.setdefault(job.id, blob.version_id)

    def _without_source(self, job: Job, copy: Blob) -> Moved:
        """Return a verified move, its old version deleted if it may be."""
        source = self._sources.pop(job.id, None)
        if source is None or copy.version_id in (None, source):
            return Moved(job=job, blob=copy)
        return self._without(source, job, copy)

    def _without(self, source: str, job: Job, copy: Blob) -> Moved:
        try:
            if hold := self._hold_on(job.user_id):
                return Moved(job=job, blob=copy, hold=hold)
            self._store.delete_version(job.key, source)
        except (StoreError, CatalogError) as error:
            message = f"{job.key} moved, but its version {source} stays: {error.message}"
            stays = StoreError(message, hint=f"{error.hint}; the same command again deletes it".removeprefix("; "))
            return Moved(job=job, blob=copy, error=stays, leaves=True)
        return Moved(job=job, blob=copy)
