"""What this machine can render now: sizes that its temporary directory has room for, formats that it has decoders for."""

import logging
import time
from collections.abc import Iterable, Sequence
from uuid import UUID

from imgctl.errors import DecoderMissing, NoRoom
from imgctl.ops.work.options import Ending, Job, Outcome
from imgctl.ops.work.render_task import SPOOL_FROM_BYTES
from imgctl.store.catalog.queries.claims import Renderable

RETRY_SECONDS = 60.0

log = logging.getLogger(__name__)


class Capacity:
    """Which images to take, so that the others wait for room, or for a machine that has the decoder.

    An original may lack room only because of others in flight. So once nothing is in flight, one is tried alone: if it
    fails too, `is_sure`. One is tried again every minute. `record` may be called again with the same outcomes.
    """

    def __init__(self) -> None:
        self.is_sure = False
        self._below: int | None = None
        self._without: set[str] = set()
        self._alone = False
        self._tried_alone: UUID | None = None
        self._again_at = 0.0
        self._warned_from: int | None = None

    def record(self, outcomes: Sequence[Outcome]) -> None:
        """Learn from ended images; logs a warning for each lasting lack."""
        self.again(idle=False)
        for one in outcomes:
            if one.cause == NoRoom.__name__:
                self._no_room(one)
            elif one.ending is Ending.DEFERRED and one.cause == DecoderMissing.__name__:
                self._no_decoder(one)
            elif one.ending is Ending.RENDERED and self._warned_from and one.job.size >= self._warned_from:
                log.info("there is room for large originals again")
                self._warned_from = None

    def committed(self, jobs: Sequence[Job], *, ended: Iterable[UUID]) -> None:
        """Note the images of a committed transaction: those it took, and those that `ended`."""
        if self._tried_alone is not None and self._tried_alone in ended:
            self._tried_alone = None
        if self._alone and jobs:
            self._tried_alone = jobs[0].id
        self._alone = False

    @property
    def renderable(self) -> Renderable:
        """The images to take now."""
        below = SPOOL_FROM_BYTES if self._tried_alone else self._below
        return Renderable(below_bytes=below, without=tuple(sorted(self._without)))

    def fits(self, size: int, key: str) -> bool:
        """Whether to take an original of this size (0: unknown) and key now; the same rule as `renderable`."""
        able = self.renderable
        small = able.below_bytes is None or 0 < size < able.below_bytes
        return small and not key.endswith(able.without)

    def is_left(self, key: str) -> bool:
        """Whether this run cannot render an original that does not fit, although it was not tried."""
        return self.is_sure or key.endswith(self.renderable.without)

    def is_final(self, one: Outcome) -> bool:
        """Whether a deferred image cannot be rendered by this run."""
        return self.is_sure or one.cause != NoRoom.__name__

    def most(self, room: int) -> int:
        """Return how many images to take at once."""
        return 1 if self._alone else room

    def again(self, *, idle: bool) -> bool:
        """Whether a large original should be tried again: then one is taken; `idle`: nothing is in flight."""
        early = time.monotonic() < self._again_at
        if self._below is None or (early and (self.is_sure or not idle)):
            return False
        self._below, self.is_sure, self._alone = None, False, True
        return True

    def seconds_to_retry(self) -> float | None:
        """Return when to call `again`; None if nothing lacks room."""
        return None if self._below is None else max(0.0, self._again_at - time.monotonic())

    def _no_room(self, one: Outcome) -> None:
        size = one.job.size or SPOOL_FROM_BYTES
        self.is_sure = one.job.id == self._tried_alone
        self._below = min(size, self._below or size)
        self._again_at = time.monotonic() + RETRY_SECONDS
        if self.is_sure and (self._warned_from is None or size < self._warned_from):
            self._warned_from = size
            log.warning("%s; images of this size wait until there is, smaller ones go on", one.error)

    def _no_decoder(self, one: Outcome) -> None:
        ending = "." + one.job.original_key.rpartition(".")[2]
        if ending not in self._without:
            self._without.add(ending)
            log.warning("%s; images named *%s wait for another machine, others go on", one.error, ending)
