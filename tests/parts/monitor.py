"""A monitor like healthchecks.io, which records its pings."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from tests.parts.loopback import Handler, serving

FOREVER = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """One request: its path, the id of its run, its body, its Authorization header."""

    path: str
    run: str
    body: str
    authorization: str | None


@dataclass(slots=True)
class Monitor:
    """The recorded pings, and the monitor's URL."""

    url: str = ""
    pings: list[Ping] = field(default_factory=list)
    came: threading.Condition = field(default_factory=threading.Condition)

    @property
    def paths(self) -> list[str]:
        """The path of each request, in order of arrival."""
        return [one.path for one in self.pings]

    def wait_for(self, number: int) -> None:
        """Wait until `number` requests have arrived."""
        with self.came:
            assert self.came.wait_for(lambda: len(self.pings) >= number, FOREVER)


@contextmanager
def monitoring(status: Callable[[int], int] = lambda _number: 200) -> Iterator[Monitor]:
    """A monitor that responds to its n-th request (from 0) with `status(n)`."""
    monitor = Monitor()

    class Receiver(Handler):
        def do_POST(self) -> None:
            body = self.body().decode()
            url = urlsplit(self.path)
            run = parse_qs(url.query)["rid"][0]
            with monitor.came:
                number = len(monitor.pings)
                monitor.pings.append(
                    Ping(path=url.path, run=run, body=body, authorization=self.headers["Authorization"])
                )
                monitor.came.notify_all()
            self.respond(status(number))

    with serving(Receiver) as monitor.url:
        yield monitor
