"""The backfill's queue: ready rows, leased for as long as their variants are built, that stay in service all the while.

It never holds up uploads: `work` claims rows that are `processing`, a backfill takes rows that are `ready`, so that no
row is wanted by both and neither waits for the other's locks; its transactions are as short as a claim's.
"""

import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from uuid import UUID

from sqlalchemy import Connection

from imgctl.errors import StoreError, StoreUnavailable
from imgctl.model import Image
from imgctl.ops.backfill.ended import (
    Ended,
    Taken,
    ended,
    is_archived_after_all,
    job_of,
    leftovers_of,
    once_more,
    said_of,
)
from imgctl.ops.backfill.order import BackfillOrder, ImageOutcome
from imgctl.ops.backfill.search import Candidate, Found, Search
from imgctl.ops.parts import Parts
from imgctl.ops.retry import retry
from imgctl.ops.work.driver import Turn
from imgctl.ops.work.order import Ending, Outcome
from imgctl.run.stop import Stop
from imgctl.store.catalog.backfill import finish, release, take
from imgctl.store.catalog.lease import Hold

LOOK_SECONDS = 0.5
WAIT_SECONDS = 0.5
# So many rows that others hold are remembered; then it is seen which of them are done.
MOST_HELD = 1000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    """One transaction: what it wrote, of which `changed` was still ours, and what it took of those `picked`."""

    ended: list[Ended] = field(default_factory=list)
    changed: set[UUID] = field(default_factory=set)
    picked: list[Candidate] = field(default_factory=list)
    taken: dict[UUID, Image] = field(default_factory=dict)


class ReadyRows:
    """What `backfill` works through; see `ops.work.driver.Queue`."""

    def __init__(
        self,
        order: BackfillOrder,
        *,
        search: Search,
        parts: Parts,
        lease_seconds: float,
        stop: Stop,
    ) -> None:
        self._order = order
        self._search = search
        self._catalog = parts.catalog
        self._store = parts.store
        self._lease_seconds = lease_seconds
        self._stop = stop
        self._over = False
        self._candidates: deque[Candidate] = deque()
        self._held: set[UUID] = set()
        self._taken: dict[UUID, Taken] = {}
        self._turn = _Turn()

    @property
    def done(self) -> UUID:
        """The id up to which nothing is left to be done."""
        open_ids = {*self._held, *self._taken, *(one.image.id for one in self._candidates)}
        return min((UUID(int=one.int - 1) for one in open_ids), default=self._search.done)

    @property
    def over(self) -> bool:
        """Whether everything was done."""
        return self._over and not (self._held or self._taken or self._candidates)

    def look(self, room: int) -> tuple[Sequence[ImageOutcome], int]:
        """Walk on until enough is found, for a moment at most; then see whether what others held is done."""
        said: list[ImageOutcome] = []
        until = time.monotonic() + LOOK_SECONDS
        while not self._over and len(self._candidates) < room and time.monotonic() < until:
            found = self._search.next()
            self._over = found is None
            said += self._keep(found) if found else []
            if len(self._held) >= MOST_HELD:
                said += self._look_again()
        if self._over and self._held and not self._candidates:
            said += self._look_again()
        return said, min(room, len(self._candidates))

    def turn(self, connection: Connection, outcomes: Sequence[Outcome], room: int, *, idle: bool) -> Turn[ImageOutcome]:
        """Name what was built, let go of what was not, and lease what comes next."""
        done = [self._ended(one) for one in outcomes]
        changed = finish(connection, [one.built for one in done]) if done else set()
        picked = list(islice(self._candidates, room))
        seen = [Hold(id=one.image.id, attempts=one.image.attempts) for one in picked]
        taken = {one.id: one for one in take(connection, seen, lease_seconds=self._lease_seconds)} if seen else {}
        self._turn = _Turn(ended=done, changed=changed, picked=picked, taken=taken)
        jobs = [job_of(taken[one.image.id], one) for one in picked if one.image.id in taken and one.variants]
        return Turn(jobs=jobs, settled=[said_of(one, ours=one.taken.image.id in changed) for one in done])

    def committed(self, turn: Turn[ImageOutcome]) -> None:
        """Keep what was taken, then clear away what no row names any more."""
        done, self._turn = self._turn, _Turn()
        ours = [one for one in done.ended if one.taken.image.id in done.changed]
        clear = [(one.taken.image, one.clear) for one in ours if one.clear] + self._hold(done)
        for one in done.ended:
            self._taken.pop(one.taken.image.id, None)
        if clear:
            self._clear(clear)
        self._candidates += [once_more(one.taken) for one in ours if one.outcome.ending is Ending.NOT_BEGUN]
        # Not what the row said when it was taken: that is why it was tried.
        archived = [one.taken.image for one in ours if is_archived_after_all(one.outcome)]
        self._search.learn(archived, [seen for one in ours if (seen := one.taken.candidate.seen)])

    def wait(self) -> bool:
        """Go on at once while rows are left; wait for those that others hold; False when nothing is left."""
        if self._candidates or not self._over:
            return True
        if not self._held:
            return False
        log.info("waiting for %d images that another run holds", len(self._held))
        self._stop.wait(WAIT_SECONDS)
        return True

    def _keep(self, found: Found) -> list[ImageOutcome]:
        self._candidates += found.candidates
        self._held |= {one.id for one in found.held}
        return found.said

    def _look_again(self) -> list[ImageOutcome]:
        ids, self._held = tuple(self._held), set()
        return self._keep(self._search.again(ids))

    def _hold(self, done: _Turn) -> list[tuple[Image, tuple[str, ...]]]:
        """Remember what was taken; returns what is only to be cleared away."""
        empty = []
        for one in done.picked:
            self._candidates.popleft()
            image = done.taken.get(one.image.id)
            if image is None:
                # Somebody else was first.
                self._held.add(one.image.id)
            elif one.variants:
                self._taken[image.id] = Taken(image=image, candidate=one)
            else:
                empty.append((image, leftovers_of(image, {}, prefix=self._order.variants_prefix)))
        return empty

    def _ended(self, outcome: Outcome) -> Ended:
        order = self._order
        taken = self._taken[outcome.job.id]
        return ended(outcome, taken, recipe=order.selection.recipe, prefix=order.variants_prefix)

    def _clear(self, cleared: Sequence[tuple[Image, tuple[str, ...]]]) -> None:
        """Delete blobs while their rows are still held, then let the rows go: a run that dies here leaves a sign."""
        try:
            self._store.delete([key for _, keys in cleared for key in keys])
        except StoreUnavailable as error:
            log.warning("superseded variants were not deleted: %s; the next run does", error.line)
            return
        except StoreError as error:
            log.warning("superseded variants were not deleted: %s; an audit finds them", error.line)
        holds = [Hold(id=image.id, attempts=image.attempts) for image, _ in cleared]
        retry(partial(self._release, holds), stop=self._stop)

    def _release(self, holds: Sequence[Hold]) -> None:
        with self._catalog.write() as connection:
            release(connection, holds)
