"""`imgctl work`: the queue of rows that are `processing`, oldest first, and how each attempt is recorded."""

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from dataclasses import replace
from functools import partial
from uuid import UUID

from sqlalchemy import Connection

from imgctl.errors import BlobArchived, BlobMissing
from imgctl.imaging.recipe_digest import digest
from imgctl.model import LOST, Recipe, StorageClass, Variant, offline_class
from imgctl.ops.common.open import Parts
from imgctl.ops.common.retry import read
from imgctl.ops.erase.late_puts import delete_if_erased
from imgctl.ops.notify.webhook import Webhook
from imgctl.ops.work.capacity import Capacity
from imgctl.ops.work.driver import Turn, drive, rendering
from imgctl.ops.work.options import Ending, Fate, ImageOutcome, Job, Outcome, WorkOrder
from imgctl.ops.work.render_task import set_up_child
from imgctl.ops.work.renew_leases import Leases
from imgctl.run.pools.pool import Pool
from imgctl.run.stop import Stop
from imgctl.store.blobs.open import open_store
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.listen import Wait, open_wait
from imgctl.store.catalog.queries.claims import HEAD_ROWS, Claim, Position, backlog, claim, fail_spent
from imgctl.store.catalog.queries.fingerprints import Fingerprint, keep
from imgctl.store.catalog.queries.reservations import ENDED_CHANNEL, announce
from imgctl.store.catalog.queries.results import FailedImage, Finished, GivenBack, fail, finish, give_back, park
from imgctl.units import count_of

FAILED_AT_ONCE = 64
SHORTEST_WAIT_SECONDS = 0.1
FIRST_BACKOFF_SECONDS = 2.0
LONGEST_BACKOFF_SECONDS = 300.0


def work_here(parts: Parts, *, stop: Stop, drain: bool, limit: int | None = None) -> Iterator[ImageOutcome]:
    """Build variants in the pool that the settings define (see `work`), and notify the webhook."""
    with rendering(parts.settings, setup=partial(set_up_child, parts.settings.log)) as (order, pool):
        wanted = replace(order, drain=drain, limit=limit)
        with Webhook(parts.settings.notify, parts.catalog) as hook:
            for outcome in work(wanted, catalog=parts.catalog, pool=pool, stop=stop):
                hook.add(outcome.id, outcome.fate, outcome.error)
                yield outcome


def work(order: WorkOrder, *, catalog: Catalog, pool: Pool, stop: Stop) -> Iterator[ImageOutcome]:
    """Build variants until `stop` is set, or nothing is left (`drain`); one outcome for each ended attempt.

    Ends and raises as `drive` does.
    """
    with Leases(catalog, lease_seconds=order.lease_seconds) as leases, closing(open_wait(catalog)) as wait:
        queue = Processing(order, catalog=catalog, stop=stop, wait=wait)
        yield from drive(order, queue, catalog=catalog, leases=leases, pool=pool, stop=stop)


def expected(parts: Parts, *, limit: int | None) -> int | None:
    """How many images a run will process, where that is cheap to count; None for a backlog of `HEAD_ROWS` or more."""
    with parts.catalog.read() as connection:
        waiting = backlog(connection).processing
    counted = waiting if waiting < HEAD_ROWS else None
    return min((one for one in (counted, limit) if one is not None), default=None)


class Processing:
    """The queue that `work` drives; see `driver.Queue`."""

    def __init__(self, order: WorkOrder, *, catalog: Catalog, stop: Stop, wait: Wait) -> None:
        self._order = order
        self._catalog = catalog
        self._stop = stop
        self._wait = wait
        self._position = Position()
        self._capacity = Capacity()

    def look(self, room: int) -> tuple[Sequence[ImageOutcome], int]:
        """Report nothing: the claim itself searches."""
        return (), room

    def turn(self, connection: Connection, outcomes: Sequence[Outcome], room: int, *, idle: bool) -> Turn[ImageOutcome]:
        """Record ended images and claim new ones; fail rows that used up their attempts without an outcome."""
        order = self._order
        self._capacity.record(outcomes)
        archive = offline_class(order.store.url)
        settled = record(
            connection, outcomes, recipe=order.recipe, max_attempts=order.max_attempts, archive_class=archive
        )
        claims: list[Claim] = []
        if room:
            claims = claim(
                connection,
                limit=self._capacity.most(room),
                lease_seconds=order.lease_seconds,
                max_attempts=order.max_attempts,
                position=self._position,
                renderable=self._capacity.renderable,
            )
        if room and idle:
            # Rows whose workers died; queried only while nothing is in flight.
            spent = fail_spent(connection, max_attempts=order.max_attempts, limit=FAILED_AT_ONCE)
            error = "gave up: its worker died each time"
            settled += [ImageOutcome(id=one, fate=Fate.FAILED, error=error) for one in spent]
        return Turn(jobs=[job_of(one) for one in claims], settled=settled)

    def committed(self, turn: Turn[ImageOutcome]) -> None:
        """Shorten the next wait while work arrives; delete variants of images that were erased while being rendered."""
        self._capacity.committed(turn.jobs, ended=(one.id for one in turn.settled))
        if turn.jobs:
            self._wait.busy()
        if lost := [one.id for one in turn.settled if one.fate is Fate.LOST]:
            store = self._order.store
            delete_if_erased(self._catalog, open_store(store), store, lost, stop=self._stop)

    def wait(self) -> bool:
        """Wait for rows, leases and back-offs; False when drained of what this machine can render."""
        if self._capacity.again(idle=True):
            self._position.rewind()
            return True
        left = read(self._catalog, partial(backlog, renderable=self._capacity.renderable), stop=self._stop)
        if self._order.drain and left.processing == 0:
            return False
        retry = self._capacity.seconds_to_retry()
        pauses = [self._order.poll_seconds, self._stop.remaining, left.next_free_seconds, retry]
        pause = min(one for one in pauses if one is not None)
        self._wait.wait(max(pause, SHORTEST_WAIT_SECONDS), self._stop.requested)
        return True


def job_of(one: Claim) -> Job:
    """Return the job for a claimed image."""
    key, size = one.original_key or "", one.bytes or 0
    return Job(id=one.id, attempts=one.attempts, forgiven=one.forgiven, original_key=key, size=size)


def judge(outcome: Outcome, *, max_attempts: int) -> Fate:
    """Return the fate: ready when rendered, failed when fatal or out of attempts, else retried.

    An attempt that did not begin is forgiven, and so are one on an archived original, which waits for its restore, and
    one that failed for a lack of this machine.
    """
    if outcome.ending is Ending.RENDERED:
        return Fate.READY
    if outcome.ending is Ending.DEFERRED:
        return Fate.DEFERRED
    if outcome.cause == BlobArchived.__name__:
        return Fate.ARCHIVED
    if outcome.ending is Ending.NOT_BEGUN:
        return Fate.RETURNED
    fatal = outcome.ending is Ending.FATAL or outcome.job.tries >= max_attempts
    return Fate.FAILED if fatal else Fate.RETRY


def record(
    connection: Connection,
    outcomes: Sequence[Outcome],
    *,
    recipe: Recipe,
    max_attempts: int,
    archive_class: StorageClass = StorageClass.GLACIER,
) -> list[ImageOutcome]:
    """Write how images ended, one statement per fate; an image whose row another worker has taken over is `lost`.

    An original that proved to be archived has `archive_class` until the next look into the store.
    """
    fates = {one.job.id: judge(one, max_attempts=max_attempts) for one in outcomes}

    def of(*wanted: Fate) -> list[Outcome]:
        return [one for one in outcomes if fates[one.job.id] in wanted]

    changed: set[UUID] = set()
    if ready := of(Fate.READY):
        name = digest(recipe)
        changed |= finish(connection, [_finished(one, name) for one in ready])
        note_looks(connection, ready, changed)
    if failed := of(Fate.FAILED):
        changed |= fail(connection, [_failed(one) for one in failed])
    if changed:
        announce(connection, ENDED_CHANNEL)
    if archived := of(Fate.ARCHIVED):
        changed |= park(connection, [_failed(one) for one in archived], storage_class=archive_class)
    if returned := of(Fate.RETRY, Fate.RETURNED, Fate.DEFERRED):
        changed |= give_back(connection, [_given_back(one, fates[one.job.id]) for one in returned])
    return [
        ImageOutcome(
            id=one.job.id,
            fate=fates[one.job.id] if one.job.id in changed else Fate.LOST,
            error=one.error,
            seconds=one.seconds,
        )
        for one in outcomes
    ]


def note_looks(connection: Connection, outcomes: Iterable[Outcome], changed: AbstractSet[UUID]) -> None:
    """Store the images' fingerprints, where they were computed and this worker still held the rows."""
    found = ((one.job.id, one.looks) for one in outcomes if one.job.id in changed)
    keep(connection, [Fingerprint(id=image_id, hash=looks) for image_id, looks in found if looks is not None])


def _finished(outcome: Outcome, recipe: str) -> Finished:
    keys, job = outcome.keys, outcome.job
    return Finished(
        id=job.id,
        attempts=job.attempts,
        thumb_key=keys[Variant.THUMB],
        medium_key=keys[Variant.MEDIUM],
        full_key=keys[Variant.FULL],
        width=outcome.width,
        height=outcome.height,
        recipe=recipe,
        error=outcome.error,
    )


def _failed(outcome: Outcome) -> FailedImage:
    job, why = outcome.job, outcome.error or "no reason was given"
    if outcome.ending is not Ending.FATAL:
        why = f"gave up after {count_of(job.tries, 'attempt')}: {why}"
    elif outcome.cause == BlobMissing.__name__:
        # So that another upload of the photo stores it again.
        why = f"{LOST}{why}"
    return FailedImage(id=job.id, attempts=job.attempts, error=why)


def _given_back(outcome: Outcome, fate: Fate) -> GivenBack:
    job = outcome.job
    if fate is not Fate.RETRY:
        return GivenBack(id=job.id, attempts=job.attempts, error=outcome.error, refund=True)
    delay = min(FIRST_BACKOFF_SECONDS * 2 ** (job.tries - 1), LONGEST_BACKOFF_SECONDS)
    return GivenBack(id=job.id, attempts=job.attempts, error=outcome.error, delay_seconds=delay)
