"""The driver of everything that renders: takes rows, feeds the pool, and records how each image ended.

    queue ─ take ─▶ batches ─▶ pool (fetch, render, put) ─▶ outcomes ─ record ─▶ queue

One transaction records what has ended and takes what comes next. Which rows those are is the queue's affair.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Generic, TypeVar

from imgctl.errors import CatalogError, ImgctlError
from imgctl.ops.retry import retry
from imgctl.ops.work.flights import Flights
from imgctl.ops.work.leases import Leases
from imgctl.ops.work.order import ImageOutcome, WorkOrder
from imgctl.ops.work.outage import StoreWatch
from imgctl.ops.work.processing import Processing
from imgctl.ops.work.queue import Queue, Turn
from imgctl.ops.work.task import Job, Outcome
from imgctl.run.pool import Pool
from imgctl.run.stop import Stop
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.lease import Hold, end_if_frozen
from imgctl.store.catalog.listen import open_wait

T = TypeVar("T")

# How soon a deadline is noticed; a signal wakes at once.
STEP_SECONDS = 0.2


def work(order: WorkOrder, *, catalog: Catalog, pool: Pool, stop: Stop) -> Iterator[ImageOutcome]:
    """Build variants until `stop` is set, or nothing is left (`drain`); yields one outcome for each ended attempt.

    What has not begun by then is given back. Raises what ends the whole run (no bucket, no permission, no space,
    nobody answers, no database, no pool) after that.
    """
    with Leases(catalog, lease_seconds=order.lease_seconds) as leases, closing(open_wait(catalog)) as wake:
        queue = Processing(order, catalog=catalog, stop=stop, wake=wake)
        yield from drive(order, queue, catalog=catalog, leases=leases, pool=pool, stop=stop)


def drive(
    order: WorkOrder, queue: Queue[T], *, catalog: Catalog, leases: Leases, pool: Pool, stop: Stop
) -> Iterator[T]:
    """Work through a queue; ends and raises as `work` does, and says what the queue says."""
    run = _Run(order, queue, catalog=catalog, leases=leases, pool=pool, stop=stop)
    yield from run.outcomes()
    if run.over is not None:
        raise run.over


class _Run(Generic[T]):
    def __init__(
        self, order: WorkOrder, queue: Queue[T], *, catalog: Catalog, leases: Leases, pool: Pool, stop: Stop
    ) -> None:
        self._order = order
        self._queue = queue
        self._catalog = catalog
        self._leases = leases
        self._stop = stop
        self._flights = Flights(order, pool)
        self._watch = StoreWatch(pool, order.store, patience_seconds=order.patience_seconds)
        self._left = order.limit
        stop.requested.wake(self._flights.wake)

    @property
    def over(self) -> ImgctlError | None:
        """Why the run must end, if it must."""
        return self._watch.gone or self._flights.broken

    def outcomes(self) -> Iterator[T]:
        while True:
            outcomes = self._gather()
            room = self._room()
            if room:
                yield from self._queue.look(room)
            turn = self._transact(outcomes, room)
            self._launch(turn.jobs, more=len(turn.jobs) == room)
            yield from turn.settled
            if self._in_hand:
                continue
            if self._stopping or self._left == 0 or not (turn.settled or self._queue.wait()):
                return

    @property
    def _in_hand(self) -> bool:
        return len(self._flights) > 0 or self._watch.undecided

    @property
    def _stopping(self) -> bool:
        return self.over is not None or self._stop.is_set()

    def _gather(self) -> list[Outcome]:
        outcomes = self._flights.gather(STEP_SECONDS) if self._in_hand else []
        judged = self._watch.sift(outcomes, stopping=self._stopping)
        if self._stopping:
            self._flights.cancel()
        return judged

    def _room(self) -> int:
        if self._stopping or self._watch.away:
            return 0
        room = self._flights.room()
        return room if self._left is None else min(room, self._left)

    def _launch(self, jobs: Sequence[Job], *, more: bool) -> None:
        if not jobs:
            return
        if self._left is not None:
            self._left -= len(jobs)
        self._leases.hold(Hold(id=one.id, attempts=one.attempts) for one in jobs)
        self._flights.launch(jobs, more=more)

    def _transact(self, outcomes: list[Outcome], room: int) -> Turn[T]:
        """Record what ended and take what comes next, in one transaction; none when there is neither."""
        if not outcomes and not (room and self._queue.offers()):
            return Turn()

        def transaction() -> Turn[T]:
            try:
                with self._catalog.write() as connection:
                    end_if_frozen(connection, seconds=self._order.lease_seconds)
                    return self._queue.turn(connection, outcomes, room, idle=not self._in_hand)
            except CatalogError:
                self._queue.undo()
                raise

        with self._leases.settling():
            turn = retry(transaction, stop=self._stop)
            self._leases.drop(one.job.id for one in outcomes)
        self._queue.committed(turn)
        return turn
