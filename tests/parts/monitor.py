"""A monitor as healthchecks.io is: it remembers what it was told."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from tests.parts.loopback import Handler, serving

FOREVER = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One request: its path, the run it is of, its body, who it says it comes from."""

    path: str
    run: str
    body: str
    authorization: str | None


@dataclass(slots=True)
class Monitor:
    """What came, and where the monitor listens."""

    url: str = ""
    told: list[Told] = field(default_factory=list)
    came: threading.Condition = field(default_factory=threading.Condition)

    @property
    def paths(self) -> list[str]:
        """The path of each request, in the order they came."""
        return [one.path for one in self.told]

    def wait_for(self, number: int) -> None:
        """Wait until that many requests have come."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.told) >= number, FOREVER)


@contextmanager
def monitoring(answer: Callable[[int], int] = lambda _number: 200) -> Iterator[Monitor]:
    """A monitor that answers its n-th request (from 0) with the status that `answer` says."""
    monitor = Monitor()

    class Receiver(Handler):
        def do_POST(self) -> None:
            body = self.body().decode()
            url = urlsplit(self.path)
            run = parse_qs(url.query)["rid"][0]
            with monitor.came:
                number = len(monitor.told)
                monitor.told.append(
                    Told(path=url.path, run=run, body=body, authorization=self.headers["Authorization"])
                )
                monitor.came.notify_all()
            self.answer(answer(number))

    with serving(Receiver) as monitor.url:
        yield monitor
