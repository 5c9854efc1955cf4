"""The driver of everything that renders: takes rows, feeds the pool, and records how each image ended.

    queue ─ take ─▶ batches ─▶ pool (fetch, render, put) ─▶ outcomes ─ record ─▶ queue

One transaction records the images that ended and takes the next ones. The queue chooses the rows.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from sqlalchemy import Connection

from imgctl.config.settings import Settings
from imgctl.errors import ImgctlError
from imgctl.ops.common.retry import write
from imgctl.ops.work.in_flight import InFlight, StoreWatch
from imgctl.ops.work.options import Ending, Job, Outcome, WorkOrder, order_of
from imgctl.ops.work.renew_leases import Leases
from imgctl.run import service
from imgctl.run.limits import cores
from imgctl.run.pools.open import open_pool
from imgctl.run.pools.pool import Pool, PoolSettings
from imgctl.run.scratch import Scratch
from imgctl.run.stop import Stop
from imgctl.run.telemetry import trace
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.lease import Hold

T = TypeVar("T")

# How soon a deadline is noticed; a signal wakes at once.
STEP_SECONDS = 0.2
# While one process waits for the store, another of the same core renders.
PROCESSES_PER_JOB = 2
RECYCLE_AFTER_BATCHES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn(Generic[T]):
    """One transaction's result: the images it took, and what to report of those that ended."""

    jobs: Sequence[Job] = ()
    settled: Sequence[T] = ()


class Queue(Protocol[T]):
    """Where a driver's images come from and go to; called by the driver's thread alone."""

    def look(self, room: int) -> tuple[Sequence[T], int]:
        """Before the transaction: find up to `room` images to take; return the search's reports and the number found."""

    def turn(self, connection: Connection, outcomes: Sequence[Outcome], room: int, *, idle: bool) -> Turn[T]:
        """Record how images ended and take up to `room` new ones; may be called again, whether or not it committed."""

    def committed(self, turn: Turn[T]) -> None:
        """Called once the turn's transaction has committed."""

    def wait(self) -> bool:
        """With nothing in flight: wait until there may be new work; False when nothing is left."""


@contextmanager
def rendering(settings: Settings, *, setup: Callable[[], None]) -> Iterator[tuple[WorkOrder, Pool]]:
    """Open the work order and the pool that the settings define; `setup` runs first in each process on this machine."""
    pool = open_pool(
        PoolSettings(
            jobs=(settings.work.jobs or cores()) * PROCESSES_PER_JOB,
            memory_bytes=settings.work.memory,
            scheduler=settings.work.scheduler or None,
            recycle_after=RECYCLE_AFTER_BATCHES,
            setup=setup,
        )
    )
    finished = False
    try:
        with Scratch("work") as scratch:
            yield order_of(settings, scratch.path), pool
            finished = True
    finally:
        pool.close(now=not finished)


def drive(
    order: WorkOrder, queue: Queue[T], *, catalog: Catalog, leases: Leases, pool: Pool, stop: Stop
) -> Iterator[T]:
    """Work through a queue until `stop` is set or nothing is left; yields what the queue reports.

    Images that have not begun by then are returned to the queue. Then raises the error that ends the whole run: no
    bucket, no permission, no space, a lasting outage, no database, no pool.
    """
    run = _Run(order, queue, catalog=catalog, leases=leases, pool=pool, stop=stop)
    yield from run.outcomes()
    if run.fatal is not None:
        raise run.fatal


class _Run(Generic[T]):
    def __init__(
        self, order: WorkOrder, queue: Queue[T], *, catalog: Catalog, leases: Leases, pool: Pool, stop: Stop
    ) -> None:
        self._order = order
        self._queue = queue
        self._catalog = catalog
        self._leases = leases
        self._stop = stop
        self._in_flight = InFlight(order, pool)
        self._watch = StoreWatch(pool, order.store, outage_seconds=order.outage_seconds)
        self._left = order.limit
        # When each image in flight was taken; filled in traced runs only.
        self._taken: dict[UUID, trace.Stage] = {}
        stop.requested.wake(self._in_flight.wake)

    @property
    def fatal(self) -> ImgctlError | None:
        """Why the run must end, if it must."""
        return self._watch.fatal or self._in_flight.broken

    def outcomes(self) -> Iterator[T]:
        while True:
            service.alive()
            outcomes = self._gather()
            room = self._room()
            found, takes = self._queue.look(room) if room else ((), 0)
            yield from found
            turn = self._transact(outcomes, takes)
            self._launch(turn.jobs, more=len(turn.jobs) == room)
            yield from turn.settled
            if self._is_busy:
                continue
            if self._is_stopping or self._left == 0 or not (turn.settled or self._queue.wait()):
                return

    @property
    def _is_busy(self) -> bool:
        return len(self._in_flight) > 0 or self._watch.undecided

    @property
    def _is_stopping(self) -> bool:
        return self.fatal is not None or self._stop.is_set()

    def _gather(self) -> list[Outcome]:
        # Then the last transaction has taken no further image either.
        idle = len(self._in_flight) == 0
        outcomes = self._in_flight.gather(STEP_SECONDS) if self._is_busy else []
        decided = self._watch.decided(outcomes, stopping=self._is_stopping, idle=idle)
        if self._is_stopping:
            self._in_flight.cancel()
        return decided

    def _room(self) -> int:
        if self._is_stopping or self._watch.unreachable:
            return 0
        room = self._in_flight.room()
        return room if self._left is None else min(room, self._left)

    def _launch(self, jobs: Sequence[Job], *, more: bool) -> None:
        if not jobs:
            return
        if self._left is not None:
            self._left -= len(jobs)
        self._leases.hold(Hold(id=one.id, attempts=one.attempts) for one in jobs)
        self._in_flight.launch(jobs, more=more)

    def _transact(self, outcomes: list[Outcome], takes: int) -> Turn[T]:
        """Record ended images and take new ones, in one transaction; no transaction when there is neither."""
        if not outcomes and not takes:
            return Turn()

        def statements(connection: Connection) -> Turn[T]:
            return self._queue.turn(connection, outcomes, takes, idle=not self._is_busy)

        began = trace.clock()
        with self._leases.settling():
            turn = write(self._catalog, statements, stop=self._stop, lease_seconds=self._order.lease_seconds)
            self._leases.drop(one.job.id for one in outcomes)
        self._queue.committed(turn)
        if began:
            self._trace(outcomes, turn.jobs, began)
        return turn

    def _trace(self, outcomes: Sequence[Outcome], taken: Sequence[Job], began: int) -> None:
        """Record the traces of ended images, and the claim stage of taken ones; the transaction ran from `began` to now."""
        for one in outcomes:
            claim = self._taken.pop(one.job.id, None)
            stages = (*((claim,) if claim else ()), *one.stages, trace.Stage("finish", began, trace.clock()))
            trace.record(_span(one, stages))
        claimed = trace.Stage("claim", began, trace.clock())
        self._taken |= dict.fromkeys((one.id for one in taken), claimed)


def _span(outcome: Outcome, stages: tuple[trace.Stage, ...]) -> trace.Span:
    job, failed = outcome.job, outcome.ending not in (Ending.RENDERED, Ending.NOT_BEGUN)
    about: dict[str, str | int | float] = {
        "imgctl.image.id": str(job.id),
        "imgctl.ending": outcome.ending,
        "imgctl.attempt": job.tries,
        "imgctl.bytes": job.size,
    }
    if outcome.cause:
        about["error.type"] = outcome.cause
    error = (outcome.error or outcome.ending) if failed else ""
    began, ended = stages[0].began, stages[-1].ended
    return trace.Span(name="image", trace=job.id, began=began, ended=ended, stages=stages, about=about, error=error)
