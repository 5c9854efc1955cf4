"""Finding how many requests a store takes at once: more while it pays, half when it asks for patience."""

from dataclasses import dataclass

GAIN = 1.05
GROWTH = 1.5
FORGET = 0.97


@dataclass(slots=True, kw_only=True)
class Climb:
    """A hill climber over the number of requests in flight.

    While each raise brings at least 5% more throughput it raises by half; where one does not, it goes back and stays
    until the store gets slower or faster. What was best is slowly forgotten, so that it looks again now and then.
    """

    limit: int
    least: int = 1
    most: int = 256
    best: float = 0.0
    before: int = 0

    def observe(self, throughput: float, *, pushed_back: bool) -> int:
        """The limit for the next interval, after one of this throughput (any unit) at the present limit."""
        if pushed_back:
            self.limit, self.best, self.before = max(self.least, self.limit // 2), 0.0, 0
        elif throughput > self.best * GAIN:
            self.best, self.before = throughput, self.limit
            self.limit = min(self.most, max(self.limit + 1, int(self.limit * GROWTH)))
        else:
            if self.before:
                self.limit, self.before = self.before, 0
            self.best *= FORGET
        return self.limit
