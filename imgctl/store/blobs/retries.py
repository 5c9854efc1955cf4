"""Retries requests to a server; the clients themselves never retry."""

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from imgctl.errors import StoreError
from imgctl.store.blobs.errors import Target, failure_of

T = TypeVar("T")

log = logging.getLogger(__name__)

_FIRST_BACKOFF_SECONDS, _LONGEST_BACKOFF_SECONDS = 0.1, 15.0
# A request that failed so often, or after so long, is reported; not more often than each minute, as all of a run may fail.
_MANY_TRIES, _LONG_SECONDS, _QUIET_SECONDS = 4, 10.0, 60.0


class Calls:
    """Retries transient failures, which `pushbacks` counts, and raises the matching StoreError.

    Each is logged for debugging; a long outage is also reported by a warning each minute.
    """

    def __init__(self, retries: int, target: Callable[[str], Target]) -> None:
        self.pushbacks = 0
        self._retries = retries
        self._target = target
        self._quiet_until = 0.0

    def call(self, key: str, request: Callable[..., T], **arguments: object) -> T:
        """Make a request, with at most `retries` retries and full jitter.

        Raises the matching StoreError; `key` is for its text, empty for the bucket.
        """
        for attempt in range(self._retries + 1):
            began = time.monotonic()
            try:
                return request(**arguments)
            except Exception as error:
                failure = failure_of(error, self._target(key))
                if failure is None:
                    raise
                self.pushbacks += failure.transient
                if not failure.transient or attempt == self._retries:
                    # Without its cause, whose text may contain details about credentials.
                    raise failure.error from None
                self._report(failure.error, attempt + 1, seconds=time.monotonic() - began)
            time.sleep(random.uniform(0, min(_LONGEST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2**attempt)))
        raise AssertionError("unreachable")

    def _report(self, error: StoreError, tries: int, *, seconds: float) -> None:
        level, now = logging.DEBUG, time.monotonic()
        if (tries >= _MANY_TRIES or seconds >= _LONG_SECONDS) and now >= self._quiet_until:
            level, self._quiet_until = logging.WARNING, now + _QUIET_SECONDS
        log.log(level, "%s; retry %d of %d", error, tries, self._retries)

    def judged(self, error: Exception, key: str = "") -> StoreError | None:
        """The StoreError for a permanent client error; None for any other."""
        failure = failure_of(error, self._target(key))
        return None if failure is None or failure.transient else failure.error
