"""The worker's queue: rows that are `processing`, oldest first."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection

from imgctl.ops.retry import retry
from imgctl.ops.work.order import Fate, ImageOutcome, WorkOrder
from imgctl.ops.work.queue import Turn
from imgctl.ops.work.record import Record, Verdict, judge, record
from imgctl.ops.work.task import Job, Outcome
from imgctl.run.stop import Stop
from imgctl.store.catalog.claims import Backlog, Claim, Position, backlog, claim, fail_spent
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.listen import Wait

BURIED_AT_ONCE = 64
SHORTEST_WAIT_SECONDS = 0.1

_FATES = {
    Record.FINISH: Fate.READY,
    Record.FAIL: Fate.FAILED,
    Record.RETRY: Fate.RETRY,
    Record.RETURN: Fate.RETURNED,
    Record.SHELVE: Fate.ARCHIVED,
}


class Processing:
    """What `work` works through; see `queue.Queue`."""

    def __init__(self, order: WorkOrder, *, catalog: Catalog, stop: Stop, wake: Wait) -> None:
        self._order = order
        self._catalog = catalog
        self._stop = stop
        self._wake = wake
        self._position = Position()

    def look(self, room: int) -> Sequence[ImageOutcome]:
        """Nothing: the claim itself looks."""
        return ()

    def offers(self) -> bool:
        """Always: only the claim knows."""
        return True

    def turn(self, connection: Connection, outcomes: Sequence[Outcome], room: int, *, idle: bool) -> Turn[ImageOutcome]:
        """Record what ended and claim what comes next; fail what used up its attempts without a word."""
        order = self._order
        verdicts = [judge(one, max_attempts=order.max_attempts) for one in outcomes]
        changed = record(connection, verdicts, recipe=order.recipe)
        settled = [_settled(verdict, changed=verdict.outcome.job.id in changed) for verdict in verdicts]
        claims = self._claim(connection, room) if room else []
        # Their workers died; only looked for while nothing flies.
        buried = (
            fail_spent(connection, max_attempts=order.max_attempts, limit=BURIED_AT_ONCE)
            if room and idle
            else list[UUID]()
        )
        return Turn(jobs=[_job(one) for one in claims], settled=settled + [_buried(one) for one in buried])

    def undo(self) -> None:
        """What was claimed was not committed: the next claim must not begin behind it."""
        self._position.rewind()

    def committed(self, turn: Turn[ImageOutcome]) -> None:
        """Listen closely while work comes in."""
        if turn.jobs:
            self._wake.busy()

    def wait(self) -> bool:
        """Wait for rows, leases and back-offs; False when drained."""
        rest = retry(self._look, stop=self._stop)
        if self._order.drain and rest.processing == 0:
            return False
        pauses = [self._order.poll_seconds, self._stop.remaining, rest.next_free_seconds]
        pause = min(one for one in pauses if one is not None)
        self._wake.wait(max(pause, SHORTEST_WAIT_SECONDS), self._stop.requested)
        return True

    def _claim(self, connection: Connection, room: int) -> list[Claim]:
        order = self._order
        return claim(
            connection,
            limit=room,
            lease_seconds=order.lease_seconds,
            max_attempts=order.max_attempts,
            position=self._position,
        )

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
