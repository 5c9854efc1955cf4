"""imgctl as a systemd service: it reports when it is ready, alive and stopping."""

import os
import signal
import socket
import sqlite3
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.upgrade import alone
from tests.whole.conftest import place_of
from tests.whole.deployment import FOREVER, USER, Deployment


def watch(seconds: float) -> None:
    """Return the environment that systemd sets for a service with WatchdogSec=."""
    os.environ.update(WATCHDOG_PID=str(os.getpid()), WATCHDOG_USEC=str(int(seconds * 1e6)))


@pytest.mark.parametrize(
    "arguments",
    [
        ("work",),
        ("serve", "--port", "0"),
        ("serve", "--port", "0", "--processes", "2"),
        ("watch", ".", "--user", str(USER)),
    ],
    ids=["work", "serve", "serve with processes", "watch"],
)
def test_service_notifies_that_it_is_ready_alive_and_stopping(embedded: Deployment, arguments: tuple[str, ...]) -> None:
    assert_notifies(embedded, *arguments)


def assert_notifies(deployment: Deployment, *arguments: str) -> None:
    """Run a service until it was alive twice; it has to notify systemd of each state, and to end with 0."""
    assert deployment.run("init").code == 0
    address = f"\0imgctl-{uuid4()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(FOREVER)
        service = deployment.in_environment(NOTIFY_SOCKET=address.replace("\0", "@"))
        service = service.with_settings(WORK_POLL="100ms")
        run = service.start(*arguments, before=partial(watch, 0.3))
        received: list[bytes] = []
        while received.count(b"WATCHDOG=1") < 2 or b"READY=1" not in received:
            received.append(manager.recv(100))

        os.kill(run.process.pid or 0, signal.SIGTERM)
        while b"STOPPING=1" not in received:
            received.append(manager.recv(100))
        assert run.wait().code == 0


def test_a_worker_that_is_stopped_after_a_failure_is_partly_done(
    embedded: Deployment, album: dict[Path, bytes]
) -> None:
    embedded.run("upload", next(iter(album)), "--user", str(USER))
    run = embedded.with_settings(WORK_MAX_PIXELS="1").start("work", "--json")
    while '"failed"' not in run.out.read_text():
        run.process.join(0.05)
        assert run.process.exitcode is None, run.err.read_text()

    os.kill(run.process.pid or 0, signal.SIGTERM)

    assert run.wait().code == 3


def test_socket_without_a_reader_ends_nothing(embedded: Deployment) -> None:
    assert embedded.in_environment(NOTIFY_SOCKET="/nowhere/notify").run("work", "--drain").code == 0


@pytest.mark.parametrize(
    ("command", "number", "code"),
    [
        ("work", signal.SIGTERM, 0),
        ("watch", signal.SIGTERM, 0),
        ("work", signal.SIGINT, 130),
        ("upload", signal.SIGTERM, 130),
        ("backfill", signal.SIGTERM, 130),
        ("erase", signal.SIGTERM, 130),
    ],
)
def test_a_signal_ends_the_wait_for_the_catalog(
    embedded: Deployment, album: dict[Path, bytes], command: str, number: signal.Signals, code: int
) -> None:
    place = place_of(album)
    embedded.run("upload", place, "--user", str(USER))
    embedded.run("work", "--drain")
    new = embedded.directory / "new"
    new.mkdir()
    (new / "one.jpg").write_bytes(next(iter(album.values())) + b"\0")
    arguments = {
        "work": (),
        "watch": (new, "--user", str(USER)),
        "upload": (new, "--user", str(USER)),
        "backfill": ("--force",),
        "erase": ("--user", str(USER), "--confirm-user", str(USER), "--yes", "--receipt", "receipt.jsonl"),
    }[command]
    signing = embedded.with_settings(SERVE_SECRET="s" * 32)
    impatient = replace(signing, catalog_url=f"{embedded.catalog_url}?timeout=0")
    with closing(sqlite3.connect(embedded.catalog_url.removeprefix("sqlite:///"))) as other:
        other.execute("BEGIN IMMEDIATE")
        run = impatient.start(command, *arguments)
        while "waiting for the catalog" not in run.err.read_text():
            assert run.process.is_alive(), run.err.read_text()
        os.kill(run.process.pid or 0, number)
        ended = run.wait()

    assert ended.code == code, ended.err
    assert "interrupted while waiting" in ended.err.splitlines()[-1]


def test_a_worker_that_is_stopped_in_an_outage_after_a_failure_is_partly_done(
    embedded: Deployment, album: dict[Path, bytes]
) -> None:
    embedded.run("upload", next(iter(album)), "--user", str(USER))
    impatient = replace(embedded, catalog_url=f"{embedded.catalog_url}?timeout=0")
    run = impatient.with_settings(WORK_MAX_PIXELS="1", WORK_POLL="100ms").start("work", "--json")
    while '"failed"' not in run.out.read_text():
        assert run.process.is_alive(), run.err.read_text()
    embedded.run("upload", place_of(album), "--user", str(USER))
    with closing(sqlite3.connect(embedded.catalog_url.removeprefix("sqlite:///"))) as other:
        other.execute("BEGIN IMMEDIATE")
        while "waiting for the catalog" not in run.err.read_text():
            assert run.process.is_alive(), run.err.read_text()
        os.kill(run.process.pid or 0, signal.SIGTERM)
        ended = run.wait()

    assert ended.code == 3, ended.err


@pytest.mark.parametrize(
    ("arguments", "number", "code"),
    [
        (("work",), signal.SIGTERM, 0),
        (("listen", "--store", "s3://photos", "--sqs", "http://127.0.0.1:9/1/events"), signal.SIGTERM, 0),
        (("watch", ".", "--user", str(USER)), signal.SIGTERM, 0),
        (("serve", "--port", "0"), signal.SIGTERM, 0),
        (("top", "--json"), signal.SIGTERM, 0),
        (("serve", "--port", "0"), signal.SIGINT, 130),
        (("upload", ".", "--user", str(USER)), signal.SIGTERM, 130),
    ],
    ids=lambda one: one[0] if isinstance(one, tuple) else None,
)
def test_a_signal_ends_the_wait_for_the_catalog_at_the_start(
    embedded: Deployment, arguments: tuple[str, ...], number: signal.Signals, code: int
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(FOREVER)
        url = f"postgresql+psycopg://imgctl@127.0.0.1:{silent.getsockname()[1]}/photos"
        at = replace(embedded, catalog_url=url).with_settings(STORE_REGION="us-east-1")
        keys = {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "secret"}
        run = at.in_environment(**keys).start(*arguments)
        connection, _ = silent.accept()
        os.kill(run.process.pid or 0, number)
        connection.close()
        ended = run.wait()

    assert ended.code == code, ended.err
    assert "interrupted while waiting" in ended.err.splitlines()[-1]


@pytest.mark.parametrize("arguments", [("work",), ("serve", "--port", "0")], ids=["work", "serve"])
def test_a_signal_ends_the_wait_for_an_upgrade_of_the_catalog(
    embedded: Deployment, empty_postgres_url: str, arguments: tuple[str, ...]
) -> None:
    libpq = empty_postgres_url.replace("+psycopg", "")
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    with (
        closing(open_catalog(empty_postgres_url)) as catalog,
        alone(catalog),
        psycopg.connect(libpq, autocommit=True) as monitor,
    ):
        before = monitor.execute(sessions).fetchone()
        run = replace(embedded, catalog_url=empty_postgres_url).start(*arguments)
        while monitor.execute(sessions).fetchone() == before:
            assert run.process.is_alive(), run.err.read_text()
        os.kill(run.process.pid or 0, signal.SIGTERM)
        ended = run.wait()

    assert ended.code == 0, ended.err
    assert "interrupted while waiting" in ended.err.splitlines()[-1]
