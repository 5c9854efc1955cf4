"""Adaptive concurrency: finds the number of puts in flight while they run, a few round trips a step."""

from dataclasses import dataclass

FIRST_CONCURRENCY, MOST_CONCURRENCY = 16, 256
# The fixed cost of a put, in bytes: makes the throughput of many small puts comparable with that of few large ones.
PUT_WEIGHT = 64 * 2**10
# A shorter measurement is noise.
SHORTEST_SECONDS = 0.05
# Minimum gain in throughput: 25 % for doubling, later 10 % for a raise by half. A third fewer may lose 5 %.
START_GROWTH, START_GAIN = 2.0, 1.25
GROWTH, GAIN, LOSS, SMOOTHING = 1.5, 1.1, 0.95, 0.3
SHORTEST_REST, LONGEST_REST = 4, 64
# Pushbacks and lost requests that a step tolerates before it lowers the limit: a percentage of its requests, and a few.
PUSHBACKS_PERCENT, FEW_PUSHBACKS = 10, 4


@dataclass(slots=True, kw_only=True)
class AdaptiveConcurrency:
    """The limit of requests in flight: raised while throughput grows, lowered when the store pushes back.

    A step takes two round trips: in the first, requests of the earlier limit end; the second is measured. The first
    steps double the limit, like TCP slow start. A raise without gain, or with pushbacks, is undone, and the next trial
    waits, twice as many steps each time. Trials alternate between a raise and a reduction; a reduction without loss
    stays. Without reductions, chance would raise the limit step by step where the client's CPU is the bottleneck,
    because its share of a busy machine varies by half between steps. Pushbacks outside of a trial halve the limit. A
    step in which puts lack work is not judged.
    """

    limit: int = FIRST_CONCURRENCY
    least: int = 1
    most: int = MOST_CONCURRENCY
    _starting: bool = True
    _raises: bool = True
    _before: int = 0
    _usual: float = 0.0
    _resting: int = 0
    _rest: int = SHORTEST_REST
    _count: int = 0
    # The limit of the previous step: as many requests were in flight when this step began.
    _earlier: int = 0
    _weight: int = 0
    _starved: int = 0
    _pushbacks: int = 0
    _began: float = 0.0

    def ended(self, size: int, *, now: float, pushbacks: int, starved: bool = False) -> int:
        """Return the new limit after a request of `size` bytes ended at `now` (seconds of any monotonic clock).

        `pushbacks` is the total of all requests so far; `starved` means that no request was queued behind this one.
        """
        self._count += 1
        measured = self._count - max(self._earlier, self.limit)
        if measured <= 0:
            self._weight, self._starved, self._pushbacks, self._began = 0, 0, pushbacks, now
            return self.limit
        self._weight += size + PUT_WEIGHT
        self._starved += starved
        pushed = (pushbacks - self._pushbacks) * 100 > PUSHBACKS_PERCENT * measured + FEW_PUSHBACKS * 100
        if not pushed and (measured < self.limit or now < self._began + SHORTEST_SECONDS):
            return self.limit
        self._count, self._earlier = 0, self.limit
        if pushed:
            self._end_trial(self._before if 0 < self._before < self.limit else self.limit // 2)
        elif 10 * self._starved <= measured:
            self._judge(self._weight / (now - self._began))
        return self.limit

    def _end_trial(self, limit: int) -> None:
        if self._before:
            self._resting, self._rest, self._raises = self._rest, min(2 * self._rest, LONGEST_REST), not self._raises
        else:
            self._resting, self._rest, self._raises = SHORTEST_REST, SHORTEST_REST, True
        self.limit, self._before, self._usual, self._starting = max(self.least, limit), 0, 0.0, False

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
        self._before, self.limit = self.limit, more if self._raises else fewer
