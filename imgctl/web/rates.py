"""How many requests each caller may make: a bucket of a minute's worth for each, refilled evenly."""

import time
from collections import OrderedDict
from collections.abc import Callable

MOST_CALLERS = 10_000
MINUTE = 60.0


class Rates:
    """Counts requests by caller; `limit` a minute, 0 for no bound. For one thread."""

    def __init__(self, limit: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._free_at: OrderedDict[str, float] = OrderedDict()

    def wait_seconds(self, caller: str) -> float:
        """Count a request; 0 when it may pass, else in how many seconds the caller should try again."""
        if not self._limit:
            return 0.0
        now, step = self._clock(), MINUTE / self._limit
        free_at = max(self._free_at.pop(caller, 0.0), now - MINUTE + step)
        if free_at > now:
            self._free_at[caller] = free_at
            return free_at - now
        self._free_at[caller] = free_at + step
        while len(self._free_at) > MOST_CALLERS:
            self._free_at.popitem(last=False)
        return 0.0
