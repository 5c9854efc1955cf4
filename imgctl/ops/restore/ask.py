"""Requests to the store to restore originals; each is looked up first, so that nothing is paid twice."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from decimal import Decimal

from imgctl.errors import StoreError
from imgctl.model import RETURN_FOR_GOOD, Image, StorageClass
from imgctl.ops.common.open import Parts
from imgctl.ops.common.retry import Failures, StopSignal
from imgctl.ops.restore.options import Fate, Outcome, RestoreOrder, Seen, State
from imgctl.ops.restore.state import is_wanted, note, originals, seen
from imgctl.ops.restore.survey import price_of
from imgctl.run.budgets import RateLimit
from imgctl.run.threads import thread_pool
from imgctl.store.blobs.base import Blob, Restore

BEYOND_LIMIT = "beyond the limit"
BEYOND_BUDGET = "beyond the budget"
RUN_ENDED = "the run ended before"
_SETTLED = {
    State.MISSING: Fate.MISSING,
    State.READABLE: Fate.READABLE,
    State.RESTORING: Fate.RESTORING,
    State.UNKNOWN: Fate.FAILED,
}
_FATES = {Restore.STARTED: Fate.REQUESTED, Restore.EXTENDED: Fate.EXTENDED, Restore.IN_PROGRESS: Fate.RESTORING}


@dataclass(slots=True, kw_only=True)
class Allowance:
    """The steps that a run may still take (None: any number), and the dollars it has spent, over all its rounds."""

    left: int | None
    spent: Decimal = Decimal(0)


def request(
    pages: Iterable[Sequence[Image]],
    order: RestoreOrder,
    *,
    parts: Parts,
    stop: StopSignal,
    allowance: Allowance | None = None,
) -> Iterator[Outcome]:
    """Restore the originals of these rows, a page at a time, and update the rows with the store's state.

    Originals that are readable, being restored, or restored for long enough are not requested. Before a billed request,
    the original is looked up once more. When `stop` is set no further request is sent. Raises the error that ends a
    whole run (no bucket; permission denied or no response many times in a row; no database) after its page is settled.
    """
    return _through(pages, order, allowance or Allowance(left=order.limit), parts=parts, stop=stop, requests=True)


def move_back(
    pages: Iterable[Sequence[Image]], order: RestoreOrder, *, parts: Parts, stop: StopSignal, allowance: Allowance
) -> Iterator[Outcome]:
    """Move restored originals back to STANDARD without requesting restores.

    Yields the moved and the failed ones, and those that the budget leaves out.
    """
    for outcome in _through(pages, order, allowance, parts=parts, stop=stop, requests=False):
        if outcome.fate in (Fate.MOVED, Fate.FAILED) or outcome.detail == BEYOND_BUDGET:
            yield outcome


def _through(
    pages: Iterable[Sequence[Image]],
    order: RestoreOrder,
    allowance: Allowance,
    *,
    parts: Parts,
    stop: StopSignal,
    requests: bool,
) -> Iterator[Outcome]:
    with thread_pool(order.concurrency, name="restore") as pool:
        run = _Run(order, parts, pool, stop, allowance, requests=requests)
        for page in pages:
            if stop.is_set():
                return
            outcomes = run.page(page)
            if not order.dry_run:
                note(parts.catalog, [one.seen for one in outcomes], stop=stop)
            yield from (one for one in outcomes if one.detail != BEYOND_LIMIT)
            if run.spent_out:
                return
            if run.failures.over is not None:
                raise run.failures.over


class _Run:
    """One restore; `_act` runs in the threads of `pool`."""

    def __init__(
        self,
        order: RestoreOrder,
        parts: Parts,
        pool: Executor,
        stop: StopSignal,
        allowance: Allowance,
        *,
        requests: bool,
    ) -> None:
        self.failures = Failures(order.concurrency)
        self._requests = requests
        self._order = order
        self._store = parts.store
        self._pool = pool
        self._looker = originals(
            parts.store, parts.settings.store, lists_restores=order.lists_restores, pool=pool, stop=stop
        )
        self._stop = stop
        self._rate = RateLimit(order.rate)
        self._lock = threading.Lock()
        self._allowance = allowance

    @property
    def spent_out(self) -> bool:
        """Whether the limit is reached."""
        return self._allowance.left == 0

    def page(self, images: Sequence[Image]) -> list[Outcome]:
        """Settle a page of rows."""
        outcomes = []
        for outcome, error in self._pool.map(self._safely, map(seen, self._looker.look(images))):
            self.failures.record(error)
            outcomes.append(outcome)
        return outcomes

    def _safely(self, one: Seen) -> tuple[Outcome, StoreError | None]:
        if self.failures.over is not None:
            return Outcome(seen=one, fate=Fate.LEFT, detail=RUN_ENDED), None
        try:
            return self._act(one), one.error
        except StoreError as error:
            return Outcome(seen=one, fate=Fate.FAILED, detail=error.line), error

    def _act(self, one: Seen) -> Outcome:
        if self._is_idle(one):
            return _settled(one)
        if changed := self._changed(one):
            return Outcome(seen=one, fate=Fate.CHANGED, detail=changed)
        if self._order.dry_run:
            refused = self._refused(one)
            return Outcome(seen=one, fate=Fate.LEFT if refused else Fate.PLANNED, detail=refused)
        now = one if one.fresh else seen(self._looker.look_at(one.image))
        if now.error is not None:
            raise now.error
        if self._is_idle(now):
            return _settled(now)
        if changed := self._changed(now):
            return Outcome(seen=now, fate=Fate.CHANGED, detail=changed)
        if refused := self._refused(now):
            return Outcome(seen=now, fate=Fate.LEFT, detail=refused)
        return self._request(now) if is_wanted(now, self._order) else self._move(now)

    def _is_idle(self, one: Seen) -> bool:
        moves = self._order.permanent and one.state is State.RESTORED
        return not moves and not (self._requests and is_wanted(one, self._order))

    def _changed(self, one: Seen) -> str:
        """Return what changed since the plan was written, or an empty text."""
        if one.image.id in self._order.held:
            return "its row has changed since"
        etag = self._order.etags.get(one.image.id)
        blob = _blob(one)
        return f"its ETag was {etag} and is {blob.etag}" if etag is not None and etag != blob.etag else ""

    def _refused(self, one: Seen) -> str:
        """Reserve one request from the limit, the budget and the rate; returns why that is refused, or an empty text."""
        allowed = self._allowance
        with self._lock:
            price = price_of(one, self._order)
            if allowed.left == 0:
                return BEYOND_LIMIT
            if self._order.budget is not None and allowed.spent + price > self._order.budget:
                return BEYOND_BUDGET
            allowed.left = None if allowed.left is None else allowed.left - 1
            allowed.spent += price
            turn = 0.0 if self._order.dry_run else self._rate.reserve(1)
        return RUN_ENDED if self._stop.is_set() or (turn and self._stop.wait(turn)) else ""

    def _request(self, one: Seen) -> Outcome:
        blob = _blob(one)
        days = None if blob.storage_class in RETURN_FOR_GOOD else self._order.days
        response = self._store.restore(blob.key, tier=self._order.tier, days=days)
        # Some stores restore at once, and an extended copy has a new expiry: the state is read back, not computed.
        after = seen(self._looker.look_at(one.image))
        if after.blob is None:
            after = replace(one, blob=replace(blob, restoring=response is not Restore.EXTENDED), state=State.RESTORING)
        return Outcome(seen=after, fate=_FATES[response])

    def _move(self, one: Seen) -> Outcome:
        blob = _blob(one)
        moved = self._store.move(blob.key, to=StorageClass.STANDARD, etag=blob.etag)
        return Outcome(seen=replace(one, blob=moved, state=State.READABLE), fate=Fate.MOVED)


def _settled(one: Seen) -> Outcome:
    fate = _SETTLED.get(one.state, Fate.RESTORED)
    return Outcome(seen=one, fate=fate, detail=one.error.line if one.error else _detail(one))


def _detail(one: Seen) -> str:
    if one.state is State.MISSING:
        return f"the store has no {one.image.original_key}" if one.image.original_key else "the row names no original"
    return ""


def _blob(one: Seen) -> Blob:
    assert one.blob is not None
    return one.blob
