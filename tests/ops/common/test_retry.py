"""A run waits while the database is unreachable, and its log says so once."""

import logging
from collections.abc import Sequence
from threading import Barrier, Event, Thread

import pytest
from sqlalchemy import Connection

from imgctl.errors import CatalogUnavailable
from imgctl.ops.common import retry as module
from imgctl.ops.common.retry import LOG_SECONDS, OutageLog, retry, write_parts
from imgctl.store.catalog.engine import Catalog

THREADS = 16
DOWN = CatalogUnavailable("catalog at db: connection refused", hint="run the same command later")


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outages(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> OutageLog:
    """The log of a process that has seen no outage."""
    outages = OutageLog("catalog", now=clock)
    monkeypatch.setattr(module, "CATALOG_OUTAGES", outages)
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.0)
    return outages


@pytest.mark.usefixtures("outages")
def test_an_outage_that_many_threads_meet_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    barrier, stop = Barrier(THREADS), Event()

    def run() -> None:
        failures = iter([DOWN] * 5)

        def attempt() -> None:
            if error := next(failures, None):
                raise error
            # Ends the outage only after every thread has met it.
            barrier.wait()

        retry(attempt, stop=stop)

    threads = [Thread(target=run) for _ in range(THREADS)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    assert messages(caplog) == [f"waiting for the catalog: {DOWN}", "the catalog responds again after 0 s"]


def test_a_long_outage_is_logged_each_minute_and_at_its_end(
    outages: OutageLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(int(2.5 * LOG_SECONDS)):
        outages.failed(DOWN)
        clock.now += 1
    outages.succeeded()

    waiting = f"waiting for the catalog: {DOWN}"
    assert messages(caplog) == [waiting] * 3 + ["the catalog responds again after 150 s"]


def test_sessions_that_end_again_and_again_are_logged_each_minute(
    outages: OutageLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(int(2 * LOG_SECONDS)):
        outages.failed(DOWN)
        outages.succeeded()
        clock.now += 1

    assert len(messages(caplog)) == 4


def test_an_outage_that_nobody_saw_end_does_not_lengthen_the_next(
    outages: OutageLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    outages.failed(DOWN)
    clock.now += 3600
    outages.failed(DOWN)
    clock.now += 2
    outages.succeeded()

    assert messages(caplog)[-1] == "the catalog responds again after 2 s"


@pytest.mark.usefixtures("outages")
@pytest.mark.parametrize("most", [1, 3, 100])
def test_parts_hold_every_item_once_and_in_order(catalog: Catalog, most: int) -> None:
    tried: list[int] = []

    def statements(_connection: Connection, some: Sequence[int]) -> list[int]:
        tried.append(len(some))
        if len(some) > most:
            raise DOWN
        return list(some)

    done = list(write_parts(catalog, range(10), statements, stop=Event()))

    assert [item for part in done for item in part] == list(range(10))
    assert tried[0] == 10
    assert max(map(len, done)) <= most


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
