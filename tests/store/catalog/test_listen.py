"""Queries leave nothing in a session, so that a pooler can use any session for them."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import pytest
from sqlalchemy import text

from imgctl.run.stop import Flag
from imgctl.store.catalog.engine import Catalog, open_catalog
from imgctl.store.catalog.listen import Listen, has_pooler
from imgctl.store.catalog.queries.claims import claim
from imgctl.store.catalog.queries.results import finish
from imgctl.store.catalog.upgrade import HEAD, found, upgrade
from tests.store.catalog.rows import finished, queued

IMAGES, WORKERS = 60, 4


@pytest.fixture
def pooled(pooled_url: str) -> Iterator[Catalog]:
    """A catalog behind a PgBouncer that shares two sessions between all clients."""
    with closing(open_catalog(pooled_url)) as catalog:
        upgrade(catalog)
        yield catalog


def work_off(url: str) -> int:
    """Claim and finish images one by one, each in a transaction, until none is left; returns their number."""
    done = 0
    with closing(open_catalog(url)) as catalog:
        while True:
            with catalog.write() as connection:
                claims = claim(connection, limit=1, lease_seconds=60, max_attempts=5)
            if not claims:
                return done
            with catalog.write() as connection:
                done += len(finish(connection, finished(claims)))


def test_repeated_queries_leave_no_prepared_statements(postgres_url: str) -> None:
    with closing(open_catalog(postgres_url, connections=1)) as catalog:
        queued(catalog, 20)
        for _ in range(20):
            with catalog.write() as connection:
                finish(connection, finished(claim(connection, limit=1, lease_seconds=60, max_attempts=5)))

        with catalog.read() as connection:
            assert connection.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar_one() == 0


def test_workers_that_share_two_sessions_finish_everything_once(pooled: Catalog, pooled_url: str) -> None:
    queued(pooled, IMAGES)

    with ThreadPoolExecutor(WORKERS) as pool:
        done = list(pool.map(work_off, [pooled_url] * WORKERS))

    assert sum(done) == IMAGES


def test_concurrent_upgrades_of_an_empty_database_all_succeed(pooled_url: str) -> None:
    def start(_number: int) -> str:
        with closing(open_catalog(pooled_url)) as catalog:
            upgrade(catalog)
            return found(catalog).revision

    with ThreadPoolExecutor(WORKERS) as pool:
        assert set(pool.map(start, range(WORKERS))) == {HEAD}


def test_a_pooler_is_distinguished_from_a_server(pooled: Catalog, postgres_url: str) -> None:
    with ExitStack() as stack:
        direct = stack.enter_context(closing(open_catalog(postgres_url)))

        assert (has_pooler(pooled), has_pooler(direct)) == (True, False)


def test_a_listener_reports_an_outage_once(caplog: pytest.LogCaptureFixture) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as held,
        closing(
            open_catalog(f"postgresql://nobody@127.0.0.1:{held.getsockname()[1]}/nothing?connect_timeout=2")
        ) as away,
        closing(Listen(away)) as wait,
    ):
        held.close()
        for _ in range(3):
            wait.wait(0, Flag())

    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "cannot listen for new work, polling"
    ]
