"""Moving originals, a batch at a time: promise in the rows, copy in the store, confirm in the rows.

A killed run leaves rows with the target class of an unfinished move, under a lease that lapses; the next run checks
the class of those originals in the store, then confirms the row, moves the original, or resets the row.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar
from uuid import UUID

from sqlalchemy import Connection

from imgctl.model import Image, Status
from imgctl.ops.common.open import Parts
from imgctl.ops.common.retry import StopSignal, read, write
from imgctl.ops.erase.late_puts import delete_if_erased
from imgctl.ops.transition.copy_in_store import Job, Moved, Mover, found_of, job_of, seen_of, settled_of
from imgctl.ops.transition.eligibility import Verdict
from imgctl.ops.transition.options import Fate, Outcome, Reason, TransitionOrder
from imgctl.ops.transition.restorable import check_restores
from imgctl.ops.transition.survey import Judges, outcome
from imgctl.ops.work.renew_leases import Leases
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.lease import Hold
from imgctl.store.catalog.queries.holds import in_force
from imgctl.store.catalog.queries.lookups import by_ids, clock
from imgctl.store.catalog.queries.storage_class import Seen, correct_classes, promise_moves, settle_moves

T = TypeVar("T")

# At the end, up to N rows of other transitions are checked once more; the next run handles the rest.
MOST_PENDING = 4096
PENDING_LEASES = 3
LONGEST_STEP_SECONDS = 1.0


def transition(judges: Judges, order: TransitionOrder, *, parts: Parts, stop: StopSignal) -> Iterator[Outcome]:
    """Move eligible originals; yields an outcome for each row of the order.

    When `stop` is set no further move begins. Raises the error that ends a whole run (no permission, no bucket, no
    space, unreachable, no database) after moves in flight are settled.
    """
    mover = Mover(
        parts.store,
        to=order.policy.to,
        concurrency=order.concurrency,
        rate=order.rate,
        delete_noncurrent=order.delete_noncurrent,
        hold_on=partial(_hold_on, parts.catalog, stop),
        stop=stop,
    )
    try:
        with Leases(parts.catalog, lease_seconds=order.lease_seconds, status=Status.READY) as leases:
            run = _Run(judges, order, parts=parts, mover=mover, leases=leases, stop=stop)
            yield from run.outcomes()
    finally:
        mover.close()
    if mover.gone is not None:
        raise mover.gone


def _hold_on(catalog: Catalog, stop: StopSignal, user_id: UUID) -> str:
    found = read(catalog, partial(in_force, user_id=user_id), stop=stop)
    return found[0].line if found else ""


class _Run:
    def __init__(
        self, judges: Judges, order: TransitionOrder, *, parts: Parts, mover: Mover, leases: Leases, stop: StopSignal
    ) -> None:
        self._judges = judges
        self._order = order
        self._parts = parts
        self._catalog = parts.catalog
        self._mover = mover
        self._leases = leases
        self._stop = stop
        self._left = order.limit
        self._is_checked = False
        self._pending: dict[UUID, datetime] = {}

    def outcomes(self) -> Iterator[Outcome]:
        for block in self._judges.blocks():
            yield from self._settle(self._without_pending(block))
            if self._is_over:
                break
        yield from self._wait_for_pending()

    @property
    def _is_over(self) -> bool:
        return self._mover.is_set() or self._left == 0

    # --- rows that other transitions hold

    def _without_pending(self, block: list[Verdict]) -> list[Verdict]:
        """Return the verdicts except for rows that another transition holds: those come last."""
        rest = []
        # A job at AWS holds its rows for a day: too long for this run.
        now = read(self._catalog, clock, stop=self._stop) if any(one.under_way for one in block) else None
        latest = now and now + timedelta(seconds=(PENDING_LEASES + 1) * self._order.lease_seconds)
        for verdict in block:
            until = verdict.image.leased_until
            soon = verdict.under_way and until is not None and latest is not None and until < latest
            if soon and until is not None and len(self._pending) < MOST_PENDING:
                self._pending[verdict.image.id] = until
            else:
                rest.append(verdict)
        return rest

    def _wait_for_pending(self) -> Iterator[Outcome]:
        """Settle rows that another transition releases, because it ended or was killed; waits a few leases at most."""
        deadline = time.monotonic() + PENDING_LEASES * self._order.lease_seconds
        while self._pending and not self._is_over:
            images, lasting = self._read(self._pending), time.monotonic() < deadline
            # Rebuilt: some rows may be erased by now, and the other transition has renewed the remaining leases.
            self._pending = {}
            verdicts = self._judges.judge(images)
            yield from self._settle(self._without_pending(verdicts) if lasting else verdicts)
            if self._pending and lasting:
                self._wait_for_a_lease()
        for image in self._read(self._pending):
            yield Outcome(image=image, fate=Fate.LEFT_OUT, reason=Reason.LEASED, detail="another transition moves it")

    def _wait_for_a_lease(self) -> None:
        now = read(self._catalog, clock, stop=self._stop)
        left = min(self._pending.values()) + timedelta(milliseconds=1) - now
        self._stop.wait(min(max(left.total_seconds(), 0.05), LONGEST_STEP_SECONDS))

    def _read(self, ids: dict[UUID, datetime]) -> list[Image]:
        found = read(self._catalog, partial(by_ids, ids=tuple(ids)), stop=self._stop) if ids else {}
        return sorted(found.values(), key=lambda image: image.id)

    # --- acting

    def _settle(self, block: Sequence[Verdict]) -> Iterator[Outcome]:
        """Act on a block's verdicts, up to the limit."""
        block = self._within_limit(block)
        passed = [one for one in block if one.refusal is None]
        misnamed = [one for one in block if one.refusal is not None and one.is_misnamed]
        if passed and not self._is_checked:
            settings, to = self._parts.settings.store, self._order.policy.to
            check_restores(self._parts.store, settings, to=to, stop=self._stop)
            self._is_checked = True
        settled: set[UUID] = set()
        if passed or misnamed:
            for done in self._act(passed, misnamed):
                settled.add(done.image.id)
                yield done
        for verdict in block:
            if verdict.image.id not in settled and verdict.refusal is not None:
                yield outcome(verdict, Fate.LEFT_OUT)

    def _within_limit(self, block: Sequence[Verdict]) -> Sequence[Verdict]:
        passed = [index for index, verdict in enumerate(block) if verdict.refusal is None]
        if self._left is None or len(passed) < self._left:
            return block
        return block[: passed[self._left - 1] + 1] if self._left else ()

    def _act(self, passed: Sequence[Verdict], misnamed: Sequence[Verdict]) -> Iterator[Outcome]:
        # Leased like a move: whoever places a hold waits for the end of both.
        left = [one for one in misnamed if self._order.delete_noncurrent and one.is_interrupted]
        rest = [one for one in misnamed if one not in left]
        promised, corrected = self._promise([*passed, *left], rest)
        jobs = {one.image.id: job_of(one, promised[one.image.id]) for one in passed if one.image.id in promised}
        concluding = [job_of(one, promised[one.image.id]) for one in left if one.image.id in promised]
        if self._left is not None:
            self._left -= len(jobs)
        # Those that a stop leaves keep their promise, by which the next run finds them.
        ended = {job.id: Moved(job=job, leaves=True) for job in concluding}
        ended |= {moved.job.id: moved for moved in self._mover.conclude(concluding)}
        ended |= {moved.job.id: moved for moved in self._mover.move(jobs.values())}
        erased = self._confirm((*jobs.values(), *concluding), ended)
        for verdict in rest:
            if verdict.image.id in corrected:
                yield outcome(verdict, Fate.RECORDED)
        for verdict in left:
            moved = ended.get(verdict.image.id)
            if moved is not None and verdict.image.id not in erased and (moved.error or not moved.leaves):
                yield _recorded(verdict, moved)
        for verdict in passed:
            image_id = verdict.image.id
            yield self._outcome_of(verdict, ours=image_id in jobs and image_id not in erased, moved=ended.get(image_id))

    def _promise(self, passed: Sequence[Verdict], misnamed: Sequence[Verdict]) -> tuple[dict[UUID, int], set[UUID]]:
        seen = [seen_of(verdict.image) for verdict in passed]
        found = [found_of(verdict) for verdict in misnamed]

        def statements(connection: Connection) -> tuple[dict[UUID, int], set[UUID]]:
            return self._promised(connection, seen), correct_classes(connection, found) if found else set()

        promised, corrected = self._write(statements)
        self._leases.hold(Hold(id=one, attempts=attempts) for one, attempts in promised.items())
        return promised, corrected

    def _promised(self, connection: Connection, seen: list[Seen]) -> dict[UUID, int]:
        if not seen:
            return {}
        lease_seconds = self._order.lease_seconds
        return promise_moves(connection, seen, to=self._order.policy.to, lease_seconds=lease_seconds)

    def _confirm(self, jobs: Sequence[Job], ended: dict[UUID, Moved]) -> set[UUID]:
        """Write how jobs ended; returns the ids of images that were erased meanwhile."""
        settled = [settled_of(job, ended.get(job.id), to=self._order.policy.to) for job in jobs]
        known = [one for one in settled if one is not None]

        with self._leases.settling():
            settled_ids = self._write(lambda connection: settle_moves(connection, known)) if known else set()
            self._leases.drop(job.id for job in jobs)
        # A copy in place that completes after its image was erased brings the original back.
        lost = [job.id for job in jobs if job.id not in settled_ids]
        return delete_if_erased(self._catalog, self._parts.store, self._parts.settings.store, lost, stop=self._stop)

    def _write(self, statements: Callable[[Connection], T]) -> T:
        return write(self._catalog, statements, stop=self._stop, lease_seconds=self._order.lease_seconds)

    def _outcome_of(self, verdict: Verdict, *, ours: bool, moved: Moved | None) -> Outcome:
        image, to = verdict.image, self._order.policy.to
        if not ours:
            detail = "its row changed or is leased; the next run checks again"
            return Outcome(image=image, fate=Fate.LEFT_OUT, reason=Reason.CHANGED, detail=detail)
        if moved is None:
            return Outcome(image=image, fate=Fate.LEFT_OUT, reason=Reason.STOPPED, detail="the run ended before")
        seen = moved.blob.storage_class if moved.blob else None
        if moved.error is None:
            return Outcome(image=image, fate=Fate.MOVED, storage_class=to, detail=_kept(moved.hold))
        detail = moved.error.line if moved.is_known else f"it may have moved, the next run checks: {moved.error.line}"
        return Outcome(image=image, fate=Fate.FAILED, detail=detail, storage_class=seen)


def _recorded(verdict: Verdict, moved: Moved) -> Outcome:
    """Return the outcome of an original that an earlier run moved."""
    if moved.error is not None:
        return replace(outcome(verdict, Fate.FAILED), detail=moved.error.line)
    recorded = outcome(verdict, Fate.RECORDED)
    return replace(recorded, detail=_kept(moved.hold)) if moved.hold else recorded


def _kept(hold: str) -> str:
    return f"its old version stays, as its owner's images must not be deleted: {hold}" if hold else ""
