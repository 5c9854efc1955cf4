"""Waiting for restores: seldom at first, by how long the tier takes, then now and then, with jitter."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from imgctl.ops.restore.ask import move_back
from imgctl.ops.restore.look import rows
from imgctl.ops.restore.order import Outcome, RestoreOrder, State, Wanted
from imgctl.ops.restore.survey import status
from imgctl.ops.retry import StopSignal, retry
from imgctl.ops.rows import BadId
from imgctl.pricing.costs import retrieval
from imgctl.pricing.prices import Card
from imgctl.store.blobs.base import BlobStore, Tier
from imgctl.store.catalog.claims import awaiting_restore
from imgctl.store.catalog.engine import Catalog
from imgctl.units import count_of

SECONDS_AN_HOUR = 3600
# Where a price card gives no least time, as for DEEP_ARCHIVE, a quarter of the most.
SHARE_OF_MOST = Decimal("0.25")
LEAST_SECONDS = 15.0
MOST_SECONDS = 1800.0
GROWTH = 1.5
JITTER = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """How many originals were still restoring at one look, how many were readable, and when the next look is due."""

    restoring: int
    restored: int
    next_seconds: float | None


def first_look_seconds(card: Card, storage_class: str, tier: Tier) -> float:
    """How long after asking it is worth looking: the least time the tier takes."""
    least, most = retrieval(card, storage_class, tier).hours
    return float(max(least, most * SHARE_OF_MOST)) * SECONDS_AN_HOUR


def pauses(first_seconds: float) -> Iterator[float]:
    """Seconds to wait before each look: first so long, then a tenth of it, growing to half an hour; with jitter."""
    yield _jittered(first_seconds)
    pause = first_seconds / 10
    while True:
        yield _jittered(min(max(pause, LEAST_SECONDS), MOST_SECONDS))
        pause *= GROWTH


def wait(
    wanted: Wanted, order: RestoreOrder, *, catalog: Catalog, cold: BlobStore, stop: StopSignal, first_seconds: float
) -> Iterator[Round | Outcome]:
    """Look again and again until nothing is restoring; what became readable is moved back where it shall stay.

    Yields a Round after each look, and what was moved before it. The first look is at once: some stores restore so.
    """
    for pause in pauses(first_seconds):
        restoring = restored = 0
        if order.permanent:
            pages = rows(catalog, wanted, stop=stop)
            yield from move_back(pages, order, catalog=catalog, cold=cold, stop=stop)
        for one in status(wanted, order, catalog=catalog, cold=cold, stop=stop, bad=list[BadId]()):
            restoring += one.state is State.RESTORING
            restored += one.state in (State.RESTORED, State.READABLE)
        if stop.is_set():
            return
        yield Round(restoring=restoring, restored=restored, next_seconds=pause if restoring else None)
        if not restoring or stop.wait(pause):
            return


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(1 - JITTER, 1 + JITTER)


def waiting(catalog: Catalog, *, stop: StopSignal) -> int:
    """How many of the oldest 10,000 processing images wait for their originals to be restored."""

    def attempt() -> int:
        with catalog.read() as connection:
            return awaiting_restore(connection)

    return retry(attempt, stop=stop)


def waiting_words(count: int) -> str:
    """A sentence that says so, and the way out."""
    what = count_of(count, "image waits for its original", "images wait for their originals")
    return f"{what} to be restored (imgctl restore --status shows them, imgctl restore ID brings one back)"
