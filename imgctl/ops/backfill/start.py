"""Backfilling with this machine's processes or on a cluster: search, queue, pool and driver put together."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from imgctl.model import Status
from imgctl.ops.backfill.checkpoint import Checkpoint, Reached, checkpoint
from imgctl.ops.backfill.order import BackfillOrder, Fate, ImageOutcome
from imgctl.ops.backfill.queue import ReadyRows
from imgctl.ops.backfill.search import Search
from imgctl.ops.parts import Parts
from imgctl.ops.rows import BadId
from imgctl.ops.state import state_directory
from imgctl.ops.work.driver import drive, rendering
from imgctl.ops.work.leases import Leases
from imgctl.ops.work.task import set_up_child
from imgctl.run.stop import Stop
from imgctl.run.threads import end_threads, open_threads

LOOKING_THREADS = 16
# What renders new uploads on this machine goes first.
NICENESS = 10


class Backfill:
    """One run. `resumed` is how far an earlier run of the same kind came; `bad` are lines that name no row."""

    def __init__(self, order: BackfillOrder, parts: Parts, *, stop: Stop, anew: bool = False) -> None:
        self.resumed = Reached()
        self._parts = parts
        self._stop = stop
        self._checkpoint = self._checkpoint_of(order)
        if self._checkpoint and not anew:
            self.resumed = self._checkpoint.load()
            order = replace(order, after=self.resumed.after)
        self._order = order
        self._looking = open_threads(LOOKING_THREADS, name="look")
        cold = parts.store
        self._search = Search(order, parts, cold, pool=self._looking, stop=stop)
        self._failed = self._cold = 0

    @property
    def examined(self) -> int:
        """How many rows were looked at."""
        return self._search.examined

    @property
    def readable_now(self) -> int:
        """How many originals that their rows call archived could be read."""
        return self._search.readable_now

    @property
    def bad(self) -> list[BadId]:
        """Lines of the ids file that name no row."""
        return self._search.bad

    def planned(self, *, limit: int | None) -> Iterator[ImageOutcome]:
        """What would be built, `limit` images at most; changes nothing."""
        left = limit
        while left != 0 and (found := self._search.next()) is not None:
            yield from found.said
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

    def outcomes(self, *, limit: int | None) -> Iterator[ImageOutcome]:
        """Build what is wanted, `limit` images at most; raises what ends the whole run."""
        parts, settings = self._parts, self._parts.settings
        with (
            rendering(settings, setup=partial(set_up_child, settings.log, niceness=NICENESS)) as (work, pool),
            Leases(parts.catalog, lease_seconds=work.lease_seconds, status=Status.READY) as leases,
        ):
            queue = ReadyRows(
                self._order, search=self._search, parts=parts, lease_seconds=work.lease_seconds, stop=self._stop
            )
            order = replace(work, limit=limit)
            for one in drive(order, queue, catalog=parts.catalog, leases=leases, pool=pool, stop=self._stop):
                self._remember(one, queue)
                yield one
            self._end(queue)

    def close(self) -> None:
        """End the threads that look at the store."""
        end_threads(self._looking)

    def _checkpoint_of(self, order: BackfillOrder) -> Checkpoint | None:
        if not order.selection.forgets or order.chosen.ids_from is not None:
            return None
        places = (self._parts.catalog.place, self._parts.settings.store.url)
        return checkpoint(order, places=places, directory=state_directory())

    def _remember(self, one: ImageOutcome, queue: ReadyRows) -> None:
        self._failed += one.fate is Fate.FAILED
        self._cold += one.fate in (Fate.RESTORING, Fate.NEEDS_RESTORE)
        if self._checkpoint:
            self._checkpoint.save(self._reached(queue))

    def _end(self, queue: ReadyRows) -> None:
        if self._checkpoint and queue.over:
            self._checkpoint.remove()
        elif self._checkpoint:
            self._checkpoint.save(self._reached(queue), now=True)

    def _reached(self, queue: ReadyRows) -> Reached:
        failed, cold = self.resumed.failed + self._failed, self.resumed.cold + self._cold
        return Reached(after=queue.done, failed=failed, cold=cold)


@contextmanager
def backfill(order: BackfillOrder, parts: Parts, *, stop: Stop, anew: bool = False) -> Iterator[Backfill]:
    """A run to be asked for its outcomes; `anew` begins with the first row though an earlier run came further."""
    run = Backfill(order, parts, stop=stop, anew=anew)
    try:
        yield run
    finally:
        run.close()
