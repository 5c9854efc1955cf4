"""One backfill: search, queue, pool and driver combined, and the cost of restoring originals that it cannot read."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO
from uuid import UUID

from imgctl.errors import ConfigError
from imgctl.model import Image, Sized, Status, StorageClass, is_archived, offline_class
from imgctl.ops.backfill.checkpoint import Checkpoint
from imgctl.ops.backfill.options import BackfillOrder, Fate, ImageOutcome
from imgctl.ops.backfill.queue import ReadyRows
from imgctl.ops.backfill.search import Search
from imgctl.ops.common.checkpoint import state_file
from imgctl.ops.common.open import Parts
from imgctl.ops.common.retry import StopSignal, read
from imgctl.ops.common.tally import Tally, Totals
from imgctl.ops.restore.ask import request
from imgctl.ops.restore.options import Fate as Restored
from imgctl.ops.restore.options import Outcome, RestoreOrder
from imgctl.ops.work.driver import drive, rendering
from imgctl.ops.work.render_task import set_up_child
from imgctl.ops.work.renew_leases import Leases
from imgctl.pricing.costs import retrieval
from imgctl.pricing.moves import restore_estimate
from imgctl.pricing.prices import Card
from imgctl.run.stop import Stop
from imgctl.run.threads import thread_pool
from imgctl.store.blobs.base import Tier
from imgctl.store.catalog.queries.lookups import PAGE_ROWS, by_ids

LOOKING_THREADS = 16
# Rendering of new uploads on this machine has priority.
NICENESS = 10
ID_BYTES = 16


class Backfill:
    """One run. `checkpoint.resumed` is the progress of an earlier run of the same kind; `search` counts examined rows.

    `tally` counts images, with the bytes of their originals and the reasons of failures; `variants` the built (or
    planned) images by variant, `read` their originals by class; `cold` the images whose originals must be restored;
    `kept` those whose superseded variants stay, because their owners are held.
    """

    def __init__(self, order: BackfillOrder, parts: Parts, *, pool: Executor, stop: Stop, anew: bool) -> None:
        self.checkpoint = Checkpoint(_checkpoint_file(order, parts), anew=anew)
        self.search = Search(order, parts, after=self.checkpoint.resumed.after, pool=pool, stop=stop)
        self.tally = Tally(Fate)
        self.variants: Counter[str] = Counter()
        self.read = Totals[str]()
        self.cold = Cold(parts, stop=stop)
        self.kept = 0
        self._order = order
        self._parts = parts
        self._stop = stop

    def outcomes(self, *, limit: int | None, dry_run: bool = False) -> Iterator[ImageOutcome]:
        """Build wanted variants, of `limit` images at most, or (dry run) plan them; raises the error that ends the run."""
        for one in self._planned(limit) if dry_run else self._built(limit):
            reason = one.reason or "unknown" if one.fate is Fate.FAILED else None
            self.tally.count(one.fate, size=one.size, reason=reason)
            if one.fate in (Fate.BUILT, Fate.PLANNED):
                self.variants.update(one.variants)
                self.read.add(one.storage_class or StorageClass.STANDARD, one.size)
            self.cold.add(one)
            yield one

    def _planned(self, left: int | None) -> Iterator[ImageOutcome]:
        while left != 0 and (found := self.search.next()) is not None:
            yield from found.settled
            for one in found.candidates:
                if not one.variants or left == 0:
                    continue
                left = None if left is None else left - 1
                yield ImageOutcome(
                    id=one.image.id,
                    fate=Fate.PLANNED,
                    variants=one.variants,
                    storage_class=one.image.storage_class,
                    size=one.image.bytes or 0,
                )

    def _built(self, limit: int | None) -> Iterator[ImageOutcome]:
        parts, settings, stop = self._parts, self._parts.settings, self._stop
        with (
            rendering(settings, setup=partial(set_up_child, settings.log, niceness=NICENESS)) as (work, pool),
            Leases(parts.catalog, lease_seconds=work.lease_seconds, status=Status.READY) as leases,
        ):
            queue = ReadyRows(self._order, search=self.search, parts=parts, lease_seconds=work.lease_seconds, stop=stop)
            order = replace(work, limit=limit)
            for one in drive(order, queue, catalog=parts.catalog, leases=leases, pool=pool, stop=stop):
                cold = one.fate in (Fate.RESTORING, Fate.NEEDS_RESTORE)
                self.checkpoint.count(failed=one.fate in (Fate.FAILED, Fate.DEFERRED), cold=cold)
                self.checkpoint.save(queue.done)
                yield one
            self.kept = queue.kept
            self.checkpoint.end(queue.done, whole=queue.over)


@contextmanager
def backfill(order: BackfillOrder, parts: Parts, *, stop: Stop, anew: bool = False) -> Iterator[Backfill]:
    """Open a run that yields outcomes; `anew` starts at the first row and ignores an earlier run's progress."""
    with thread_pool(LOOKING_THREADS, name="look") as pool:
        run = Backfill(order, parts, pool=pool, stop=stop, anew=anew)
        with closing(run.cold):
            yield run


def _checkpoint_file(order: BackfillOrder, parts: Parts) -> Path | None:
    if not order.selection.forgets or order.chosen.ids_from is not None:
        return None
    return state_file("backfill", (parts.catalog.place, parts.settings.store.url, repr(order)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The cost of restoring everything by a tier, in US dollars, and the minimum and maximum hours it takes."""

    tier: Tier
    usd: Decimal
    hours: tuple[Decimal, Decimal]


class Cold:
    """The images of one run whose originals must be restored; their ids are kept in a file, as they may be many.

    `asked` counts the requested restores by fate.
    """

    def __init__(self, parts: Parts, *, stop: StopSignal) -> None:
        self.restoring = 0
        self.asked = Tally(Restored)
        self._parts = parts
        self._stop = stop
        self._needs = Totals[str]()
        self._ids, self._unknown = TemporaryFile(), TemporaryFile()  # noqa: SIM115 (closed by close)

    @property
    def needs(self) -> Sized:
        """Number of originals that need a restore, and their total bytes."""
        return self._needs.whole

    @property
    def classes(self) -> dict[str, int]:
        """Number of originals that need a restore, by class."""
        return self._needs.counts

    def add(self, one: ImageOutcome) -> None:
        """Count an outcome, if it concerns a cold original."""
        self.restoring += one.fate is Fate.RESTORING
        if one.fate is Fate.NEEDS_RESTORE:
            (self._ids if one.storage_class else self._unknown).write(one.id.bytes)
            if one.storage_class:
                self._needs.add(one.storage_class, one.size)

    def offers(self, card: Card, *, days: int) -> list[Offer]:
        """Return every tier that can restore all of them, the cheapest first; empty if nothing needs a restore."""
        self._count_unknown()
        archived = dict(sorted(self._needs.items()))
        found = []
        for tier in Tier:
            try:
                cost = restore_estimate(card, archived=archived, tier=tier, days=days).one_off
                hours = [retrieval(card, name, tier).hours for name in archived]
            except ConfigError:
                # A class does not have this tier.
                continue
            if hours:
                longest = (max(one[0] for one in hours), max(one[1] for one in hours))
                found.append(Offer(tier=tier, usd=cost, hours=longest))
        return sorted(found, key=lambda one: one.usd)

    def _count_unknown(self) -> None:
        """Count originals of unknown class by the class that their rows have now."""
        for image in chain.from_iterable(self._pages(self._unknown)):
            name = image.storage_class if is_archived(image.storage_class) else None
            self._needs.add(name or offline_class(self._parts.settings.store.url), image.bytes or 0)
            self._ids.write(image.id.bytes)
        self._unknown.seek(0)
        self._unknown.truncate()

    def ask(self, order: RestoreOrder) -> Iterator[Outcome]:
        """Request their restores, up to the budget; the others are left."""
        for outcome in request(self._pages(self._ids), order, parts=self._parts, stop=self._stop):
            self.asked.count(outcome.fate)
            yield outcome

    def close(self) -> None:
        """Delete the files."""
        self._ids.close()
        self._unknown.close()

    def _pages(self, file: IO[bytes]) -> Iterator[list[Image]]:
        file.seek(0)
        while data := file.read(ID_BYTES * PAGE_ROWS):
            ids = [UUID(bytes=data[start : start + ID_BYTES]) for start in range(0, len(data), ID_BYTES)]
            found = read(self._parts.catalog, partial(by_ids, ids=ids), stop=self._stop)
            yield sorted(found.values(), key=lambda one: one.id)
