"""Adaptive concurrency: finds the number of puts in flight while they run, a few round trips a step."""

from dataclasses import dataclass
from math import inf

FIRST_CONCURRENCY, MOST_CONCURRENCY = 16, 256
# The fixed cost of a put, in bytes: makes the throughput of many small puts comparable with that of few large ones.
PUT_WEIGHT = 64 * 2**10
# A shorter measurement is noise.
SHORTEST_SECONDS = 0.05
TICK = 1e-6
# Slow start doubles the limit each round trip until requests take so much longer than in the fastest round.
SLOWER = 1.5
# Minimum gain in throughput: 25 % for doubling, later 10 % for a raise by half. A third fewer may lose 5 %.
START_GROWTH, START_GAIN = 2.0, 1.25
GROWTH, GAIN, LOSS, SMOOTHING = 1.5, 1.1, 0.95, 0.3
# A tenth more requests in flight than throughput times the fastest round trip leave no throughput unused.
HEADROOM = 1.1
SHORTEST_REST, LONGEST_REST = 4, 64
# Pushbacks and lost requests that a step tolerates before it lowers the limit: a percentage of its requests, and a few.
PUSHBACKS_PERCENT, FEW_PUSHBACKS = 10, 4


@dataclass(slots=True, kw_only=True)
class AdaptiveConcurrency:
    """The limit of requests in flight: raised while throughput grows, lowered when the store pushes back.

    Slow start: the limit doubles each round trip, like TCP, until the requests of a round take longer than before.

    Then each step takes two round trips: in the first, requests of the earlier limit end; the second is measured. The
    first trials double the limit. A raise without gain, or with pushbacks, is undone, and the next trial waits, twice
    as many steps each time. Trials alternate between a raise and a reduction; a reduction without loss stays. Without
    reductions, chance would raise the limit step by step where the client's CPU is the bottleneck, because its share of
    a busy machine varies by half between steps. None is tried if requests take as long as in the fastest round: then
    fewer would cost throughput. Pushbacks outside of a trial halve the limit. A step in which puts lack work is not
    judged.
    """

    limit: int = FIRST_CONCURRENCY
    least: int = 1
    most: int = MOST_CONCURRENCY
    _slow_start: bool = True
    _starting: bool = True
    _raises: bool = True
    _before: int = 0
    _usual: float = 0.0
    # Seconds that a request took for a byte of weight: in the fastest step, and the latest.
    _fastest: float = inf
    _latest: float = inf
    _resting: int = 0
    _rest: int = SHORTEST_REST
    _count: int = 0
    # The limit of the previous step: as many requests were in flight when this step began.
    _earlier: int = 0
    _weight: int = 0
    _took: float = 0.0
    _starved: int = 0
    _pushbacks: int = 0
    _began: float = 0.0

    @property
    def next_limit(self) -> int:
        """The highest limit that the next request to end may set."""
        return min(self.most, 2 * self.limit) if self._slow_start else self.limit

    def ended(self, size: int, *, began: float, now: float, pushbacks: int, starved: bool = False) -> int:
        """Return the new limit after a request of `size` bytes, begun at `began`, ended at `now` (monotonic seconds).

        `pushbacks` is the total of all requests so far; `starved` means that no request was queued behind this one.
        """
        self._count += 1
        measured = self._count - (self._earlier if self._slow_start else max(self._earlier, self.limit))
        if measured <= 0:
            self._weight, self._took, self._starved, self._pushbacks, self._began = 0, 0.0, 0, pushbacks, now
            return self.limit
        self._weight += size + PUT_WEIGHT
        self._took += max(now - began, TICK)
        self._starved += starved
        pushed = (pushbacks - self._pushbacks) * 100 > PUSHBACKS_PERCENT * measured + FEW_PUSHBACKS * 100
        if not (pushed or self._is_measured(measured, now)):
            return self.limit
        self._count, self._earlier = 0, self.limit
        if pushed:
            self._end_trial(self._before if 0 < self._before < self.limit else self.limit // 2)
        elif 10 * self._starved <= measured:
            self._latest = self._took / self._weight
            self._fastest = min(self._fastest, self._latest)
            if self._slow_start:
                self._double()
            else:
                self._judge(self._weight / (now - self._began))
        return self.limit

    def _is_measured(self, measured: int, now: float) -> bool:
        if self._slow_start:
            return self._count >= self.limit
        return measured >= self.limit and now >= self._began + SHORTEST_SECONDS

    def _double(self) -> None:
        if self._latest > SLOWER * self._fastest:
            self.limit, self._before, self._slow_start = max(self._before, self._needed()), 0, False
        elif self.limit == self.most:
            self._before, self._slow_start = 0, False
        else:
            self._before, self.limit = self.limit, min(self.most, 2 * self.limit)

    def _needed(self) -> int:
        """Return the limit that reaches the latest throughput if no request waits for another, by Little's law."""
        return int(self.limit * HEADROOM * self._fastest / self._latest)

    def _end_trial(self, limit: int) -> None:
        if self._before and not self._slow_start:
            self._resting, self._rest, self._raises = self._rest, min(2 * self._rest, LONGEST_REST), not self._raises
        else:
            self._resting, self._rest, self._raises = SHORTEST_REST, SHORTEST_REST, True
        self.limit, self._before, self._usual = max(self.least, limit), 0, 0.0
        self._slow_start = self._starting = False

    def _judge(self, throughput: float) -> None:
        more = self._before < self.limit
        gain = LOSS if not more else START_GAIN if self._starting else GAIN
        if self._before and throughput <= self._usual * gain:
            self._end_trial(self._before)
            return
        is_new = not self._usual or (self._before and more)
        self._usual += (1.0 if is_new else SMOOTHING) * (throughput - self._usual)
        if self._resting:
            self._resting -= 1
        else:
            self._rest = SHORTEST_REST if self._before else self._rest
            self._try()

    def _try(self) -> None:
        """Begin a trial: a raise, or a reduction if the last raise brought nothing; at a bound the opposite."""
        growth = START_GROWTH if self._starting else GROWTH
        more = min(self.most, max(self.limit + 1, int(self.limit * growth)))
        fewer = max(min(self.limit, FIRST_CONCURRENCY), int(self.limit / GROWTH))
        self._raises = fewer == self.limit or (self._raises and more > self.limit)
        if not self._raises and fewer < self._needed():
            self._before, self._raises, self._resting = 0, True, self._rest
        else:
            self._before, self.limit = self.limit, more if self._raises else fewer
