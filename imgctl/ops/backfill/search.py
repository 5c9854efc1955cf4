"""The search for a backfill's rows: bounded windows, sorted into buildable rows, held rows and cold rows."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Connection

from imgctl.errors import BlobMissing, StoreDenied
from imgctl.model import Image, Variant
from imgctl.ops.backfill.options import BackfillOrder, Fate, ImageOutcome, Mode
from imgctl.ops.backfill.wanted import NOTHING, in_shard, may_be_left, wanted
from imgctl.ops.common.open import Parts
from imgctl.ops.common.retry import StopSignal, read
from imgctl.ops.common.row_blobs import BlobLooker, RowBlobs
from imgctl.ops.common.rows import BadId, pages
from imgctl.ops.restore.options import Seen, State
from imgctl.ops.restore.state import note, originals, seen
from imgctl.store.catalog.queries.backfill import chosen, up_to
from imgctl.store.catalog.queries.lookups import PAGE_ROWS, by_ids, clock, edge, page

READABLE = frozenset((State.READABLE, State.RESTORED))
# Rows that one statement examines: tens of milliseconds, even if few of them are chosen.
WINDOW_ROWS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A row to take, and the variants to build; none if only a dead run's leftovers must be deleted.

    `seen` is the state of its archived original, if that was looked up; `died`: an earlier run died on this row.
    """

    image: Image
    variants: tuple[Variant, ...]
    seen: Seen | None = None
    died: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A part of the search: the buildable rows, the ids that other runs hold now, the settled outcomes."""

    candidates: list[Candidate] = field(default_factory=list)
    held: list[UUID] = field(default_factory=list)
    settled: list[ImageOutcome] = field(default_factory=list)


class Search:
    """The search of one run, by primary key; not thread-safe.

    `done` is the last id searched, `examined` the number of rows passed, `readable_now` the number of readable originals
    whose rows have an archive class, `bad` the lines of an ids file without a row.
    """

    def __init__(self, order: BackfillOrder, parts: Parts, *, after: UUID, pool: Executor, stop: StopSignal) -> None:
        self.done = after
        self.bad: list[BadId] = []
        self.readable_now = self.examined = 0
        self._order = order
        self._parts = parts
        self._stop = stop
        store, settings, lists = parts.store, parts.settings.store, order.lists_restores
        self._blobs = BlobLooker(store, settings, pool=pool, stop=stop)
        self._originals = originals(store, settings, lists_restores=lists, pool=pool, stop=stop, keeps=(StoreDenied,))
        self._windows = self._scope() if order.chosen.ids_from is None else self._listed()

    def next(self) -> Found | None:
        """Return the next window's rows; None at the end, or once stopped."""
        return next(self._windows, None)

    def again(self, ids: Sequence[UUID]) -> Found:
        """Sort these rows again, in their current state."""

        def query(connection: Connection) -> tuple[list[Image], datetime]:
            return list(by_ids(connection, ids).values()), clock(connection)

        images, now = read(self._parts.catalog, query, stop=self._stop)
        return self._sorted(sorted(images, key=lambda one: one.id), now)

    def update_rows(self, images: Sequence[Image], seen: Sequence[Seen]) -> None:
        """Update released rows with the state `seen` of their originals, and with the state of `images`, looked up now."""
        looked = self._seen(images) if images else []
        note(self._parts.catalog, [*seen, *looked], stop=self._stop)

    def _listed(self) -> Iterator[Found]:
        catalog = self._parts.catalog
        for images in pages(catalog, self._order.chosen, stop=self._stop, bad=self.bad):
            found = self._sorted(images, read(catalog, clock, stop=self._stop))
            self.examined += len(images)
            yield found

    def _scope(self) -> Iterator[Found]:
        """Yield the rows of the scope, window by window; the database filters them."""
        catalog, scope, after = self._parts.catalog, self._order.chosen.scope, self.done

        def window(connection: Connection) -> tuple[UUID | None, int, datetime]:
            return *edge(connection, scope, after=after, rows=WINDOW_ROWS), clock(connection)

        def rows(connection: Connection) -> list[Image]:
            return page(connection, scope, after=after, where=self._where() & up_to(bound))

        while not self._stop.is_set():
            bound, examined, now = read(catalog, window, stop=self._stop)
            is_whole = False
            while not (is_whole or self._stop.is_set()):
                images = read(catalog, rows, stop=self._stop)
                is_whole = len(images) < PAGE_ROWS
                found = self._sorted(images, now)
                if is_whole and bound is not None:
                    after = bound
                elif images:
                    after = images[-1].id
                self.done = after
                self.examined += examined if is_whole else 0
                yield found
            if bound is None:
                return

    def _where(self) -> ColumnElement[bool]:
        selection = self._order.selection
        shard = selection.shard
        return chosen(
            selection.variants,
            recipe=selection.recipe if selection.mode is Mode.STALE else None,
            every=selection.verify or selection.mode is Mode.FORCE,
            shard=(shard.number, shard.count) if shard else None,
        )

    def _sorted(self, images: Sequence[Image], now: datetime) -> Found:
        found, cold, selection = Found(), list[Candidate](), self._order.selection
        gone = {one.image.id: _gone(one) for one in self._blobs.look(images)} if selection.verify else {}
        for image in images:
            variants = wanted(image, selection, gone=gone.get(image.id, NOTHING))
            if not variants and not (may_be_left(image) and in_shard(image.id, selection.shard)):
                continue
            one = Candidate(image=image, variants=variants, died=image.leased_until is not None)
            if image.is_held(now):
                found.held.append(image.id)
            elif variants and image.awaits_restore(now):
                cold.append(one)
            else:
                found.candidates.append(one)
        self._look_into(cold, found)
        return found

    def _look_into(self, cold: Sequence[Candidate], found: Found) -> None:
        """Sort rows with an archive class by the current state of their originals in the store."""
        if not cold:
            return
        for one, now in zip(cold, self._seen([one.image for one in cold]), strict=True):
            if now.state in READABLE:
                self.readable_now += 1
                found.candidates.append(replace(one, seen=now))
            else:
                found.settled.append(_cold(one, now))
        found.candidates.sort(key=lambda one: one.image.id)

    def _seen(self, images: Sequence[Image]) -> list[Seen]:
        return [seen(row) for row in self._originals.look(images)]


def _gone(row: RowBlobs) -> frozenset[Variant]:
    """Return the variants in the row that are missing from the store, or empty there."""
    image = row.image
    keys = {one: image.key(one) for one in Variant}
    there = {one: row.blob(key) for one, key in keys.items()}
    return frozenset(one for one, blob in there.items() if keys[one] and (blob is None or blob.size == 0))


def _cold(one: Candidate, seen: Seen) -> ImageOutcome:
    image, blob = one.image, seen.blob
    if seen.error is not None:
        return ImageOutcome(id=image.id, fate=Fate.FAILED, error=seen.error.line, reason=type(seen.error).__name__)
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
