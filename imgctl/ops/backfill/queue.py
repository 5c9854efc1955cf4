"""The backfill's queue: `ready` rows, leased while their variants are built; they stay in service meanwhile.

It never delays uploads: `work` claims rows that are `processing`, a backfill takes rows that are `ready`, so neither
takes the other's rows or waits for its locks; a backfill's transactions are as short as a claim's.
"""

import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from uuid import UUID

from sqlalchemy import Connection

from imgctl.errors import BlobArchived, StoreError, StoreUnavailable
from imgctl.keys import own_key
from imgctl.model import Image, Variant, is_archived
from imgctl.ops.backfill.options import BackfillOrder, Fate, ImageOutcome
from imgctl.ops.backfill.search import Candidate, Found, Search
from imgctl.ops.backfill.wanted import leftovers, recipe_after, superseded
from imgctl.ops.common.open import Parts
from imgctl.ops.common.retry import read, write
from imgctl.ops.erase.late_puts import delete_if_erased
from imgctl.ops.work.capacity import Capacity
from imgctl.ops.work.driver import Turn
from imgctl.ops.work.options import Ending, Job, Outcome
from imgctl.ops.work.queue import note_looks
from imgctl.run.stop import Stop
from imgctl.store.catalog.lease import Hold
from imgctl.store.catalog.queries.backfill import Built, finish, release, take
from imgctl.store.catalog.queries.holds import held_among

LOOK_SECONDS = 0.5
WAIT_SECONDS = 0.5
# Rows held by other runs are looked up again once there are this many.
MOST_HELD = 1000

# These endings leave no blob that no row names.
_WITHOUT_PUTS = (Ending.RENDERED, Ending.FATAL, Ending.DEFERRED)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A taken row (`one`, as leased) that ended: the values to write, and the blobs that no row names afterwards."""

    outcome: Outcome
    one: Candidate
    built: Built
    delete: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """One transaction: the rows it wrote (those in `changed` were still leased by this run), and the rows it took of `picked`.

    `deferred` are candidates that this machine cannot render.
    """

    ended: list[Ended] = field(default_factory=list)
    changed: set[UUID] = field(default_factory=set)
    picked: list[Candidate] = field(default_factory=list)
    deferred: list[Candidate] = field(default_factory=list)
    taken: dict[UUID, Image] = field(default_factory=dict)


class ReadyRows:
    """The queue that a backfill drives; see `ops.work.driver.Queue`.

    `kept` counts the images whose superseded variants stay, because their owners are held.
    """

    def __init__(self, order: BackfillOrder, *, search: Search, parts: Parts, lease_seconds: float, stop: Stop) -> None:
        self.kept = 0
        self._order = order
        self._search = search
        self._catalog = parts.catalog
        self._store = parts.store
        self._settings = parts.settings.store
        self._lease_seconds = lease_seconds
        self._stop = stop
        self._searched = False
        self._candidates: deque[Candidate] = deque()
        self._held: set[UUID] = set()
        self._taken: dict[UUID, Candidate] = {}
        self._written = _Written()
        self._capacity = Capacity()

    @property
    def done(self) -> UUID:
        """The id up to which all rows are done."""
        open_ids = {*self._held, *self._taken, *(one.image.id for one in self._candidates)}
        return min((UUID(int=one.int - 1) for one in open_ids), default=self._search.done)

    @property
    def over(self) -> bool:
        """Whether all rows are done."""
        return self._searched and not (self._held or self._taken or self._candidates)

    def look(self, room: int) -> tuple[Sequence[ImageOutcome], int]:
        """Search until enough rows are found, for `LOOK_SECONDS` at most; then check rows that other runs held."""
        settled: list[ImageOutcome] = []
        until = time.monotonic() + LOOK_SECONDS
        while not self._searched and len(self._candidates) < room and time.monotonic() < until:
            found = self._search.next()
            self._searched = found is None
            settled += self._keep(found) if found else []
            if len(self._held) >= MOST_HELD:
                settled += self._look_again()
        if self._searched and self._held and not self._candidates:
            settled += self._look_again()
        return settled, min(room, len(self._candidates))

    def turn(self, connection: Connection, outcomes: Sequence[Outcome], room: int, *, idle: bool) -> Turn[ImageOutcome]:
        """Write the built variants' keys, release the other rows, and lease the next ones."""
        self._capacity.record(outcomes)
        ended = [self._ended(one) for one in outcomes]
        changed = finish(connection, [one.built for one in ended]) if ended else set()
        note_looks(connection, outcomes, changed)
        picked, deferred = self._picked(room)
        seen = [Hold(id=one.image.id, attempts=one.image.attempts) for one in picked]
        taken = {one.id: one for one in take(connection, seen, lease_seconds=self._lease_seconds)} if seen else {}
        self._written = _Written(ended=ended, changed=changed, picked=picked, taken=taken, deferred=deferred)
        jobs = [_job_of(taken[one.image.id], one) for one in picked if one.image.id in taken and one.variants]
        settled = [self._outcome_of(one, ours=one.one.image.id in changed) for one in ended]
        return Turn(jobs=jobs, settled=settled + [_deferred(one) for one in deferred])

    def committed(self, turn: Turn[ImageOutcome]) -> None:
        """Remember the taken rows, then delete blobs that no row names any more, and those of erased images."""
        written, self._written = self._written, _Written()
        self._capacity.committed(turn.jobs, ended=(one.one.image.id for one in written.ended))
        lost = [one.one.image.id for one in written.ended if one.one.image.id not in written.changed]
        delete_if_erased(self._catalog, self._store, self._settings, lost, stop=self._stop)
        ours = [one for one in written.ended if one.one.image.id in written.changed]
        delete = [(one.one.image, one.delete) for one in ours if one.delete] + self._hold(written)
        for one in written.ended:
            self._taken.pop(one.one.image.id, None)
        if delete:
            self._delete(delete)
        self._candidates += [_once_more(one.one) for one in ours if self._is_returned(one.outcome)]
        # The row did not have this class when it was taken, or the image would not have been tried.
        archived = [one.one.image for one in ours if _is_archived_after_all(one.outcome)]
        self._search.update_rows(archived, [seen for one in ours if (seen := one.one.seen)])

    def wait(self) -> bool:
        """Return at once while rows are left, else wait for rows that other runs hold; False when nothing is left."""
        self._capacity.again(idle=True)
        if self._candidates or not self._searched:
            return True
        if not self._held:
            return False
        log.info("waiting for %d images that another run holds", len(self._held))
        self._stop.wait(WAIT_SECONDS)
        return True

    def _picked(self, room: int) -> tuple[list[Candidate], list[Candidate]]:
        """Return up to `room` candidates to take, and those before them that this machine cannot render."""
        picked, deferred, most = list[Candidate](), list[Candidate](), self._capacity.most(room)
        for one in self._candidates if room else ():
            if not one.variants or self._capacity.fits(one.image.bytes or 0, one.image.original_key or ""):
                picked.append(one)
            elif self._capacity.is_left(one.image.original_key or ""):
                deferred.append(one)
            if len(picked) == most:
                break
        return picked, deferred

    def _is_returned(self, one: Outcome) -> bool:
        """Whether an image is tried again by this run."""
        deferred = one.ending is Ending.DEFERRED and not self._capacity.is_final(one)
        return deferred or one.ending is Ending.NOT_BEGUN

    def _keep(self, found: Found) -> list[ImageOutcome]:
        self._candidates += found.candidates
        self._held.update(found.held)
        return found.settled

    def _look_again(self) -> list[ImageOutcome]:
        ids, self._held = tuple(self._held), set()
        return self._keep(self._search.again(ids))

    def _hold(self, written: _Written) -> list[tuple[Image, tuple[str, ...]]]:
        """Remember the taken rows; returns rows of which only leftovers must be deleted."""
        empty = []
        gone = {one.image.id for one in (*written.picked, *written.deferred)}
        self._candidates = deque(one for one in self._candidates if one.image.id not in gone)
        for one in written.picked:
            image = written.taken.get(one.image.id)
            if image is None:
                # Another run was first.
                self._held.add(one.image.id)
            elif one.variants:
                self._taken[image.id] = replace(one, image=image)
            else:
                named = _named(image, {})
                empty.append((image, tuple(leftovers(image.id, named=named, prefix=self._order.variants_prefix))))
        return empty

    def _ended(self, outcome: Outcome) -> Ended:
        """Return the values to write and the blobs to delete; the row is released only after the deletion."""
        one = self._taken[outcome.job.id]
        image, keys = one.image, outcome.keys if outcome.ending is Ending.RENDERED else {}
        named = _named(image, keys)
        delete = superseded(image, named)
        # No row names the blobs of a failed attempt or of a dead run.
        if one.died or (outcome.error and outcome.ending not in _WITHOUT_PUTS):
            left = leftovers(image.id, named=named, prefix=self._order.variants_prefix)
            delete += [key for key in left if key not in delete]
        built = Built(
            id=image.id,
            attempts=image.attempts,
            thumb_key=keys.get(Variant.THUMB),
            medium_key=keys.get(Variant.MEDIUM),
            full_key=keys.get(Variant.FULL),
            width=outcome.width,
            height=outcome.height,
            recipe=recipe_after(image, keys, self._order.selection.recipe) if keys else None,
            hold=bool(delete),
        )
        return Ended(outcome=outcome, one=one, built=built, delete=tuple(delete))

    def _outcome_of(self, ended: Ended, *, ours: bool) -> ImageOutcome:
        """Return the outcome to report for an image; `ours` is whether this run still held its row."""
        outcome, image = ended.outcome, ended.one.image
        archived = _is_archived_after_all(outcome)
        fate = self._fate(outcome, archived=archived) if ours else Fate.LOST
        return ImageOutcome(
            id=image.id,
            fate=fate,
            variants=ended.one.variants,
            error=outcome.error,
            reason=outcome.cause or outcome.ending.value if fate is Fate.FAILED else None,
            # The actual archive class is not known yet; it is written into the row later.
            storage_class=image.storage_class if is_archived(image.storage_class) or not archived else None,
            size=image.bytes or 0,
            seconds=outcome.seconds,
        )

    def _fate(self, outcome: Outcome, *, archived: bool) -> Fate:
        if outcome.ending is Ending.RENDERED:
            return Fate.BUILT
        if self._is_returned(outcome):
            return Fate.RETURNED
        if outcome.ending is Ending.DEFERRED:
            return Fate.DEFERRED
        return Fate.NEEDS_RESTORE if archived else Fate.FAILED

    def _delete(self, superseded: Sequence[tuple[Image, tuple[str, ...]]]) -> None:
        """Delete blobs while their rows are leased, then release the rows: after a kill the lease marks unfinished deletions.

        Blobs of held users stay.
        """
        users = {image.user_id for image, _ in superseded}
        held = read(self._catalog, partial(held_among, users=users), stop=self._stop)
        self._note_kept([keys for image, keys in superseded if image.user_id in held])
        try:
            self._store.delete([key for image, keys in superseded if image.user_id not in held for key in keys])
        except StoreUnavailable as error:
            log.warning("superseded variants were not deleted: %s; the next run retries", error.line)
            return
        except StoreError as error:
            log.warning("superseded variants were not deleted: %s; an audit finds them", error.line)
        holds = [Hold(id=image.id, attempts=image.attempts) for image, _ in superseded]
        write(self._catalog, partial(release, holds=holds), stop=self._stop)

    def _note_kept(self, kept: Sequence[tuple[str, ...]]) -> None:
        """Count images of held users; name the blobs that `repair` cannot recognise later."""
        self.kept += len(kept)
        originals, variants = self._settings.originals_prefix, self._settings.variants_prefix
        for key in chain.from_iterable(kept):
            if own_key(key, originals=originals, variants=variants) is None:
                log.warning("%s stays, as its owner is held, under a former prefix: delete it after the release", key)


def _named(image: Image, keys: Mapping[Variant, str]) -> set[str]:
    """Return the variant keys of a row after `keys` are written."""
    return {key for one in Variant if (key := keys.get(one) or image.key(one))}


def _job_of(image: Image, one: Candidate) -> Job:
    return Job(
        id=image.id,
        attempts=image.attempts,
        # Counts as a first attempt: the image was ready before.
        forgiven=image.attempts - 1,
        original_key=image.original_key or "",
        size=image.bytes or 0,
        variants=one.variants,
    )


def _once_more(one: Candidate) -> Candidate:
    """Return the candidate for another attempt: it had not begun."""
    return replace(one, image=replace(one.image, leased_until=None), died=False)


def _deferred(one: Candidate) -> ImageOutcome:
    """Return the outcome of a candidate that was not taken, because others like it lacked room or a decoder."""
    image = one.image
    return ImageOutcome(id=image.id, fate=Fate.DEFERRED, variants=one.variants, size=image.bytes or 0)


def _is_archived_after_all(outcome: Outcome) -> bool:
    """Whether an original turned out to be archived although its row has another class."""
    return outcome.cause == BlobArchived.__name__
