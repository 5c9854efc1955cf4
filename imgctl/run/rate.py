"""A bound on bytes a second, over all threads."""

import threading
import time
from collections.abc import Callable

BURST_SECONDS = 0.25


class RateLimit:
    """Lets `rate` bytes pass each second; whoever is too early waits for its turn."""

    def __init__(self, rate: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._lock = threading.Lock()
        self._free_at = clock()

    def reserve(self, size: int) -> float:
        """Take a turn for `size` bytes; returns in how many seconds it comes."""
        with self._lock:
            now = self._clock()
            self._free_at = max(self._free_at, now - BURST_SECONDS)
            turn = self._free_at
            self._free_at += size / self._rate
            return max(0.0, turn - now)
