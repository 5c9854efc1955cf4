"""Finding what a backfill has to do: the walk's rows, sorted into what can be built now, what is held and what is cold."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from uuid import UUID

from imgctl.errors import BlobMissing, StoreUnavailable
from imgctl.model import Image, Variant
from imgctl.ops.backfill.order import BackfillOrder, Fate, ImageOutcome
from imgctl.ops.backfill.walk import Window, windows
from imgctl.ops.backfill.wanted import NOTHING, in_shard, is_held, may_be_left, unreadable, wanted
from imgctl.ops.joined import Joined
from imgctl.ops.joined import Looker as StoreLooker
from imgctl.ops.parts import Parts
from imgctl.ops.restore.look import Looker, note
from imgctl.ops.restore.order import RestoreOrder, Seen, State
from imgctl.ops.retry import StopSignal, retry
from imgctl.ops.rows import BadId
from imgctl.store.blobs.base import BlobStore
from imgctl.store.catalog.lookups import by_ids, clock

READABLE = frozenset((State.READABLE, State.RESTORED))


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A row to be taken, and the variants to be built; none where only a dead run's leftovers are to be cleared away.

    `seen` is its original in the cold store, where that was looked at.
    """

    image: Image
    variants: tuple[Variant, ...]
    seen: Seen | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A part of the walk: what can be built, what somebody holds just now, what is to be said."""

    candidates: list[Candidate] = field(default_factory=list)
    held: list[Image] = field(default_factory=list)
    said: list[ImageOutcome] = field(default_factory=list)


class Search:
    """The walk of one run; one thread's own.

    `done` is the id up to which it has come, `examined` how many rows it passed, `readable_now` how many originals that
    their rows call archived can be read, `bad` the lines of an ids file that name no row.
    """

    def __init__(
        self, order: BackfillOrder, parts: Parts, cold: BlobStore, *, pool: Executor, stop: StopSignal
    ) -> None:
        self.done = order.after
        self.bad: list[BadId] = []
        self.readable_now = self.examined = 0
        self._order = order
        self._parts = parts
        self._cold = cold
        self._stop = stop
        self._pool = pool
        self._windows = windows(parts.catalog, order, stop=stop, bad=self.bad)
        chosen = order.chosen
        listing = chosen.ids_from is None and chosen.scope.user_id is None
        self._along = self._store_looker(listing=listing)

    def next(self) -> Found | None:
        """What the next window holds; None at the end, or once stopped."""
        window = next(self._windows, None)
        if window is None:
            return None
        found = self._sorted(window, self._along)
        self.done = window.done
        self.examined += window.examined
        return found

    def again(self, ids: Sequence[UUID]) -> Found:
        """The same of these rows as they are now."""
        images, now = retry(partial(self._read, ids), stop=self._stop)
        window = Window(images=images, clock=now, examined=0, done=self.done)
        return self._sorted(window, self._store_looker(listing=False))

    def learn(self, images: Sequence[Image], seen: Sequence[Seen]) -> None:
        """Make rows that nobody holds true to what was `seen` of their originals, and to what is to be seen of `images`."""
        looked = self._seen(images) if images else []
        note(self._parts.catalog, [*seen, *looked], stop=self._stop)

    def _read(self, ids: Sequence[UUID]) -> tuple[list[Image], datetime]:
        with self._parts.catalog.read() as connection:
            found = by_ids(connection, ids)
            return sorted(found.values(), key=lambda one: one.id), clock(connection)

    def _sorted(self, window: Window, looker: StoreLooker) -> Found:
        found = Found()
        gone = self._gone(window.images, looker)
        cold: list[Candidate] = []
        for image in window.images:
            variants = wanted(image, self._order.selection, gone=gone.get(image.id, NOTHING))
            one = Candidate(image=image, variants=variants)
            if not variants and not (may_be_left(image) and in_shard(image.id, self._order.selection.shard)):
                continue
            if is_held(image, window.clock):
                found.held.append(image)
            elif variants and unreadable(image, window.clock):
                cold.append(one)
            else:
                found.candidates.append(one)
        self._look_into(cold, found)
        return found

    def _gone(self, images: Sequence[Image], looker: StoreLooker) -> dict[UUID, frozenset[Variant]]:
        """The variants that rows name and the store lacks, or has empty."""
        if not self._order.selection.verify:
            return {}
        return {joined.image.id: _gone(joined) for joined in looker.look(images)}

    def _look_into(self, cold: Sequence[Candidate], found: Found) -> None:
        """Split what rows call archived by what the store says of it now."""
        if not cold:
            return
        for one, state in zip(cold, self._seen([one.image for one in cold]), strict=True):
            if state.state in READABLE:
                self.readable_now += 1
                found.candidates.append(Candidate(image=one.image, variants=one.variants, seen=state))
            else:
                found.said.append(_cold(one, state))
        found.candidates.sort(key=lambda one: one.image.id)

    def _seen(self, images: Sequence[Image]) -> list[Seen]:
        order = RestoreOrder(lists_restores=self._order.lists_restores)
        with Looker(self._cold, order) as looker:
            return retry(partial(looker.look, images), stop=self._stop, on=StoreUnavailable)

    def _store_looker(self, *, listing: bool) -> StoreLooker:
        return StoreLooker(self._cold, self._parts.settings.store, listing=listing, pool=self._pool, stop=self._stop)


def _gone(joined: Joined) -> frozenset[Variant]:
    image = joined.image
    keys = {one: image.variant_key(one) for one in Variant}
    there = {one: joined.blob(key) for one, key in keys.items()}
    return frozenset(one for one, blob in there.items() if keys[one] and (blob is None or blob.size == 0))


def _cold(one: Candidate, seen: Seen) -> ImageOutcome:
    image, blob = one.image, seen.blob
    if blob is None:
        error = f"the original {image.original_key} is not in the store"
        return ImageOutcome(id=image.id, fate=Fate.FAILED, error=error, reason=BlobMissing.__name__)
    return ImageOutcome(
        id=image.id,
        fate=Fate.RESTORING if seen.state is State.RESTORING else Fate.NEEDS_RESTORE,
        variants=one.variants,
        storage_class=blob.storage_class,
        size=blob.size,
    )
