"""Waiting for a database or a store that went away for a while, so that a long run outlives its restart."""

import logging
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from imgctl.errors import CatalogUnavailable, StoreUnavailable

T = TypeVar("T")

PATIENCE_SECONDS = 300.0
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 10.0

log = logging.getLogger(__name__)


class Waiting(Protocol):
    """What a run listens to: `threading.Event` and `run.stop.Stop` both fit."""

    def is_set(self) -> bool:
        """Whether to begin nothing new."""

    def wait(self, timeout: float | None = None) -> bool:
        """Sleep until set or timed out; True when set."""


def patiently(
    attempt: Callable[[], T],
    *,
    stop: Waiting,
    patience_seconds: float = PATIENCE_SECONDS,
    away: type[CatalogUnavailable] | type[StoreUnavailable] = CatalogUnavailable,
) -> T:
    """Do a transaction, again and again while the database (or who else raises `away`) is away; raises it in the end.

    `attempt` must be safe to repeat: its commit may have happened though its answer was lost.
    """
    deadline = time.monotonic() + patience_seconds
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            return attempt()
        except away as error:
            if time.monotonic() + pause > deadline or stop.wait(pause):
                raise
            who = "catalog" if isinstance(error, CatalogUnavailable) else "store"
            log.warning("waiting for the %s: %s", who, error.line)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
