"""Retrying while the database or the store is unreachable, so that a long run survives a restart of either."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Protocol, TypeVar

from imgctl.errors import (
    BucketMissing,
    CatalogUnavailable,
    StoreDenied,
    StoreError,
    StoreFull,
    StoreUnavailable,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from imgctl.store.catalog.engine import Catalog

T = TypeVar("T")
Item = TypeVar("Item")

RETRY_SECONDS = 300.0
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 10.0
LOG_SECONDS = 60.0

log = logging.getLogger(__name__)


class StopSignal(Protocol):
    """The signal to end a run: `threading.Event` and `run.stop.Stop` both fit."""

    def is_set(self) -> bool:
        """Whether the run must begin nothing new."""

    def wait(self, timeout: float | None = None) -> bool:
        """Sleep until set or timed out; True when set."""


class NoRetry:
    """A signal that is never set but ends `retry` after the first failure: for a client that repeats its request anyway."""

    def is_set(self) -> bool:
        return False

    def wait(self, timeout: float | None = None) -> bool:
        """Sleep; True, so that nothing is tried again."""
        time.sleep(timeout or 0.0)
        return True


class OutageLog:
    """Logs an outage when it begins, once a minute while it lasts, and when it ends, however many threads meet it."""

    def __init__(self, what: str, *, now: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._now = now
        self._lock = Lock()
        self._since: float | None = None
        self._failed_at = -LOG_SECONDS
        self._logged_at = -LOG_SECONDS

    def failed(self, error: BaseException | None) -> None:
        """Record a failure that is retried."""
        with self._lock:
            now = self._now()
            # Nobody reports a success if all who met the last outage gave up.
            if self._since is None or now - self._failed_at >= LOG_SECONDS:
                self._since = now
            self._failed_at = now
            is_due = now - self._logged_at >= LOG_SECONDS
            if is_due:
                self._logged_at = now
        if is_due:
            log.warning("waiting for the %s: %s", self._what, error)

    def succeeded(self) -> None:
        """Record a success after failures."""
        with self._lock:
            now = self._now()
            since, self._since = self._since, None
            is_logged = since is not None and self._logged_at >= since
        if since is not None and is_logged:
            log.warning("the %s responds again after %.0f s", self._what, now - since)


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


CATALOG_OUTAGES, STORE_OUTAGES = OutageLog("catalog"), OutageLog("store")


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
    outages = CATALOG_OUTAGES if on is CatalogUnavailable else STORE_OUTAGES
    has_failed = False
    while True:
        try:
            result = attempt()
        except on as error:
            if time.monotonic() + pause > deadline or stop.wait(pause):
                raise
            outages.failed(error)
            has_failed = True
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        else:
            if has_failed:
                outages.succeeded()
            return result


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


def write_parts(
    catalog: "Catalog",
    items: "Iterable[Item]",
    statements: "Callable[[Connection, Sequence[Item]], T]",
    *,
    stop: StopSignal,
) -> "Iterator[T]":
    """Yield the results of statements on all items: in one transaction, or in smaller ones while sessions end too early.

    Each part is retried like `write`, and halved each time. Two parts are two transactions: each must be right alone.
    """
    left = list(items)
    size = len(left)

    def attempt() -> tuple[int, T]:
        nonlocal size
        with catalog.write() as connection:
            some = left[:size]
            # For the next attempt, if the session ends before the commit; a database that cannot be reached halves nothing.
            size = max(1, size // 2)
            return len(some), statements(connection, some)

    while left:
        size, result = retry(attempt, stop=stop)
        del left[:size]
        yield result
