"""The backfill's queue: ready rows, leased for as long as their variants are built, that stay in service all the while.

It never holds up uploads: `work` claims rows that are `processing`, a backfill takes rows that are `ready`, so that no
row is wanted by both and neither waits for the other's locks; its transactions are as short as a claim's.
"""

import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from uuid import UUID

from sqlalchemy import Connection

from imgctl.errors import BlobArchived, StoreError, StoreUnavailable
from imgctl.model import Image, StorageClass, Variant, is_archived
from imgctl.ops.backfill.order import BackfillOrder, Fate, ImageOutcome
from imgctl.ops.backfill.search import Candidate, Found, Search
from imgctl.ops.backfill.wanted import leftovers, recipe_after, superseded
from imgctl.ops.parts import Parts
from imgctl.ops.patience import patiently
from imgctl.ops.work.queue import Turn
from imgctl.ops.work.task import Ending, Job, Outcome
from imgctl.run.stop import Stop
from imgctl.store.catalog.claims import Hold
from imgctl.store.catalog.life import Built, finish, release, take

LOOK_SECONDS = 0.5
WAIT_SECONDS = 0.5
# So many rows that others hold are remembered; then it is seen which of them are done.
MOST_HELD = 1000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """A row that is ours: as it was leased, and what for."""

    image: Image
    candidate: Candidate

    @property
    def died(self) -> bool:
        """Whether a run before us died over it."""
        return self.candidate.image.leased_until is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    """An image that ended: what becomes of its row, and which blobs no row names from then on."""

    outcome: Outcome
    taken: _Taken
    built: Built
    clear: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    """One transaction: what it wrote, of which `changed` was still ours, and what it took of those `picked`."""

    ended: list[_Ended] = field(default_factory=list)
    changed: set[UUID] = field(default_factory=set)
    picked: list[Candidate] = field(default_factory=list)
    taken: dict[UUID, Image] = field(default_factory=dict)


class ReadyRows:
    """What `backfill` works through; see `ops.work.queue.Queue`."""

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
        self._taken: dict[UUID, _Taken] = {}
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

    def look(self, room: int) -> Sequence[ImageOutcome]:
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
        return said

    def offers(self) -> bool:
        """Whether anything is there to be taken."""
        return bool(self._candidates)

    def turn(self, connection: Connection, outcomes: Sequence[Outcome], room: int, *, idle: bool) -> Turn[ImageOutcome]:
        """Name what was built, let go of what was not, and lease what comes next."""
        ended = [self._ended(one) for one in outcomes]
        changed = finish(connection, [one.built for one in ended]) if ended else set()
        picked = list(islice(self._candidates, room))
        seen = [Hold(id=one.image.id, attempts=one.image.attempts) for one in picked]
        taken = {one.id: one for one in take(connection, seen, lease_seconds=self._lease_seconds)} if seen else {}
        self._turn = _Turn(ended=ended, changed=changed, picked=picked, taken=taken)
        jobs = [_job(taken[one.image.id], one) for one in picked if one.image.id in taken and one.variants]
        return Turn(jobs=jobs, settled=[_settled(one, ours=one.taken.image.id in changed) for one in ended])

    def undo(self) -> None:
        """Nothing was kept: what was taken unheard is waited for like what others hold."""

    def committed(self, turn: Turn[ImageOutcome]) -> None:
        """Keep what was taken, then clear away what no row names any more."""
        done, self._turn = self._turn, _Turn()
        ours = [one for one in done.ended if one.taken.image.id in done.changed]
        clear = [(one.taken.image, one.clear) for one in ours if one.clear] + self._hold(done)
        for one in done.ended:
            self._taken.pop(one.taken.image.id, None)
        if clear:
            self._clear(clear)
        self._candidates += [_once_more(one.taken) for one in ours if one.outcome.ending is Ending.NOT_BEGUN]
        # Not what the row said when it was taken: that is why it was tried.
        archived = [one.taken.image for one in ours if _is_archived(one.outcome)]
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
                self._taken[image.id] = _Taken(image=image, candidate=one)
            else:
                empty.append((image, self._leftovers(image, {})))
        return empty

    def _ended(self, outcome: Outcome) -> _Ended:
        taken = self._taken[outcome.job.id]
        image, keys = taken.image, outcome.keys if outcome.ending is Ending.RENDERED else {}
        clear = superseded(image, [key for one in Variant if (key := keys.get(one) or image.variant_key(one))])
        # Of what was put before it failed, or by a run that died, the row names nothing.
        if taken.died or (outcome.error and outcome.ending not in (Ending.RENDERED, Ending.HOPELESS)):
            clear += [key for key in self._leftovers(image, keys) if key not in clear]
        built = Built(
            id=image.id,
            attempts=image.attempts,
            thumb_key=keys.get(Variant.THUMB),
            medium_key=keys.get(Variant.MEDIUM),
            full_key=keys.get(Variant.FULL),
            width=outcome.width,
            height=outcome.height,
            recipe=recipe_after(image, keys, self._order.selection.recipe) if keys else None,
            hold=bool(clear),
        )
        return _Ended(outcome=outcome, taken=taken, built=built, clear=tuple(clear))

    def _leftovers(self, image: Image, keys: Mapping[Variant, str]) -> tuple[str, ...]:
        named = {key for one in Variant if (key := keys.get(one) or image.variant_key(one))}
        return tuple(leftovers(image.id, named=named, prefix=self._order.variants_prefix))

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
        patiently(partial(self._release, holds), stop=self._stop)

    def _release(self, holds: Sequence[Hold]) -> None:
        with self._catalog.write() as connection:
            release(connection, holds)


def _job(image: Image, candidate: Candidate) -> Job:
    return Job(
        id=image.id,
        attempts=image.attempts,
        # A first try: it was ready once.
        forgiven=image.attempts - 1,
        original_key=image.original_key or "",
        size=image.bytes or 0,
        variants=candidate.variants,
    )


def _once_more(taken: _Taken) -> Candidate:
    return replace(taken.candidate, image=replace(taken.image, leased_until=None))


def _settled(ended: _Ended, *, ours: bool) -> ImageOutcome:
    outcome, image = ended.outcome, ended.taken.image
    archived = _is_archived(outcome)
    fate = _fate(outcome, archived=archived) if ours else Fate.LOST
    return ImageOutcome(
        id=image.id,
        fate=fate,
        variants=ended.taken.candidate.variants,
        error=outcome.error,
        reason=outcome.cause or outcome.ending.value if fate is Fate.FAILED else None,
        storage_class=image.storage_class if is_archived(image.storage_class) or not archived else StorageClass.GLACIER,
        size=image.bytes or 0,
        seconds=outcome.seconds,
    )


def _fate(outcome: Outcome, *, archived: bool) -> Fate:
    if outcome.ending is Ending.RENDERED:
        return Fate.BUILT
    if outcome.ending is Ending.NOT_BEGUN:
        return Fate.RETURNED
    return Fate.NEEDS_RESTORE if archived else Fate.FAILED


def _is_archived(outcome: Outcome) -> bool:
    return outcome.cause == BlobArchived.__name__
