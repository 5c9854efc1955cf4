"""Many workers, some stopped or frozen: each image is built once, no lease is left, no late result counts."""

import os
import signal
from collections import Counter
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import create_engine, text

from imgctl.errors import CatalogUnavailable
from imgctl.model import Status
from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.lease import end_if_frozen
from imgctl.store.catalog.queries.claims import claim
from tests.parts.proxy import Fault, Policy, fault_proxy, is_image_put
from tests.whole.conftest import photo, place_of
from tests.whole.deployment import FOREVER, USER, Deployment, Run, assert_whole

UPLOAD = ("upload", "--user", str(USER))
IMGCTL = "application_name = 'imgctl' AND datname = current_database()"
LISTENING = f"SELECT pid FROM pg_stat_activity WHERE {IMGCTL} AND query LIKE 'LISTEN %'"


@pytest.fixture
def large_album(tmp_path: Path) -> dict[Path, bytes]:
    """Two hundred photos."""
    files = {tmp_path / "many" / "photos" / f"{number}.jpg": photo(number) for number in range(200)}
    for path, data in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return files


def test_four_workers_put_each_variant_exactly_once(servers: Deployment, large_album: dict[Path, bytes]) -> None:
    servers.run(*UPLOAD, place_of(large_album))
    puts: Counter[str] = Counter()

    def count(method: str, path: str, _number: int) -> Fault | None:
        puts[path] += is_image_put(method, path)
        return None

    with fault_proxy(servers.store.endpoint_url, policy=count) as proxy:
        # Long leases, so that no worker loses one on a busy machine.
        near = servers.with_pool().through(proxy.url).with_settings(WORK_LEASE="60s")
        results = [run.wait() for run in [near.start("work", "--drain", "--json") for _ in range(4)]]

    assert [result.code for result in results] == [0, 0, 0, 0], [result.err for result in results]
    assert_whole(servers, large_album.values(), status=Status.READY)
    # Adding an empty counter removes images that were only read.
    assert sorted((+puts).values()) == [1] * (3 * 200)
    assert {image.attempts for image in servers.images()} == {1}
    assert sum(len(result.of("image")) for result in results) == 200


def test_a_worker_that_was_frozen_past_its_leases_changes_nothing(
    servers: Deployment, album: dict[Path, bytes]
) -> None:
    servers.run(*UPLOAD, place_of(album))
    running: list[Run] = []
    sent = Event()

    with fault_proxy(servers.store.endpoint_url, policy=_signal_at_a_put(running, signal.SIGSTOP, sent)) as proxy:
        running.append(servers.with_pool().through(proxy.url).start("work", "--drain", "--json"))
        assert sent.wait(FOREVER)
        other = servers.run("work", "--drain")
        before = servers.images()
        os.kill(running[0].process.pid or 0, signal.SIGCONT)
        late = running[0].wait()

    assert (other.code, late.code) == (0, 0), other.err + late.err
    assert int(str(late.summary["lost"])) >= 1
    assert servers.images() == before
    assert {image.attempts for image in before} <= {1, 2}
    assert_whole(servers, album.values(), status=Status.READY)


def test_a_worker_frozen_in_a_transaction_gives_its_rows_free(servers: Deployment, album: dict[Path, bytes]) -> None:
    servers.run(*UPLOAD, place_of(album))
    catalog = open_catalog(servers.catalog_url)

    with pytest.raises(CatalogUnavailable), catalog.write() as frozen:
        end_if_frozen(frozen, seconds=0.2)
        held = claim(frozen, limit=20, lease_seconds=60, max_attempts=5)
        other = servers.run("work", "--drain", "--json")
        claim(frozen, limit=1, lease_seconds=60, max_attempts=5)
    catalog.close()

    assert len(held) == 20
    assert other.code == 0, other.err
    assert other.summary["ready"] == 20


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_finishes_what_is_in_flight_and_leaves_no_lease(
    servers: Deployment, large_album: dict[Path, bytes], number: signal.Signals
) -> None:
    servers.run(*UPLOAD, place_of(large_album))
    running: list[Run] = []

    with fault_proxy(servers.store.endpoint_url, policy=_signal_at_a_put(running, number, Event())) as proxy:
        running.append(servers.with_pool().through(proxy.url).start("work", "--json"))
        stopped = running[0].wait()
    left = servers.images()
    again = servers.run("work", "--drain")

    assert stopped.code == 0, stopped.err
    assert int(str(stopped.summary["returned"])) >= 1
    assert {image.leased_until for image in left} == {None}
    # Returned images do not lose an attempt.
    assert {image.attempts - image.forgiven for image in left if image.status is Status.PROCESSING} == {0}
    assert again.code == 0, again.err
    assert_whole(servers, large_album.values(), status=Status.READY)


def test_an_idle_worker_is_woken_by_an_upload(servers: Deployment, album: dict[Path, bytes]) -> None:
    servers.run("init")
    worker = servers.with_settings(WORK_POLL="1h").start("work", "--limit", "20", "--json")
    _until_one_listens(servers, worker)

    servers.run(*UPLOAD, place_of(album))
    result = worker.wait()

    assert result.code == 0, result.err
    assert result.summary["ready"] == 20


def test_an_idle_worker_outlives_the_loss_of_its_connections(servers: Deployment, album: dict[Path, bytes]) -> None:
    servers.run("init")
    worker = servers.with_settings(WORK_POLL="1h").start("work", "--limit", "20", "--json")
    first = _until_one_listens(servers, worker)
    _numbers(servers, f"SELECT pg_terminate_backend(pid)::int FROM pg_stat_activity WHERE {IMGCTL}")
    _until_one_listens(servers, worker, but=first)

    servers.run(*UPLOAD, place_of(album))
    result = worker.wait()

    assert result.code == 0, result.err
    assert result.summary["ready"] == 20


def test_an_idle_worker_on_sqlite_finds_an_upload(embedded: Deployment, album: dict[Path, bytes]) -> None:
    worker = embedded.start("work", "--limit", "20", "--json")
    embedded.run(*UPLOAD, place_of(album))

    result = worker.wait()

    assert result.code == 0, result.err
    assert result.summary["ready"] == 20


@pytest.mark.parametrize(("arguments", "code"), [((), 0), (("--drain",), 3)])
def test_a_worker_whose_time_is_up_ends_clean(
    servers: Deployment, album: dict[Path, bytes], arguments: tuple[str, ...], code: int
) -> None:
    servers.run(*UPLOAD, place_of(album))

    # The store returns only 503: only --max-duration can end the run.
    def stall(_method: str, _path: str, _number: int) -> Fault | None:
        return Fault.SERVICE_UNAVAILABLE

    with fault_proxy(servers.store.endpoint_url, policy=stall) as proxy:
        far = servers.through(proxy.url).with_settings(STORE_RETRIES="0")
        result = far.run("work", "--max-duration", "1s", *arguments)

    assert result.code == code, result.err
    assert {(image.status, image.leased_until) for image in servers.images()} == {(Status.PROCESSING, None)}


def _signal_at_a_put(running: list[Run], number: int, sent: Event) -> Policy:
    """Send a worker a signal at its first put of a variant."""

    def policy(method: str, path: str, _number: int) -> Fault | None:
        if is_image_put(method, path) and not sent.is_set():
            os.kill(running[0].process.pid or 0, number)
            sent.set()
        return None

    return policy


def _until_one_listens(deployment: Deployment, worker: Run, *, but: int = 0) -> int:
    """Wait for the Postgres backend of a worker's LISTEN and return it."""
    while worker.process.exitcode is None:
        found = [pid for pid in _numbers(deployment, LISTENING) if pid != but]
        if found:
            return found[0]
        worker.process.join(0.02)
    raise AssertionError(worker.wait().err)


def _numbers(deployment: Deployment, query: str) -> list[int]:
    engine = create_engine(deployment.catalog_url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            return [int(one) for one in connection.execute(text(query)).scalars()]
    finally:
        engine.dispose()
