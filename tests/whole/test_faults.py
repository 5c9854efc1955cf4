"""Uploads with a bad network, an unreachable database, expiring credentials, and repeated signals."""

import os
import random
import signal
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from imgctl.model import Status
from tests.parts.proxy import Fault, fault_proxy
from tests.whole.conftest import photo, place_of
from tests.whole.deployment import USER, Deployment, Run, assert_whole

FAULTS = (Fault.SERVICE_UNAVAILABLE, Fault.RESET, Fault.STALL, Fault.LOST_RESPONSE)
UPLOAD = ("upload", "--user", str(USER))


@pytest.fixture
def large_album(tmp_path: Path) -> dict[Path, bytes]:
    """A hundred photos."""
    files = {tmp_path / "many" / "photos" / f"{number}.jpg": photo(number) for number in range(100)}
    for path, data in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return files


def test_every_file_survives_a_network_that_fails_one_request_in_five(
    servers: Deployment, large_album: dict[Path, bytes]
) -> None:
    rng = random.Random(20)

    def policy(_method: str, _path: str, _number: int) -> Fault | None:
        return rng.choice(FAULTS) if rng.random() < 0.2 else None

    with fault_proxy(servers.store.endpoint_url, policy=policy) as proxy:
        far = servers.through(proxy.url).with_settings(STORE_TIMEOUT="2s")
        result = far.run(*UPLOAD, place_of(large_album))

    assert result.code == 0, result.err
    assert proxy.faults.total() >= 10
    assert_whole(servers, large_album.values(), status=Status.PROCESSING)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_database_that_drops_its_connections_is_waited_for(
    servers: Deployment, large_album: dict[Path, bytes], processes: int
) -> None:
    servers = servers.with_processes(processes)
    engine = create_engine(servers.catalog_url, isolation_level="AUTOCOMMIT")

    def drop_connections(_method: str, _path: str, number: int) -> Fault | None:
        if number in (5, 30, 70):
            with engine.connect() as connection:
                connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE application_name = 'imgctl' AND datname = current_database()"
                    )
                )
        return None

    with fault_proxy(servers.store.endpoint_url, policy=drop_connections) as proxy:
        result = servers.through(proxy.url).run(*UPLOAD, place_of(large_album))
    engine.dispose()

    assert result.code == 0, result.err
    assert_whole(servers, large_album.values(), status=Status.PROCESSING)


def test_credentials_that_expire_stop_the_run_and_the_next_finishes(
    servers: Deployment, large_album: dict[Path, bytes]
) -> None:
    def policy(_method: str, _path: str, number: int) -> Fault | None:
        return Fault.EXPIRED if number > 20 else None

    with fault_proxy(servers.store.endpoint_url, policy=policy) as proxy:
        stopped = servers.through(proxy.url).run(*UPLOAD, place_of(large_album))
        asked = proxy.requests.total()
    again = servers.run(*UPLOAD, place_of(large_album))

    assert stopped.code == 1
    assert "ExpiredToken" in stopped.err.strip().splitlines()[-1]
    assert asked < 100
    assert again.code == 0, again.err
    assert_whole(servers, large_album.values(), status=Status.PROCESSING)


# Two simultaneous signals arrive in any order; the second one ends the run.
@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(
    ("signals", "codes"),
    [
        ((signal.SIGINT,), {130}),
        ((signal.SIGHUP, signal.SIGHUP), {130}),
        ((signal.SIGINT, signal.SIGTERM), {-signal.SIGINT, -signal.SIGTERM}),
    ],
)
def test_one_signal_finishes_what_is_in_flight_and_two_end_at_once(
    servers: Deployment,
    large_album: dict[Path, bytes],
    signals: tuple[signal.Signals, ...],
    codes: set[int],
    processes: int,
) -> None:
    servers = servers.with_processes(processes)
    running: list[Run] = []

    def policy(_method: str, _path: str, number: int) -> Fault | None:
        for one in signals if number == 10 else ():
            os.kill(running[0].process.pid or 0, one)
        return None

    with fault_proxy(servers.store.endpoint_url, policy=policy, delay_seconds=0.05) as proxy:
        far = servers.through(proxy.url).with_settings(UPLOAD_CONCURRENCY="4")
        running.append(far.start(*UPLOAD, place_of(large_album)))
        result = running[0].wait()
    confirmed = {image.original_key for image in servers.images() if image.status is Status.PROCESSING}
    promised = {image.original_key for image in servers.images()}
    blobs = {blob.key for blob in servers.open_store().scan()}
    again = servers.run(*UPLOAD, place_of(large_album))

    assert result.code in codes, result.err
    assert confirmed <= blobs <= promised
    assert len(signals) == 2 or confirmed == blobs, "what flew when the signal came was put, but not confirmed"
    assert again.code == 0, again.err
    assert_whole(servers, large_album.values(), status=Status.PROCESSING)


def test_a_killed_process_of_the_catalog_is_replaced(servers: Deployment, large_album: dict[Path, bytes]) -> None:
    running: list[Run] = []
    killed: list[int] = []

    def policy(_method: str, _path: str, number: int) -> Fault | None:
        if number == 10:
            parent = running[0].process.pid
            killed.extend(map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split()))
            for child in killed:
                os.kill(child, signal.SIGKILL)
        return None

    with fault_proxy(servers.store.endpoint_url, policy=policy) as proxy:
        running.append(servers.with_processes(2).through(proxy.url).start(*UPLOAD, place_of(large_album)))
        result = running[0].wait()

    assert result.code == 0, result.err
    assert len(killed) == 1
    assert "waiting for the catalog: the catalog's process killed by signal 9" in result.err
    assert_whole(servers, large_album.values(), status=Status.PROCESSING)
