"""Every row of an order with the gate's verdict, in blocks: what the survey counts and what acting acts on."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol

from imgctl.model import Image
from imgctl.ops.parts import Parts
from imgctl.ops.retry import StopSignal, retry
from imgctl.ops.row_blobs import BlobLooker
from imgctl.ops.rows import BadId, pages
from imgctl.ops.transition.gate import Gate, Verdict
from imgctl.ops.transition.order import TransitionOrder
from imgctl.run.threads import thread_pool
from imgctl.run.window import RateLimit
from imgctl.store.blobs.base import BlobStore
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.lookups import clock

# So few rows are looked at together that what was seen of them is fresh when it is acted on.
BLOCK = 256


class Judging(Protocol):
    """Who says what may move."""

    def blocks(self) -> Iterator[list[Verdict]]:
        """Verdicts over every row, each block looked at when it is asked for."""

    def judge(self, images: Sequence[Image]) -> list[Verdict]:
        """Verdicts over these rows, in their order."""


class Judges:
    """The gate with what it looks at; `looker` tells how many requests that took."""

    def __init__(self, order: TransitionOrder, *, parts: Parts, looker: BlobLooker, stop: StopSignal) -> None:
        self.looker = looker
        self.bad: list[BadId] = []
        self._order = order
        self._catalog = parts.catalog
        self._gate = Gate(order.policy)
        self._stop = stop

    def blocks(self) -> Iterator[list[Verdict]]:
        """Verdicts over every row of the order, each block looked at when it is asked for."""
        for page in pages(self._catalog, self._order.chosen, stop=self._stop, bad=self.bad):
            for start in range(0, len(page), BLOCK):
                if self._stop.is_set():
                    return
                yield self.judge(page[start : start + BLOCK])

    def judge(self, images: Sequence[Image]) -> list[Verdict]:
        """Verdicts over these rows, in their order."""
        now = retry(lambda: database_time(self._catalog), stop=self._stop)
        verdicts = {image.id: self._gate.judge_row(image, now=now) for image in images}
        open_rows = [image for image in images if verdicts[image.id] is None]
        judged = {row.image.id: self._gate.judge(row) for row in self.looker.look(open_rows)}
        return [verdicts[image.id] or judged[image.id] for image in images]


@contextmanager
def judges(
    order: TransitionOrder, *, parts: Parts, cold: BlobStore, stop: StopSignal, listing: bool | None = None
) -> Iterator[Judges]:
    """Look by listing where the scope is a range of days; by a request each for one user's and for named rows."""
    if listing is None:
        listing = order.chosen.ids_from is None and order.chosen.scope.user_id is None
    with thread_pool(order.concurrency, name="look") as pool:
        rate = RateLimit(order.rate) if order.rate else None
        looker = BlobLooker(cold, parts.settings.store, listing=listing, pool=pool, stop=stop, rate=rate)
        yield Judges(order, parts=parts, looker=looker, stop=stop)


def database_time(catalog: Catalog) -> datetime:
    """What time the database has."""
    with catalog.read() as connection:
        return clock(connection)
