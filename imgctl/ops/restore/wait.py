"""Waiting for restores: seldom at first, by how long the tier takes, then now and then, with jitter."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from imgctl.ops.parts import Parts
from imgctl.ops.restore.ask import move_back
from imgctl.ops.restore.order import Outcome, RestoreOrder, State
from imgctl.ops.restore.survey import status
from imgctl.ops.retry import StopSignal
from imgctl.ops.rows import Chosen, pages
from imgctl.pricing.costs import retrieval
from imgctl.pricing.prices import Card
from imgctl.store.blobs.base import Tier

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
    chosen: Chosen, order: RestoreOrder, *, parts: Parts, stop: StopSignal, first_seconds: float
) -> Iterator[Round | Outcome]:
    """Look again and again until nothing is restoring; what became readable is moved back where it shall stay.

    Yields a Round after each look, and what was moved before it. The first look is at once: some stores restore so.
    """
    for pause in pauses(first_seconds):
        restoring = restored = 0
        if order.permanent:
            yield from move_back(pages(parts.catalog, chosen, stop=stop), order, parts=parts, stop=stop)
        for one in status(chosen, order, parts=parts, stop=stop):
            restoring += one.state is State.RESTORING
            restored += one.state in (State.RESTORED, State.READABLE)
        if stop.is_set():
            return
        yield Round(restoring=restoring, restored=restored, next_seconds=pause if restoring else None)
        if not restoring or stop.wait(pause):
            return


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(1 - JITTER, 1 + JITTER)
