"""Batches of images in flight through the pool; a batch whose process died is run again image by image.

A store error counts as an image's own failure only if the store works otherwise; the pool's processes check that.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue
from uuid import UUID

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import ImgctlError, StoreDenied, StoreError, StoreUnavailable, WorkerError
from imgctl.ops.common.retry import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, STORE_OUTAGES
from imgctl.ops.work.options import Batch, Ending, Job, Outcome, WorkOrder
from imgctl.ops.work.render_task import check_store, render_batch
from imgctl.run.pools.child import TOO_LARGE
from imgctl.run.pools.pool import ChildDied, Pool, PoolGone

BATCH_IMAGES = 8
BATCH_BYTES = 32 * 2**20
# One batch runs, one waits.
BATCHES_A_SLOT = 2
MOST_CLAIMED = 1024
SLOTS_SECONDS = 5.0
# After another image was put, a few may be refused for reasons of their own.
MOST_REFUSED = 8

log = logging.getLogger(__name__)

Event = tuple["Future[list[Outcome]]", tuple[Job, ...]]


class InFlight:
    """The images that the pool holds for this worker; `broken` is the error after which it accepts no more."""

    def __init__(self, order: WorkOrder, pool: Pool) -> None:
        self.broken: ImgctlError | None = None
        self._order = order
        self._pool = pool
        self._ended: SimpleQueue[Event | None] = SimpleQueue()
        self._batches: dict[Future[list[Outcome]], tuple[Job, ...]] = {}
        self._slots = 0
        self._slots_until = 0.0

    def __len__(self) -> int:
        return sum(len(jobs) for jobs in self._batches.values())

    def room(self) -> int:
        """How many images fit now; 0 until a whole batch fits, as each small claim costs a transaction."""
        held = len(self)
        room = BATCHES_A_SLOT * self._slots_now() * BATCH_IMAGES - held
        return 0 if held and room < BATCH_IMAGES else min(room, MOST_CLAIMED)

    def launch(self, jobs: Sequence[Job], *, more: bool) -> None:
        """Send images to the pool; with no `more` to come, a small number is spread over all slots."""
        most = BATCH_IMAGES if more else -(-len(jobs) // self._slots_now())
        for batch in cut(jobs, most=min(most, BATCH_IMAGES)):
            self._submit(batch)

    def gather(self, seconds: float) -> list[Outcome]:
        """Return ended images; waits for one, or for `wake`, at most `seconds`."""
        outcomes: list[Outcome] = []
        try:
            event = self._ended.get(timeout=seconds)
            while True:
                outcomes += self._outcomes_of(*event) if event else []
                event = self._ended.get_nowait()
        except Empty:
            return outcomes

    def wake(self) -> None:
        """Make `gather` return at once; safe to call from a signal handler."""
        self._ended.put(None)

    def cancel(self) -> None:
        """Start no further image; running ones finish."""
        if self._order.stop_file is not None:
            # On a full disk the batches that run end first.
            with suppress(OSError):
                self._order.stop_file.touch()
        for future in list(self._batches):
            future.cancel()

    def _slots_now(self) -> int:
        now = time.monotonic()
        if now >= self._slots_until:
            # A cluster may have no worker yet, and may grow.
            self._slots, self._slots_until = max(1, self._pool.slots()), now + SLOTS_SECONDS
        return self._slots

    def _submit(self, jobs: tuple[Job, ...]) -> None:
        try:
            future = self._pool.submit(render_batch, Batch(jobs=jobs, order=self._order))
        except WorkerError as error:
            future = Future()
            future.set_exception(error)
        self._batches[future] = jobs
        future.add_done_callback(lambda ended: self._ended.put((ended, jobs)))

    def _outcomes_of(self, future: "Future[list[Outcome]]", jobs: tuple[Job, ...]) -> list[Outcome]:
        del self._batches[future]
        try:
            return future.result()
        except CancelledError:
            return _not_begun(jobs)
        except ChildDied as error:
            return self._after_death(jobs, error)
        except ImgctlError as error:
            # Concerns no single image: errors of images return as outcomes.
            self.broken = self.broken or error
            return _not_begun(jobs)
        except Exception as error:
            # On a cluster a task may also fail while it is unpickled, or while its result is pickled.
            return self._one_by_one(jobs, f"{type(error).__name__}: {error}")

    def _after_death(self, jobs: tuple[Job, ...], error: ChildDied) -> list[Outcome]:
        if isinstance(error, PoolGone):
            self.broken = self.broken or WorkerError(error.message, hint="the same command goes on from here")
            return _not_begun(jobs)
        if error.reason == TOO_LARGE and len(jobs) == 1:
            # No other image ran in that process, and the next attempt would take as much memory.
            reason = "rendering it takes more than [work] memory allows: raise that"
            return [Outcome(job=jobs[0], ending=Ending.FATAL, error=reason, cause=MemoryError.__name__)]
        return self._one_by_one(jobs, f"rendering {error.reason}")

    def _one_by_one(self, jobs: tuple[Job, ...], reason: str) -> list[Outcome]:
        if len(jobs) == 1:
            return [Outcome(job=jobs[0], ending=Ending.CRASHED, error=reason)]
        log.warning("a process with %d images died (%s); each is tried alone", len(jobs), reason)
        for job in jobs:
            self._submit((job,))
        return []


def cut(jobs: Sequence[Job], *, most: int) -> Iterator[tuple[Job, ...]]:
    """Split jobs into batches of at most `most` images and 32 MiB; a retried image goes alone, so it harms no other."""
    batch: list[Job] = []
    size = 0
    for job in jobs:
        if job.tries > 1:
            yield (job,)
            continue
        if batch and (len(batch) >= most or size + job.size > BATCH_BYTES):
            yield tuple(batch)
            batch, size = [], 0
        batch.append(job)
        size += job.size
    if batch:
        yield tuple(batch)


def _not_begun(jobs: Sequence[Job]) -> list[Outcome]:
    return [Outcome(job=job, ending=Ending.NOT_BEGUN) for job in jobs]


class StoreWatch:
    """Holds back images that failed with a store error until the store has been checked.

    If the store works, the attempt counts. In an outage the run waits, and the images return with the attempt forgiven;
    `fatal` is the error that ends the run: no permission, no bucket, no space, or an outage beyond `outage_seconds`. A
    store may allow the check, and refuse variants: that ends the run unless others were put. It may deny originals: that
    ends the run after `MOST_REFUSED` of them in a row. The attempts of those few count only once another image has been
    rendered, or none is left.
    """

    def __init__(self, pool: Pool, store: StoreSettings, *, outage_seconds: float) -> None:
        self.fatal: StoreError | None = None
        self._pool = pool
        self._store = store
        self._outage_seconds = outage_seconds
        self._undecided: list[Outcome] = []
        # Denied although the check succeeded; and what the store denied since the last rendered image.
        self._denied: list[Outcome] = []
        self._denied_in_a_row: dict[UUID, Outcome] = {}
        self._checked: Future[None] | None = None
        self._down_since: float | None = None
        self._pause = FIRST_PAUSE_SECONDS
        self._check_at = 0.0
        self._has_put = False

    @property
    def unreachable(self) -> bool:
        """Whether the last check found the store down: then no image should begin."""
        return self._down_since is not None

    @property
    def undecided(self) -> bool:
        """Whether outcomes are held back."""
        return bool(self._undecided or self._denied)

    def decided(self, outcomes: list[Outcome], *, stopping: bool, idle: bool) -> list[Outcome]:
        """Return the outcomes that can be decided now, from these and from those held back; `idle`: no image is in flight."""
        self._note_denied(outcomes)
        self._undecided += [one for one in outcomes if one.ending is Ending.STORE_FAILED]
        decided = [one for one in outcomes if one.ending is not Ending.STORE_FAILED]
        if not self.undecided:
            return decided
        if stopping or self.fatal is not None:
            return decided + self._release(forgiven=True)
        decided += self._blamed(idle=idle and not self.unreachable)
        if not self._undecided:
            return decided
        self._check()
        if self._checked is not None and self._checked.done():
            decided += self._decide(self._checked)
        return decided

    def _note_denied(self, outcomes: list[Outcome]) -> None:
        for one in outcomes:
            if one.ending is Ending.RENDERED:
                self._has_put, self._denied_in_a_row = True, {}
            elif one.refused is not None or one.cause == StoreDenied.__name__:
                self._denied_in_a_row[one.job.id] = one

    def _blamed(self, *, idle: bool) -> list[Outcome]:
        """Return the denied images whose attempt counts: another one was rendered since, or no further one can be."""
        blamed = [one for one in self._denied if idle or one.job.id not in self._denied_in_a_row]
        self._denied = [one for one in self._denied if one not in blamed]
        return blamed

    def _hold_denied(self) -> None:
        """Hold back the denied images until others have shown whether the store denies all of them."""
        self._denied += [one for one in self._undecided if one.job.id in self._denied_in_a_row]
        self._undecided = [one for one in self._undecided if one.job.id not in self._denied_in_a_row]

    def _check(self) -> None:
        if self._checked is not None or time.monotonic() < self._check_at:
            return
        try:
            self._checked = self._pool.submit(check_store, self._store)
        except WorkerError:
            # Submitting the next images raises the same error and ends the run.
            self._check_at = time.monotonic() + LONGEST_PAUSE_SECONDS

    def _decide(self, checked: "Future[None]") -> list[Outcome]:
        self._checked = None
        error = checked.exception()
        if error is None:
            if self.unreachable:
                STORE_OUTAGES.succeeded()
            forgiven, self._down_since, self._pause = self.unreachable, None, FIRST_PAUSE_SECONDS
            self.fatal = self._denies_all()
            if self.fatal is None and not forgiven:
                self._hold_denied()
            return self._release(forgiven=forgiven or self.fatal is not None)
        now = time.monotonic()
        self._down_since = self._down_since or now
        lasting = now - self._down_since >= self._outage_seconds
        if isinstance(error, StoreError) and (lasting or not isinstance(error, StoreUnavailable)):
            self.fatal = error
            return self._release(forgiven=True)
        STORE_OUTAGES.failed(error)
        self._check_at, self._pause = now + self._pause, min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        return []

    def _denies_all(self) -> StoreError | None:
        """Return the error of a store that denies one image after another: their variants, or their originals."""
        variants = [one.refused for one in self._denied_in_a_row.values() if one.refused is not None]
        originals = [one.error or "" for one in self._denied_in_a_row.values() if one.refused is None]
        if len(variants) > (MOST_REFUSED if self._has_put else 0):
            return variants[0]
        return StoreDenied(originals[0]) if len(originals) > MOST_REFUSED else None

    def _release(self, *, forgiven: bool) -> list[Outcome]:
        released, self._undecided = self._undecided, []
        if not forgiven:
            return released
        released, self._denied = released + self._denied, []
        return [replace(one, ending=Ending.NOT_BEGUN) for one in released]
