"""Telling one image's bad luck from a store that is away: the store itself is asked, where the images are rendered."""

import logging
import time
from concurrent.futures import Future
from dataclasses import replace

from imgctl.config import StoreSettings
from imgctl.errors import StoreError, StoreUnavailable, WorkerError
from imgctl.ops.work.task import Ending, Outcome, check_store
from imgctl.run.pool import Pool

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 10.0

log = logging.getLogger(__name__)


class StoreWatch:
    """Holds back images that the store failed until it is known whose fault that was.

    A store that works otherwise makes it the image's own attempt. One that is away is waited for, and its images go
    back unblamed; `gone` is why the run must end: no permission, no bucket, no space, or away for too long.
    """

    def __init__(self, pool: Pool, store: StoreSettings, *, patience_seconds: float) -> None:
        self.gone: StoreError | None = None
        self._pool = pool
        self._store = store
        self._patience_seconds = patience_seconds
        self._suspects: list[Outcome] = []
        self._answer: Future[None] | None = None
        self._away_since: float | None = None
        self._pause = FIRST_PAUSE_SECONDS
        self._ask_at = 0.0

    @property
    def away(self) -> bool:
        """Whether the store did not answer when it was last asked: then nothing should begin."""
        return self._away_since is not None

    @property
    def undecided(self) -> bool:
        """Whether outcomes are held back."""
        return bool(self._suspects)

    def sift(self, outcomes: list[Outcome], *, stopping: bool) -> list[Outcome]:
        """The outcomes that can be judged now: these, but for what the store failed, and those held back until now."""
        self._suspects += [one for one in outcomes if one.ending is Ending.STORE_FAILED]
        judged = [one for one in outcomes if one.ending is not Ending.STORE_FAILED]
        if self._suspects and not stopping and self.gone is None:
            self._ask()
        if self._suspects and (stopping or self.gone is not None):
            judged += self._release(blameless=True)
        elif self._suspects and self._answer is not None and self._answer.done():
            judged += self._decide(self._answer)
        return judged

    def _ask(self) -> None:
        if self._answer is not None or time.monotonic() < self._ask_at:
            return
        try:
            self._answer = self._pool.submit(check_store, self._store)
        except WorkerError:
            # Whoever submits the next images finds out, and ends the run.
            self._ask_at = time.monotonic() + LONGEST_PAUSE_SECONDS

    def _decide(self, answer: "Future[None]") -> list[Outcome]:
        self._answer = None
        error = answer.exception()
        if error is None:
            blameless, self._away_since, self._pause = self.away, None, FIRST_PAUSE_SECONDS
            return self._release(blameless=blameless)
        now = time.monotonic()
        self._away_since = self._away_since or now
        lasting = now - self._away_since >= self._patience_seconds
        if isinstance(error, StoreError) and (lasting or not isinstance(error, StoreUnavailable)):
            self.gone = error
            return self._release(blameless=True)
        log.warning("waiting for the store: %s", error)
        self._ask_at, self._pause = now + self._pause, min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        return []

    def _release(self, *, blameless: bool) -> list[Outcome]:
        released, self._suspects = self._suspects, []
        return [replace(one, ending=Ending.NOT_BEGUN) if blameless else one for one in released]
