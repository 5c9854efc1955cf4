"""The worker's driver: claims rows, feeds the pool, and records how each image ended.

    catalog ─ claim ─▶ batches ─▶ pool (fetch, render, put) ─▶ outcomes ─ finish, fail, give back ─▶ catalog

One transaction records what has ended and claims what comes next.
"""

from collections.abc import Iterator
from contextlib import closing
from uuid import UUID

from sqlalchemy import Connection

from imgctl.errors import CatalogError, ImgctlError
from imgctl.ops.patience import patiently
from imgctl.ops.work.flights import Flights
from imgctl.ops.work.leases import Leases
from imgctl.ops.work.order import Fate, ImageOutcome, WorkOrder
from imgctl.ops.work.outage import StoreWatch
from imgctl.ops.work.record import Record, Verdict, judge, record
from imgctl.ops.work.task import Job, Outcome
from imgctl.run.pool import Pool
from imgctl.run.stop import Stop
from imgctl.store.catalog.claims import Backlog, Claim, Hold, Position, backlog, bury, claim, end_if_frozen
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.wake import Wake, open_wake

BURIED_AT_ONCE = 64
# In short steps, because a signal only sets a flag.
STEP_SECONDS = 0.2
SHORTEST_WAIT_SECONDS = 0.1

_FATES = {Record.FINISH: Fate.READY, Record.FAIL: Fate.FAILED, Record.RETRY: Fate.RETRY, Record.RETURN: Fate.RETURNED}


def work(order: WorkOrder, *, catalog: Catalog, pool: Pool, stop: Stop) -> Iterator[ImageOutcome]:
    """Build variants until `stop` is set, or nothing is left (`drain`); yields one outcome for each ended attempt.

    What has not begun by then is given back. Raises what ends the whole run (no bucket, no permission, no space,
    nobody answers, no database, no pool) after that.
    """
    with Leases(catalog, lease_seconds=order.lease_seconds) as leases, closing(open_wake(catalog)) as wake:
        run = _Run(order, catalog=catalog, leases=leases, pool=pool, stop=stop, wake=wake)
        yield from run.outcomes()
        if run.over is not None:
            raise run.over


class _Run:
    def __init__(
        self, order: WorkOrder, *, catalog: Catalog, leases: Leases, pool: Pool, stop: Stop, wake: Wake
    ) -> None:
        self._order = order
        self._catalog = catalog
        self._leases = leases
        self._stop = stop
        self._wake = wake
        self._flights = Flights(order, pool)
        self._watch = StoreWatch(pool, order.store, patience_seconds=order.patience_seconds)
        self._left = order.limit
        self._position = Position()

    @property
    def over(self) -> ImgctlError | None:
        """Why the run must end, if it must."""
        return self._watch.gone or self._flights.broken

    def outcomes(self) -> Iterator[ImageOutcome]:
        while True:
            outcomes = self._gather()
            room = self._room()
            claims, settled = self._transact(outcomes, room)
            self._launch(claims, more=len(claims) == room)
            yield from settled
            if self._in_hand:
                continue
            if self._stopping or self._left == 0 or not (settled or self._wait_for_work()):
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

    def _launch(self, claims: list[Claim], *, more: bool) -> None:
        if not claims:
            return
        self._wake.busy()
        if self._left is not None:
            self._left -= len(claims)
        self._leases.hold(Hold(id=one.id, attempts=one.attempts) for one in claims)
        self._flights.launch([_job(one) for one in claims], more=more)

    def _transact(self, outcomes: list[Outcome], room: int) -> tuple[list[Claim], list[ImageOutcome]]:
        """Record what ended and claim what comes next, in one transaction; none when there is neither."""
        if not outcomes and not room:
            return [], []
        verdicts = [judge(one, max_attempts=self._order.max_attempts) for one in outcomes]

        def transaction() -> tuple[list[Claim], set[UUID], list[UUID]]:
            try:
                with self._catalog.write() as connection:
                    end_if_frozen(connection, seconds=self._order.lease_seconds)
                    changed = record(connection, verdicts, recipe=self._order.recipe)
                    return self._claim(connection, room), changed, self._bury(connection, room)
            except CatalogError:
                # What it claimed was not committed: the next claim must not begin behind it.
                self._position.rewind()
                raise

        with self._leases.settling():
            claims, changed, buried = patiently(transaction, stop=self._stop)
            self._leases.drop(one.job.id for one in outcomes)
        settled = [_settled(verdict, changed=verdict.outcome.job.id in changed) for verdict in verdicts]
        return claims, settled + [_buried(one) for one in buried]

    def _claim(self, connection: Connection, room: int) -> list[Claim]:
        order = self._order
        if not room:
            return []
        return claim(
            connection,
            limit=room,
            lease_seconds=order.lease_seconds,
            max_attempts=order.max_attempts,
            position=self._position,
        )

    def _bury(self, connection: Connection, room: int) -> list[UUID]:
        """Fail what used up its attempts without a word: its workers died. Only looked for while nothing flies."""
        if not room or self._in_hand:
            return []
        return bury(connection, max_attempts=self._order.max_attempts, limit=BURIED_AT_ONCE)

    def _wait_for_work(self) -> bool:
        """With nothing in hand: wait for rows, leases and back-offs; False when drained."""
        rest = patiently(self._look, stop=self._stop)
        if self._order.drain and rest.processing == 0:
            return False
        pauses = [self._order.poll_seconds, self._stop.remaining, rest.next_free_seconds]
        pause = min(one for one in pauses if one is not None)
        self._wake.wait(max(pause, SHORTEST_WAIT_SECONDS), self._stop.requested)
        return True

    def _look(self) -> Backlog:
        with self._catalog.read() as connection:
            return backlog(connection)


def _job(one: Claim) -> Job:
    return Job(
        id=one.id,
        attempts=one.attempts,
        forgiven=one.forgiven,
        original_key=one.original_key or "",
        size=one.bytes or 0,
    )


def _settled(verdict: Verdict, *, changed: bool) -> ImageOutcome:
    outcome = verdict.outcome
    fate = _FATES[verdict.record] if changed else Fate.LOST
    return ImageOutcome(id=outcome.job.id, fate=fate, error=outcome.error, seconds=outcome.seconds)


def _buried(image: UUID) -> ImageOutcome:
    return ImageOutcome(id=image, fate=Fate.FAILED, error="gave up: its worker died each time")
