"""Batches of images on their way through the pool; one whose process died is run again image by image."""

import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future
from queue import Empty, SimpleQueue

from imgctl.errors import ImgctlError, WorkerError
from imgctl.ops.work.order import WorkOrder
from imgctl.ops.work.task import Batch, Ending, Job, Outcome, render_batch
from imgctl.run.child import TOO_LARGE
from imgctl.run.pool import ChildDied, Pool, PoolGone

BATCH_IMAGES = 8
BATCH_BYTES = 32 * 2**20
# One that runs and one that waits.
BATCHES_A_SLOT = 2
MOST_CLAIMED = 1024
SLOTS_SECONDS = 5.0

log = logging.getLogger(__name__)

Event = tuple["Future[list[Outcome]]", tuple[Job, ...]]


class Flights:
    """What the pool holds for this worker; `broken` is why it can hold nothing any more."""

    def __init__(self, order: WorkOrder, pool: Pool) -> None:
        self.broken: ImgctlError | None = None
        self._order = order
        self._pool = pool
        self._ended: SimpleQueue[Event | None] = SimpleQueue()
        self._flying: dict[Future[list[Outcome]], tuple[Job, ...]] = {}
        self._slots = 0
        self._slots_until = 0.0

    def __len__(self) -> int:
        return sum(len(jobs) for jobs in self._flying.values())

    def room(self) -> int:
        """How many images may come now; 0 until a whole batch fits, as small claims cost a transaction each."""
        held = len(self)
        room = BATCHES_A_SLOT * self._slots_now() * BATCH_IMAGES - held
        return 0 if held and room < BATCH_IMAGES else min(room, MOST_CLAIMED)

    def launch(self, jobs: Sequence[Job], *, more: bool) -> None:
        """Send images to the pool; unless there are `more` to come, few of them are spread over all its slots."""
        most = BATCH_IMAGES if more else -(-len(jobs) // self._slots_now())
        for batch in cut(jobs, most=min(most, BATCH_IMAGES)):
            self._submit(batch)

    def gather(self, seconds: float) -> list[Outcome]:
        """What has ended; waits for something to, or to be woken, at most so long."""
        outcomes: list[Outcome] = []
        try:
            event = self._ended.get(timeout=seconds)
            while True:
                outcomes += self._outcomes_of(*event) if event else []
                event = self._ended.get_nowait()
        except Empty:
            return outcomes

    def wake(self) -> None:
        """Let `gather` return at once; a signal handler may call this."""
        self._ended.put(None)

    def cancel(self) -> None:
        """Begin nothing more; what runs ends."""
        if self._order.stop_file is not None:
            self._order.stop_file.touch()
        for future in list(self._flying):
            future.cancel()

    def _slots_now(self) -> int:
        now = time.monotonic()
        if now >= self._slots_until:
            # A cluster may grow, and have no worker yet.
            self._slots, self._slots_until = max(1, self._pool.slots()), now + SLOTS_SECONDS
        return self._slots

    def _submit(self, jobs: tuple[Job, ...]) -> None:
        order = self._order
        batch = Batch(
            jobs=jobs,
            store=order.store,
            recipe=order.recipe,
            limits=order.limits,
            timeout_seconds=order.timeout_seconds,
            stop_file=order.stop_file,
            spool=order.spool,
        )
        try:
            future = self._pool.submit(render_batch, batch)
        except WorkerError as error:
            future = Future()
            future.set_exception(error)
        self._flying[future] = jobs
        future.add_done_callback(lambda ended: self._ended.put((ended, jobs)))

    def _outcomes_of(self, future: "Future[list[Outcome]]", jobs: tuple[Job, ...]) -> list[Outcome]:
        del self._flying[future]
        try:
            return future.result()
        except CancelledError:
            return _not_begun(jobs)
        except ChildDied as error:
            return self._after_death(jobs, error)
        except ImgctlError as error:
            # Not of one image: those come back as outcomes.
            self.broken = self.broken or error
            return _not_begun(jobs)
        except Exception as error:
            # On a cluster a task may fail in ways of its own: where it is unpacked, or its answer packed.
            return self._one_by_one(jobs, f"{type(error).__name__}: {error}")

    def _after_death(self, jobs: tuple[Job, ...], error: ChildDied) -> list[Outcome]:
        if isinstance(error, PoolGone):
            self.broken = self.broken or WorkerError(error.message, hint="the same command goes on from here")
            return _not_begun(jobs)
        if error.reason == TOO_LARGE and len(jobs) == 1:
            # Nothing else ran there, and the next attempt would take as much.
            reason = "rendering it takes more than [work] memory allows: raise that"
            return [Outcome(job=jobs[0], ending=Ending.HOPELESS, error=reason, cause=MemoryError.__name__)]
        return self._one_by_one(jobs, f"rendering {error.reason}")

    def _one_by_one(self, jobs: tuple[Job, ...], reason: str) -> list[Outcome]:
        if len(jobs) == 1:
            return [Outcome(job=jobs[0], ending=Ending.CRASHED, error=reason)]
        log.warning("a process with %d images died (%s); each is tried alone", len(jobs), reason)
        for job in jobs:
            self._submit((job,))
        return []


def cut(jobs: Sequence[Job], *, most: int) -> Iterator[tuple[Job, ...]]:
    """Batches of at most `most` images and 32 MiB; what was tried before goes alone, so that it harms nobody again."""
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
