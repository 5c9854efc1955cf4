"""Finding how many requests a store takes at once: more while it pays, half when it asks for patience."""

from dataclasses import dataclass

GAIN = 1.1
GROWTH = 1.5
SMOOTHING = 0.3
SHORTEST_REST, LONGEST_REST = 4, 64


@dataclass(slots=True, kw_only=True)
class Climb:
    """A hill climber over the number of requests in flight.

    While each raise by half brings at least a tenth more throughput it raises again; where one does not, it goes back
    and rests before it looks once more, twice as long each time: chance must not carry it upwards step by step.
    """

    limit: int
    least: int = 1
    most: int = 256
    usual: float = 0.0
    before: int = 0
    resting: int = 0
    rest: int = SHORTEST_REST

    def observe(self, throughput: float, *, pushed_back: bool) -> int:
        """The limit for the next interval, after one of this throughput (any unit) at the present limit."""
        if pushed_back:
            self.limit, self.before = max(self.least, self.limit // 2), 0
            self.usual, self.resting = 0.0, 0
        elif self.before and throughput <= self.usual * GAIN:
            self.limit, self.before = self.before, 0
            self.resting, self.rest = self.rest, min(2 * self.rest, LONGEST_REST)
        elif self.resting:
            self.resting -= 1
            self.usual += SMOOTHING * (throughput - self.usual) if self.usual else throughput
        else:
            self.usual, self.before = throughput, self.limit
            self.limit = min(self.most, max(self.limit + 1, int(self.limit * GROWTH)))
        return self.limit
