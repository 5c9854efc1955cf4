"""`imgctl serve` as a process: many clients over a bad network, kills, and shutdown."""

import os
import random
import resource
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from sqlalchemy import create_engine, make_url

from imgctl.model import Status
from imgctl.web.auth import Scope
from tests.parts.ports import free_port
from tests.parts.proxy import Fault, fault_proxy, is_image_put
from tests.web.server import token
from tests.whole.conftest import photo
from tests.whole.deployment import FOREVER, USER, Deployment, Run, assert_whole
from tests.whole.test_records import faults_of

FAULTS = (Fault.SERVICE_UNAVAILABLE, Fault.RESET, Fault.STALL, Fault.LOST_RESPONSE)
UPLOADS, DISTINCT = 200, 120
TRIED_AGAIN = "is tried again every second"
SERVE = ("serve", "--port", "0", "--json")


def address(run: Run) -> str:
    """Return the address of a server that was just started."""
    deadline = time.monotonic() + FOREVER
    while not (text := run.out.read_text()).endswith("\n"):
        assert run.process.exitcode is None, run.err.read_text()
        assert time.monotonic() < deadline
        run.process.join(0.02)
    return str(httpx.Response(200, text=text.splitlines()[0]).json()["url"])


def ended(run: Run, number: int = signal.SIGTERM) -> int:
    """Send a signal; return the exit code."""
    os.kill(run.process.pid or 0, number)
    return run.wait().code


def send(url: str, data: bytes, *, client: httpx.Client | None = None) -> httpx.Response:
    """Send a picture repeatedly until it is accepted."""
    pause, deadline = threading.Event(), time.monotonic() + FOREVER
    post = client.post if client else httpx.post
    while True:
        try:
            answer = post(f"{url}/images", params={"user_id": str(USER)}, content=data, timeout=60)
            if answer.status_code < 500:
                return answer
            why = answer.text
        except httpx.TransportError as error:
            why = repr(error)
        assert time.monotonic() < deadline, why
        pause.wait(0.2)


def test_the_metrics_port_has_the_backlog(embedded: Deployment) -> None:
    port = free_port()
    run = embedded.start(*SERVE, "--metrics-port", str(port))
    send(address(run), photo(1))
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text

    assert ended(run) == 0
    assert "imgctl_catalog_up 1.0" in text
    assert "imgctl_backlog_images 1.0" in text


def test_two_hundred_uploads_at_once_over_a_bad_network_are_each_there_once(servers: Deployment) -> None:
    rng = random.Random(8)

    def policy(_method: str, _path: str, _number: int) -> Fault | None:
        return rng.choice(FAULTS) if rng.random() < 0.2 else None

    contents = [photo(number % DISTINCT) for number in range(UPLOADS)]
    with fault_proxy(servers.store.endpoint_url, policy=policy) as proxy:
        run = servers.through(proxy.url).with_settings(STORE_TIMEOUT="2s").start(*SERVE)
        url = address(run)
        limits = httpx.Limits(max_connections=UPLOADS)
        with ThreadPoolExecutor(UPLOADS) as clients, httpx.Client(limits=limits) as client:
            answers = list(clients.map(lambda data: send(url, data, client=client), contents))
        code = ended(run)

    assert code == 0, run.err.read_text()
    assert proxy.faults.total() >= 20
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert len({answer.json()["id"] for answer in answers}) == DISTINCT
    assert_whole(servers, contents, status=Status.PROCESSING)


def test_a_server_killed_at_any_request_to_its_store_leaves_nothing_that_a_retry_does_not_mend(
    servers: Deployment,
) -> None:
    contents = [photo(number) for number in range(4)]
    for number, data in enumerate(contents):
        _killed_at_a_put(servers, data, (Fault.RESET, Fault.LOST_RESPONSE)[number % 2])
    again = servers.start(*SERVE)
    url = address(again)
    answers = [send(url, data) for data in contents]

    assert ended(again) == 0
    assert {answer.status_code for answer in answers} == {201}
    assert_whole(servers, contents, status=Status.PROCESSING)


def _killed_at_a_put(servers: Deployment, data: bytes, fault: Fault) -> None:
    """Kill a server at its put to the store: before it is executed, or after it and before the response."""
    running: list[Run] = []

    def policy(method: str, path: str, _number: int) -> Fault | None:
        if not running or not is_image_put(method, path):
            return None
        if fault is Fault.RESET:
            running[0].kill()
        return fault

    with fault_proxy(servers.store.endpoint_url, policy=policy) as proxy:
        run = servers.through(proxy.url).start(*SERVE)
        url = address(run)
        running.append(run)
        with ThreadPoolExecutor(1) as threads:
            upload = threads.submit(httpx.post, f"{url}/images?user_id={USER}", content=data, timeout=60)
            while not proxy.faults.total():
                run.process.join(0.001)
            run.kill()
            assert upload.exception() is not None
        run.process.join()


def test_a_server_killed_in_the_midst_of_a_body_leaves_neither_row_nor_blob_nor_spool(embedded: Deployment) -> None:
    spool = embedded.directory / "spool"
    there = embedded.with_settings(SERVE_SPOOL=str(spool))
    run = there.start(*SERVE)
    place = urlsplit(address(run))
    data = photo(1) + bytes(2**24)
    with socket.create_connection((place.hostname or "", place.port or 0)) as client:
        head = f"POST /images?user_id={USER} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
        client.sendall(head.encode() + data[:-1])
        while not [path for path in spool.rglob("*") if path.is_file()]:
            run.process.join(0.005)
        run.kill()
        run.process.join()
    left = embedded.images(), list(embedded.open_store().scan())
    again = there.start(*SERVE)
    answer = send(address(again), data)

    assert left == ([], [])
    assert answer.status_code == 201
    assert ended(again) == 0
    assert not list(spool.iterdir())
    assert_whole(embedded, [data], status=Status.PROCESSING)


def test_a_server_asked_to_stop_finishes_what_is_under_way(embedded: Deployment) -> None:
    run = embedded.start(*SERVE)
    place = urlsplit(address(run))
    data = photo(1) + bytes(2**20)
    with socket.create_connection((place.hostname or "", place.port or 0)) as client:
        head = f"POST /images?user_id={USER} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
        client.sendall(head.encode() + data[: 2**20])
        seen = httpx.get(f"{place.geturl()}/metrics").text
        os.kill(run.process.pid or 0, signal.SIGTERM)
        client.sendall(data[2**20 :])
        answer = client.recv(2**16)
    result = run.wait()

    assert "imgctl_http_requests_under_way 2.0" in seen
    assert answer.startswith(b"HTTP/1.1 201 ")
    assert result.code == 0, result.err
    assert_whole(embedded, [data], status=Status.PROCESSING)


def test_listeners_do_not_hold_up_the_end(embedded: Deployment) -> None:
    run = embedded.start(*SERVE)
    url = address(run)
    image = send(url, photo(1)).json()["id"]
    with httpx.stream("GET", f"{url}/images/{image}/events", timeout=60) as events:
        lines = events.iter_lines()
        while "processing" not in next(lines):
            pass
        code = ended(run, signal.SIGINT)

    assert code == 130


def test_processes_without_a_secret_erase_nothing_and_make_no_lasting_link(embedded: Deployment) -> None:
    headers, line = token(Scope.READ, Scope.WRITE, Scope.ERASE)
    run = embedded.with_settings(SERVE_TOKENS=line).start(*SERVE, "--processes", "2")
    with httpx.Client(base_url=address(run), headers=headers) as client:
        image = send(str(client.base_url).rstrip("/"), photo(1), client=client).json()["id"]
        erased, link = client.delete(f"/images/{image}"), client.post(f"/users/{USER}/export")
        left = client.get(f"/images/{image}")

    assert ended(run) == 0
    assert (erased.status_code, link.status_code, left.status_code) == (501, 501, 200)


def test_records_of_a_server_match_the_schema(embedded: Deployment) -> None:
    run = embedded.start(*SERVE)
    address(run)
    os.kill(run.process.pid or 0, signal.SIGTERM)

    result = run.wait()

    assert [one["type"] for one in result.records] == ["listening", "summary"]
    assert not faults_of("serve", result.records)


def test_a_token_made_is_a_token_that_opens(embedded: Deployment) -> None:
    made = embedded.run("serve", "--make-token", "phone", "--scope", "read", "--user", str(USER), "--json").of("token")[
        0
    ]
    run = embedded.with_settings(SERVE_TOKENS=str(made["setting"])).start(*SERVE)
    url = address(run)
    without, shown = (
        httpx.get(f"{url}/users/{USER}/images", headers=headers)
        for headers in ({}, {"Authorization": f"Bearer {made['token']}"})
    )

    assert (without.status_code, shown.status_code) == (401, 200)
    assert ended(run) == 0


def test_strangers_are_not_served_without_tokens(embedded: Deployment) -> None:
    result = embedded.run("serve", "--host", "0.0.0.0", "--port", "0")

    assert result.code == 2
    assert "--make-token" in result.err


def test_a_worker_shows_its_numbers(embedded: Deployment) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = embedded.run("work", "--drain", "--metrics-port", str(port))
    run = embedded.start("work", "--metrics-port", str(port))
    found = ""
    while "imgctl_catalog_up 1.0" not in found:
        assert run.process.exitcode is None, run.err.read_text()
        run.process.join(0.05)
        try:
            found = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
        except OSError:
            continue

    assert refused.code == 2
    assert "imgctl_backlog_images 0.0" in found
    assert ended(run) == 0


def test_several_processes_serve_one_port_and_one_that_dies_is_replaced(embedded: Deployment) -> None:
    run = embedded.with_settings(SERVE_PROCESSES="2").start(*SERVE)
    url = address(run)
    contents = [photo(number) for number in range(6)]
    first = _children(run)
    for data in contents[:3]:
        assert send(url, data).status_code == 201
    _see_counted(url, 3)
    os.kill(first[0], signal.SIGKILL)
    for data in contents[3:]:
        assert send(url, data).status_code == 201
    deadline = time.monotonic() + FOREVER
    while len(_children(run)) < 2:
        assert time.monotonic() < deadline
        run.process.join(0.02)
    second = _children(run)
    _see_counted(url, 6)
    code = ended(run)

    assert first[0] not in second
    assert "killed by signal 9" in run.err.read_text()
    assert code == 0
    assert not [pid for pid in second if Path(f"/proc/{pid}").exists()]
    assert_whole(embedded, contents, status=Status.PROCESSING)


def test_a_process_that_dies_while_the_catalog_is_unreachable_is_replaced_later(
    servers: Deployment, tmp_path: Path
) -> None:
    log = tmp_path / "serve.log"
    run = servers.with_settings(SERVE_PROCESSES="2", LOG_FILE=str(log)).start(*SERVE)
    url = address(run)
    with _catalog_away(servers.catalog_url):
        os.kill(_children(run)[0], signal.SIGKILL)
        deadline = time.monotonic() + FOREVER
        while "waiting for the catalog" not in log.read_text():
            assert run.process.exitcode is None, run.err.read_text()
            assert time.monotonic() < deadline
            run.process.join(0.02)
        answer = httpx.get(f"{url}/readyz", timeout=60)
    taken = send(url, photo(1))

    assert (answer.status_code, taken.status_code) == (503, 201)
    assert ended(run) == 0
    assert "Traceback" not in run.err.read_text()


def test_a_replacement_killed_before_it_listens_is_replaced_while_another_process_serves(
    servers: Deployment, tmp_path: Path
) -> None:
    log = tmp_path / "serve.log"
    run = servers.with_settings(SERVE_PROCESSES="2", LOG_FILE=str(log)).start(*SERVE)
    url = address(run)
    with _catalog_away(servers.catalog_url):
        killed, serving = _children(run)
        for _ in range(3):
            os.kill(killed, signal.SIGKILL)
            killed = _successor(run, {killed, serving})
        answer = httpx.get(f"{url}/readyz", timeout=60)
    taken = send(url, photo(1))

    assert (answer.status_code, taken.status_code) == (503, 201)
    assert ended(run) == 0
    assert log.read_text().count(TRIED_AGAIN) == 1


def test_a_replacement_that_finds_a_fault_is_tried_again_until_the_fault_is_mended(embedded: Deployment) -> None:
    run = embedded.with_settings(SERVE_PROCESSES="2").start(*SERVE)
    url = address(run)
    killed, serving = _children(run)
    engine = create_engine(embedded.catalog_url)
    with engine.begin() as connection:
        version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    os.kill(killed, signal.SIGKILL)
    _until(run, lambda: TRIED_AGAIN in run.err.read_text())
    # Another attempt, after the first one was logged.
    tried = _successor(run, {serving, *_children(run)})
    taken = send(url, photo(1))
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{version}'")
    engine.dispose()
    # The one that was tried may have found the version of before.
    _until(run, lambda: len(_children(run)) == 2)
    os.kill(serving, signal.SIGKILL)

    assert send(url, photo(2)).status_code == 201
    assert (taken.status_code, tried in {killed, serving}) == (201, False)
    assert ended(run) == 0
    assert run.err.read_text().count(TRIED_AGAIN) == 1


def test_a_process_that_cannot_be_started_is_started_later(embedded: Deployment) -> None:
    run = embedded.with_settings(SERVE_PROCESSES="2").start(*SERVE)
    url = address(run)
    pid = run.process.pid or 0
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    os.kill(_children(run)[0], signal.SIGKILL)
    _until(run, lambda: "Too many open files" in run.err.read_text())
    taken = send(url, photo(1))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    _until(run, lambda: len(_children(run)) == 2)

    assert taken.status_code == 201
    assert ended(run) == 0


def test_the_last_process_that_cannot_start_ends_the_server_with_its_error(embedded: Deployment) -> None:
    run = embedded.with_settings(SERVE_PROCESSES="2").start(*SERVE)
    address(run)
    engine = create_engine(embedded.catalog_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    engine.dispose()
    for pid in _children(run):
        os.kill(pid, signal.SIGKILL)

    assert run.wait().code == 5
    assert "Traceback" not in run.err.read_text()


def test_links_of_one_process_are_good_at_another(embedded: Deployment) -> None:
    run = embedded.with_settings(SERVE_PROCESSES="2").start(*SERVE)
    url = address(run)
    image = send(url, photo(1)).json()["id"]
    assert embedded.run("work", "--drain").code == 0
    links = {httpx.get(f"{url}/images/{image}").json()["variants"]["thumb"]["url"] for _ in range(8)}
    seen = {httpx.get(f"{url}{link}").status_code for link in links for _ in range(8)}

    assert seen == {200}
    assert ended(run, signal.SIGINT) == 130


def test_a_closing_terminal_ends_every_process_of_the_server_gracefully(embedded: Deployment) -> None:
    run = embedded.with_settings(SERVE_PROCESSES="2").start(*SERVE, before=os.setsid)
    address(run)
    os.killpg(run.process.pid or 0, signal.SIGHUP)

    assert run.wait().code == 0
    assert "killed by" not in run.err.read_text()


def test_a_process_whose_server_is_killed_ends_with_it(embedded: Deployment) -> None:
    run = embedded.with_settings(SERVE_PROCESSES="2").start(*SERVE)
    url = address(run)
    serving = _children(run)
    run.kill()
    run.process.join()
    pause, deadline = threading.Event(), time.monotonic() + FOREVER
    while any(Path(f"/proc/{pid}").exists() for pid in serving):
        assert time.monotonic() < deadline
        pause.wait(0.02)
    again = embedded.with_settings(SERVE_PROCESSES="2").start(*SERVE)

    assert send(address(again), photo(1)).status_code == 201
    assert url
    assert ended(again) == 0


@contextmanager
def _catalog_away(url: str) -> Iterator[None]:
    """Make Postgres refuse every connection to this database."""
    name = make_url(url).database
    engine = create_engine(make_url(url).set(database="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        try:
            connection.exec_driver_sql(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
            )
            yield
        finally:
            connection.exec_driver_sql(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    engine.dispose()


def _until(run: Run, holds: Callable[[], bool]) -> None:
    """Wait until a condition holds, while the server runs."""
    deadline = time.monotonic() + FOREVER
    while not holds():
        assert run.process.exitcode is None, run.err.read_text()
        assert time.monotonic() < deadline, run.err.read_text()
        run.process.join(0.02)


def _successor(run: Run, known: set[int]) -> int:
    """Wait for a process of the server that is none of these; return its id."""
    found: list[int] = []

    def is_there() -> bool:
        found.extend(set(_children(run)) - known)
        return bool(found)

    _until(run, is_there)
    return found[0]


def _see_counted(url: str, uploads: int) -> None:
    """Wait until this many uploads are counted: any process reports all of them, each counted after its response."""
    line = f'imgctl_http_requests_total{{method="POST",route="/images",status="201"}} {uploads}.0\n'
    pause, deadline = threading.Event(), time.monotonic() + FOREVER
    while line not in (text := httpx.get(f"{url}/metrics", timeout=60).text):
        assert time.monotonic() < deadline, text
        pause.wait(0.02)


def _children(run: Run) -> list[int]:
    """Return the serving processes, without multiprocessing's resource tracker."""
    pid = run.process.pid
    found = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    serving = []
    for pid in found:
        # One that has just ended is no longer there.
        with suppress(FileNotFoundError, ProcessLookupError):
            serving += [pid] * (b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes())
    return serving
