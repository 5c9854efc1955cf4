"""Legal holds: forbid deleting a user's images, in the catalog and optionally in the bucket (Object Lock)."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from uuid import UUID

from imgctl.errors import StoreError, StoreUnsupported, UsageError
from imgctl.keys import FIRST, TRASH, named_image, new_id
from imgctl.model import Image
from imgctl.ops.common.open import Parts
from imgctl.ops.common.operation_record import who
from imgctl.ops.common.retry import StopSignal, read, write
from imgctl.ops.common.row_blobs import keys_of
from imgctl.ops.common.rows import Chosen, pages
from imgctl.ops.erase.options import EraseOrder, Notes
from imgctl.run.threads import thread_pool
from imgctl.store.blobs.base import Remnant
from imgctl.store.catalog.lease import leased_of, still_leased
from imgctl.store.catalog.queries import holds as sql
from imgctl.store.catalog.queries.erased import erased_since, page
from imgctl.store.catalog.queries.holds import LegalHold
from imgctl.store.catalog.queries.lookups import Scope, by_ids, clock, newest
from imgctl.units import count_of

POLL_SECONDS = 0.2
# More than all transitions and backfills lease at once.
MOST_LEASED = 4096
# Blobs of the trash whose rows are looked up at once.
TRASH_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """The result of setting or lifting the legal hold of one version of a blob; `error` if it failed."""

    remnant: Remnant
    error: StoreError | None = None


def place(parts: Parts, user_id: UUID, *, reason: str, object_lock: bool, stop: StopSignal) -> LegalHold:
    """Hold a user's images; a hold with the same reason is returned, not repeated."""
    known = _known(parts, user_id, reason, stop)
    if known is None:
        made = new_id(datetime.now(UTC))
        write(parts.catalog, partial(sql.hold, hold_id=made, user_id=user_id, reason=reason, by=who()), stop=stop)
        known = _known(parts, user_id, reason, stop)
        assert known is not None
    if object_lock and not known.object_lock:
        # Before the first blob is locked: a release then unlocks the blobs even if this run is killed.
        write(parts.catalog, partial(sql.note_object_lock, hold_id=known.id), stop=stop)
    return known


@dataclass(slots=True, kw_only=True)
class TooLate:
    """What was under way when a hold began: erasures of the user's images, those with blobs that are deleted or may be,
    and moves and builds that may still delete an old version or a superseded variant. `unknown` are erasures whose owners
    cannot be compared."""

    erasing: int = 0
    begun: int = 0
    moving: int = 0
    unknown: int = 0

    @property
    def lines(self) -> Iterator[str]:
        """What to tell whoever places the hold."""
        if self.begun:
            what = count_of(self.begun, "image")
            yield f"the hold came too late for {what}: the deletion of the blobs had begun; `imgctl erase` deletes no more"
        if self.erasing > self.begun:
            what = count_of(self.erasing - self.begun, "image")
            yield f"an erasure had begun for {what}: the rows are gone, the blobs stay"
        if self.unknown:
            what = count_of(self.unknown, "image")
            yield (
                f"{what} being erased may be this user's: the hold stops that, but blobs may be gone; run the same command "
                "again with the [serve] secret of that erasure: only with it can owners be compared"
            )
        if self.moving:
            what = count_of(self.moving, "image")
            yield f"{what} were being moved or built: old versions or superseded variants may still be deleted"


def too_late(parts: Parts, hold: LegalHold, *, stop: StopSignal) -> TooLate:
    """Look for deletions of a user's blobs that the hold came too late for; waits for others to end, a lease at most.

    A transition or a backfill looks for holds after it leased a row, and releases it after its deletions: those that have
    not seen this hold are over once the rows that are leased now are released.
    """
    found = _erasures(parts, hold, stop)
    query = partial(leased_of, user_id=hold.user_id, limit=MOST_LEASED)
    left, until = read(parts.catalog, query, stop=stop), time.monotonic() + parts.settings.work.lease
    while left and time.monotonic() < until and not stop.wait(POLL_SECONDS):
        left = read(parts.catalog, partial(still_leased, some=left), stop=stop)
    found.moving = len(left)
    return found


def _erasures(parts: Parts, hold: LegalHold, stop: StopSignal) -> TooLate:
    secret, found, after = parts.settings.serve.secret, TooLate(), FIRST
    order = EraseOrder(secret=secret)
    owner = order.owner(hold.user_id)
    while some := read(parts.catalog, partial(page, owner=None, erasing=True, after=after), stop=stop):
        now = read(parts.catalog, clock, stop=stop)
        for one in some:
            notes = Notes.read(one.notes)
            if one.owner == owner:
                found.erasing += 1
                # Until it settles, a worker or an upload may still put blobs of it, and delete them again.
                found.begun += bool(notes.found) or one.settles_at > now
            elif not notes.can_compare(order.secret_id):
                found.unknown += 1
        after = some[-1].id
    ended = read(parts.catalog, partial(erased_since, owner=owner, at=hold.held_at), stop=stop) if secret else 0
    found.erasing, found.begun = found.erasing + ended, found.begun + ended
    return found


def has_images(parts: Parts, user_id: UUID, *, stop: StopSignal) -> bool:
    """Whether a user has images now."""
    return bool(read(parts.catalog, partial(newest, scope=Scope(user_id=user_id), limit=1), stop=stop))


def to_release(parts: Parts, user_id: UUID, hold_id: UUID | None, *, stop: StopSignal) -> LegalHold | None:
    """Return the hold to release, None if the user is not held; UsageError for another id, or for several without an id."""
    every = in_force(parts, user_id, stop=stop)
    found = every if hold_id is None else [one for one in every if one.id == hold_id]
    named = ", ".join(f"{one.id} ({one.reason})" for one in every)
    if every and not found:
        raise UsageError(f"user {user_id} has no hold {hold_id}", hint=f"--hold one of {named}")
    if len(found) > 1:
        raise UsageError(f"user {user_id} has {count_of(len(found), 'hold')}", hint=f"--hold one of {named}")
    return found[0] if found else None


def in_force(parts: Parts, user_id: UUID, *, stop: StopSignal) -> list[LegalHold]:
    """Return the holds on a user."""
    return read(parts.catalog, partial(sql.in_force, user_id=user_id), stop=stop)


def lifts_locks(parts: Parts, hold: LegalHold, *, stop: StopSignal) -> bool:
    """Whether a release lifts the bucket's locks: the hold set them, and no other hold on the user needs them."""
    others = in_force(parts, hold.user_id, stop=stop)
    return hold.object_lock and not any(one.object_lock for one in others if one.id != hold.id)


def end(parts: Parts, hold: LegalHold, *, stop: StopSignal) -> None:
    """End a hold, once the bucket's locks are lifted."""
    write(parts.catalog, partial(sql.release, hold_id=hold.id, by=who()), stop=stop)


def lock_blobs(parts: Parts, user_id: UUID, *, on: bool, stop: StopSignal) -> Iterator[Locked]:
    """Set or lift the legal hold of every version of every blob of a user, also under former prefixes and in the trash."""
    chosen, store = Chosen(scope=Scope(user_id=user_id)), parts.settings.store

    def lock(remnant: Remnant) -> Locked:
        try:
            parts.store.set_legal_hold(remnant, on=on)
        except StoreError as error:
            # A store without locks has none to lift.
            is_unlocked = not on and isinstance(error, StoreUnsupported)
            return Locked(remnant=remnant, error=None if is_unlocked else error)
        return Locked(remnant=remnant)

    def remnants_of(image: Image) -> Sequence[Remnant]:
        notes = Notes(named=tuple(keys_of(image)))
        prefixes = notes.stems(image.id, (store.originals_prefix, store.variants_prefix)).union(notes.foreign(image.id))
        found = (one for one in parts.store.remnants(sorted(prefixes)) if not one.is_marker)
        return [one for one in found if one.key in notes.named or named_image(one.key) == image.id]

    with thread_pool(parts.requests, name="lock") as threads:
        for images in pages(parts.catalog, chosen, stop=stop):
            for remnants in threads.map(remnants_of, images):
                yield from threads.map(lock, remnants)
        for trashed in _in_trash(parts, user_id, stop=stop):
            yield from threads.map(lock, trashed)


def _in_trash(parts: Parts, user_id: UUID, *, stop: StopSignal) -> Iterator[list[Remnant]]:
    """Yield the versions in the trash that are of a user's images, in pages; an image without a row has no known owner."""
    every = ((named_image(one.key), one) for one in parts.store.remnants([TRASH]) if not one.is_marker)
    while not stop.is_set() and (some := list(islice(every, TRASH_PAGE))):
        ids = {image for image, _ in some if image is not None}
        rows = read(parts.catalog, partial(by_ids, ids=ids), stop=stop)
        mine = {image for image, row in rows.items() if row.user_id == user_id}
        yield [one for image, one in some if image in mine]


def _known(parts: Parts, user_id: UUID, reason: str, stop: StopSignal) -> LegalHold | None:
    return next((one for one in in_force(parts, user_id, stop=stop) if one.reason == reason), None)
