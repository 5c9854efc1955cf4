"""The worker's driver: claims rows, feeds the pool, renews leases, and records how each image ended.

    catalog ─ claim ─▶ batches ─▶ pool (fetch, render, put) ─▶ outcomes ─ finish, fail, give back ─▶ catalog

One transaction records what has ended and claims what comes next. A batch whose process died is run again image by
image, so that only the picture that kills its process is blamed for it.
"""

import logging
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from queue import Empty, SimpleQueue
from uuid import UUID

from sqlalchemy import Connection

from imgctl.config import StoreSettings
from imgctl.errors import BucketMissing, CatalogError, StoreDenied, StoreError, StoreFull
from imgctl.model import Recipe
from imgctl.ops.patience import Waiting, patiently
from imgctl.ops.work.record import Record, Verdict, judge, record
from imgctl.ops.work.task import Batch, Ending, Job, Outcome, render_batch
from imgctl.run.pool import ChildDied, Pool
from imgctl.store.catalog.claims import Claim, Hold, Position, backlog, bury, claim, renew
from imgctl.store.catalog.engine import Catalog

BATCH_IMAGES = 8
BATCH_BYTES = 32 * 2**20
SHORTEST_IDLE_SECONDS = 0.1
LONGEST_IDLE_SECONDS = 2.0
STEP_SECONDS = 0.2
GONE = (StoreDenied, BucketMissing, StoreFull)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOrder:
    """How to work: `jobs` batches run at once; `drain` ends when nothing is left; `limit` ends after so many images."""

    store: StoreSettings
    recipe: Recipe
    jobs: int
    lease_seconds: float
    max_attempts: int
    max_pixels: int
    timeout_seconds: float
    drain: bool = False
    limit: int | None = None
    stop_file: Path | None = None


class Fate(StrEnum):
    """What became of a claimed image in this run."""

    READY = "ready"
    FAILED = "failed"
    RETRY = "retry"
    RETURNED = "returned"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOutcome:
    """One image's fate; `error` is a sentence for people: why it failed, or how it is damaged."""

    id: UUID
    fate: Fate
    error: str | None = None
    seconds: float = 0.0


def work(order: WorkOrder, *, catalog: Catalog, pool: Pool, stop: Waiting) -> Iterator[ImageOutcome]:
    """Build variants until `stop` is set, or nothing is left (`drain`); yields one outcome for each ended attempt.

    Leases of what has not begun are given back. Raises what ends the whole run (no bucket, no permission, no space,
    nobody answers, no database) after that.
    """
    run = _Run(order, catalog, pool, stop)
    yield from run.outcomes()
    if run.gone is not None:
        raise run.gone


class _Run:
    def __init__(self, order: WorkOrder, catalog: Catalog, pool: Pool, stop: Waiting) -> None:
        self.gone: StoreError | None = None
        self._order = order
        self._catalog = catalog
        self._pool = pool
        self._stop = stop
        self._ended: SimpleQueue[tuple[Future[list[Outcome]], tuple[Job, ...]]] = SimpleQueue()
        self._flying: dict[Future[list[Outcome]], tuple[Job, ...]] = {}
        self._renew_at = time.monotonic() + order.lease_seconds / 3
        self._left = order.limit
        self._idle_seconds = SHORTEST_IDLE_SECONDS
        self._store_failures = 0
        self._position = Position()

    def outcomes(self) -> Iterator[ImageOutcome]:
        while True:
            outcomes = self._gather() if self._flying else []
            stopping = self.gone is not None or self._stop.is_set()
            if stopping:
                self._cancel()
            room = 0 if stopping else self._room()
            claims, settled = self._transact(outcomes, room)
            yield from settled
            self._launch(claims)
            self._renew_when_due()
            if not self._flying and (stopping or self._exhausted() or not self._wait_for_work(claims)):
                return

    def _exhausted(self) -> bool:
        return self._left == 0

    def _room(self) -> int:
        """How many images to claim now: two batches a process, one that runs and one that waits."""
        held = sum(len(jobs) for jobs in self._flying.values())
        room = max(0, 2 * self._order.jobs * BATCH_IMAGES - held)
        # Small claims cost a transaction each: wait until a batch fits, unless the pool would run dry.
        if room < BATCH_IMAGES and held:
            room = 0
        return room if self._left is None else min(room, self._left)

    # --- the pool

    def _launch(self, claims: list[Claim]) -> None:
        jobs = [_job(one) for one in claims]
        if self._left is not None:
            self._left -= len(jobs)
        for batch in cut(jobs, processes=self._order.jobs):
            self._submit(batch)

    def _submit(self, jobs: tuple[Job, ...]) -> None:
        order = self._order
        batch = Batch(
            jobs=jobs,
            store=order.store,
            recipe=order.recipe,
            max_pixels=order.max_pixels,
            timeout_seconds=order.timeout_seconds,
            stop_file=order.stop_file,
        )
        future = self._pool.submit(render_batch, batch)
        self._flying[future] = jobs
        future.add_done_callback(lambda ended: self._ended.put((ended, jobs)))

    def _gather(self) -> list[Outcome]:
        """Wait for a batch to end, or for the leases to need renewal; then take all that have ended."""
        outcomes: list[Outcome] = []
        timeout = max(0.0, self._renew_at - time.monotonic())
        try:
            # In short steps, because a signal only sets a flag.
            event = self._ended.get(timeout=min(timeout, STEP_SECONDS))
            while True:
                outcomes += self._outcomes_of(*event)
                event = self._ended.get_nowait()
        except Empty:
            return outcomes

    def _outcomes_of(self, future: Future[list[Outcome]], jobs: tuple[Job, ...]) -> list[Outcome]:
        del self._flying[future]
        try:
            return future.result()
        except CancelledError:
            return [Outcome(job=job, ending=Ending.NOT_BEGUN) for job in jobs]
        except ChildDied as error:
            if len(jobs) == 1:
                return [Outcome(job=jobs[0], ending=Ending.CRASHED, error=f"rendering {error.reason}")]
            log.warning("a process with %d images died (%s); each is tried alone", len(jobs), error.reason)
            for job in jobs:
                self._submit((job,))
            return []

    def _cancel(self) -> None:
        if self._order.stop_file is not None:
            self._order.stop_file.touch()
        for future in list(self._flying):
            future.cancel()

    # --- the catalog

    def _transact(self, outcomes: list[Outcome], room: int) -> tuple[list[Claim], list[ImageOutcome]]:
        """Record what ended and claim what comes next, in one transaction; none when there is neither."""
        if not outcomes and not room:
            return [], []
        self._watch_store(outcomes)
        verdicts = [judge(one, max_attempts=self._order.max_attempts, outage=self.gone is not None) for one in outcomes]
        order = self._order

        def transaction() -> tuple[list[Claim], set[UUID]]:
            try:
                with self._catalog.write() as connection:
                    changed = record(connection, verdicts, recipe=order.recipe)
                    return self._claim(connection, room), changed
            except CatalogError:
                # What it claimed was not committed: the next claim must not begin behind it.
                self._position.rewind()
                raise

        claims, changed = patiently(transaction, stop=self._stop)
        return claims, [_settled(verdict, changed=verdict.outcome.job.id in changed) for verdict in verdicts]

    def _claim(self, connection: Connection, room: int) -> list[Claim]:
        order = self._order
        if not room:
            return []
        claims = claim(
            connection,
            limit=room,
            lease_seconds=order.lease_seconds,
            max_attempts=order.max_attempts,
            position=self._position,
        )
        if len(claims) < room:
            bury(connection, max_attempts=order.max_attempts, limit=BATCH_IMAGES)
        return claims

    def _watch_store(self, outcomes: list[Outcome]) -> None:
        """Tell one image's bad luck from a store that is gone: nothing has worked for a whole round of the pool."""
        for outcome in outcomes:
            if outcome.ending is Ending.STORE_FAILED:
                self._store_failures += 1
            elif outcome.ending is not Ending.NOT_BEGUN:
                self._store_failures = 0
            lasting = self._store_failures > self._order.jobs * BATCH_IMAGES
            if outcome.store_error and (lasting or isinstance(outcome.store_error, GONE)):
                self.gone = self.gone or outcome.store_error

    def _renew_when_due(self) -> None:
        now = time.monotonic()
        if now < self._renew_at:
            return
        self._renew_at = now + self._order.lease_seconds / 3
        holds = [Hold(id=job.id, attempts=job.attempts) for jobs in self._flying.values() for job in jobs]
        if not holds:
            return

        def transaction() -> set[UUID]:
            with self._catalog.write() as connection:
                return renew(connection, holds, lease_seconds=self._order.lease_seconds)

        kept = patiently(transaction, stop=self._stop)
        if len(kept) < len(holds):
            log.warning("%d leases were lost to other workers", len(holds) - len(kept))

    def _wait_for_work(self, claims: list[Claim]) -> bool:
        """With nothing in hand: wait for rows, leases and back-offs; False when drained or asked to stop."""
        if claims:
            self._idle_seconds = SHORTEST_IDLE_SECONDS
            return True

        with self._catalog.read() as connection:
            rest = backlog(connection)
        if self._order.drain and rest.processing == 0:
            return False
        self._idle_seconds = min(self._idle_seconds * 2, LONGEST_IDLE_SECONDS)
        free = rest.next_free_seconds
        pause = self._idle_seconds if free is None else min(max(free, SHORTEST_IDLE_SECONDS), self._idle_seconds)
        return not self._stop.wait(pause)


def cut(jobs: list[Job], *, processes: int) -> Iterator[tuple[Job, ...]]:
    """Batches of at most 8 images and 32 MiB, and smaller ones where few images must feed all processes."""
    most = max(1, min(BATCH_IMAGES, -(-len(jobs) // processes)))
    batch: list[Job] = []
    size = 0
    for job in jobs:
        if batch and (len(batch) >= most or size + job.size > BATCH_BYTES):
            yield tuple(batch)
            batch, size = [], 0
        batch.append(job)
        size += job.size
    if batch:
        yield tuple(batch)


def _job(one: Claim) -> Job:
    key = one.original_key or ""
    return Job(id=one.id, attempts=one.attempts, forgiven=one.forgiven, original_key=key, size=one.bytes or 0)


_FATES = {Record.FINISH: Fate.READY, Record.FAIL: Fate.FAILED, Record.RETRY: Fate.RETRY, Record.RETURN: Fate.RETURNED}


def _settled(verdict: Verdict, *, changed: bool) -> ImageOutcome:
    outcome = verdict.outcome
    fate = _FATES[verdict.record] if changed else Fate.LOST
    return ImageOutcome(id=outcome.job.id, fate=fate, error=outcome.error, seconds=outcome.seconds)
