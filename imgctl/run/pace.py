"""Requests to a distant store begin spread over time: bunched, they queue at the server and come back bunched."""

import math
import threading
import time
from collections.abc import Callable

# Of the even distance between two beginnings. One would leave no way to make up for a late one.
SHARE = 0.9
# What is closer is not worth a sleep; what is further apart does not meet at a server.
LEAST_SECONDS, MOST_SECONDS = 0.001, 0.01
# The quickest request is forgotten little by little: after 700 others it counts as twice as slow.
FORGETTING = 1.001
# Where requests usually take so many times as long as the quickest, it is not the way that takes the time.
BUSY = 1.5
SMOOTHING = 0.1


class Pace:
    """Gives each beginning its turn: `limit` of them spread over what the quickest request takes.

    A stall of the client, a long commit perhaps, gathers all that would have begun meanwhile; where the way is long and
    even, they would stay together for ever. Near a server, where the quickest takes no time, and before a busy one, where
    there is always a queue, everyone begins at once.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._quickest = math.inf
        self._usual = 0.0
        self._free_at = -math.inf

    def took(self, seconds: float) -> None:
        """A request that went well took so long."""
        self._quickest = min(seconds, self._quickest * FORGETTING)
        self._usual += SMOOTHING * (seconds - self._usual) if self._usual else seconds

    def reserve(self, limit: int) -> float:
        """Take a turn among `limit` requests in flight; returns in how many seconds it comes."""
        apart = min(SHARE * self._quickest / limit, MOST_SECONDS)
        if apart < LEAST_SECONDS or math.isinf(self._quickest) or self._usual > BUSY * self._quickest:
            return 0.0
        with self._lock:
            now = self._clock()
            turn = max(now, self._free_at)
            self._free_at = turn + apart
        return turn - now
