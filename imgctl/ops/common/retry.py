"""Retrying while the database or the store is unreachable, so that a long run survives a restart of either."""

import logging
import time
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Protocol, TypeVar

from imgctl.errors import BucketMissing, CatalogUnavailable, StoreDenied, StoreError, StoreFull, StoreUnavailable

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from imgctl.store.catalog.engine import Catalog

T = TypeVar("T")

RETRY_SECONDS = 300.0
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 10.0

log = logging.getLogger(__name__)


class StopSignal(Protocol):
    """The signal to end a run: `threading.Event` and `run.stop.Stop` both fit."""

    def is_set(self) -> bool:
        """Whether the run must begin nothing new."""

    def wait(self, timeout: float | None = None) -> bool:
        """Sleep until set or timed out; True when set."""


class Failures:
    """Ends a run by setting `over`: to an error that every further request would meet, or after `most` errors in a row.

    Only StoreUnavailable and StoreDenied count in a row. Safe in many threads.
    """

    def __init__(self, most: int) -> None:
        self.over: StoreError | None = None
        self._most = most
        self._in_a_row = 0
        self._lock = Lock()

    def record(self, error: StoreError | None) -> None:
        """Record how one more request ended: its error, or None for success."""
        with self._lock:
            self._in_a_row = self._in_a_row + 1 if isinstance(error, StoreUnavailable | StoreDenied) else 0
            if isinstance(error, BucketMissing | StoreFull) or self._in_a_row >= self._most:
                self.over = self.over or error


def retry(
    attempt: Callable[[], T],
    *,
    stop: StopSignal,
    seconds: float = RETRY_SECONDS,
    on: type[CatalogUnavailable] | type[StoreUnavailable] = CatalogUnavailable,
) -> T:
    """Return the result of `attempt`, repeated after errors of type `on` for `seconds` or until `stop`, then raise.

    `attempt` must be safe to repeat: a commit may have happened although its response was lost.
    """
    deadline = time.monotonic() + seconds
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            return attempt()
        except on as error:
            if time.monotonic() + pause > deadline or stop.wait(pause):
                raise
            what = "catalog" if isinstance(error, CatalogUnavailable) else "store"
            log.warning("waiting for the %s: %s", what, error.line)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def read(catalog: "Catalog", query: "Callable[[Connection], T]", *, stop: StopSignal) -> T:
    """Return the result of a query in its own transaction, retried while the database is unreachable."""

    def attempt() -> T:
        with catalog.read() as connection:
            return query(connection)

    return retry(attempt, stop=stop)


def write(
    catalog: "Catalog",
    statements: "Callable[[Connection], T]",
    *,
    stop: StopSignal,
    lease_seconds: float | None = None,
    seconds: float = RETRY_SECONDS,
) -> T:
    """Return the result of statements in one transaction, retried for `seconds` while the database is unreachable.

    With `lease_seconds` the server ends the transaction if this process is frozen for that long: see `end_if_frozen`.
    """

    def attempt() -> T:
        with catalog.write() as connection:
            if lease_seconds is not None:
                from imgctl.store.catalog.lease import end_if_frozen

                end_if_frozen(connection, seconds=lease_seconds)
            return statements(connection)

    return retry(attempt, stop=stop, seconds=seconds)
