"""A real PgBouncer in transaction mode before the tests' Postgres, if one is installed."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import URL, make_url

from tests.parts.ports import free_port

_CONFIG = """
[databases]
* = host={host} port={database_port} user=postgres

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
"""
PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
SECONDS = 60.0


@pytest.fixture
def pooled_url(empty_postgres_url: str) -> Iterator[str]:
    """The URL of a test's own empty database, reached through a PgBouncer that shares two sessions between all clients."""
    if PROGRAM is None:
        pytest.skip("no pgbouncer is installed")
    url = make_url(empty_postgres_url)
    with TemporaryDirectory(prefix="imgctl-pgbouncer-") as directory:
        port = free_port()
        config = Path(directory) / "pgbouncer.ini"
        config.write_text(_CONFIG.format(host=url.query["host"], database_port=url.port or 5432, port=port))
        # PgBouncer does not run as root; only its owner can open the socket's directory.
        Path(directory).chmod(0o755)
        user = ["-u", Path(str(url.query["host"])).owner()] if os.geteuid() == 0 else []
        process = subprocess.Popen([PROGRAM, "-q", *user, config], stderr=subprocess.PIPE, text=True)
        try:
            _await(process, port)
            yield _through(url, port).render_as_string(hide_password=False)
        finally:
            process.terminate()
            process.communicate()


def _through(url: URL, port: int) -> URL:
    return URL.create(url.drivername, url.username, None, "127.0.0.1", port, url.database)


def _await(process: "subprocess.Popen[str]", port: int) -> None:
    """Wait until the port accepts connections."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.01)
    process.kill()
    raise AssertionError(f"pgbouncer does not respond: {process.communicate()[1]}")
