"""rclone's S3 server: a real one that ignores `If-None-Match`; one per test process, a fresh bucket per test."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.parts.seaweed import ACCESS_KEY, SECRET_KEY, S3Server

_STARTED = re.compile(r"Starting s3 server on \[(http://[^\]/]+)/?\]")


@contextmanager
def rclone_server(directory: Path) -> Iterator[S3Server]:
    """A running `rclone serve s3` whose buckets are the directories below `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    command = [
        str(Path(sys.executable).parent / "rclone"), "serve", "s3", str(directory), "--addr", "127.0.0.1:0",
        "--auth-key", f"{ACCESS_KEY},{SECRET_KEY}", "--config", os.devnull,
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    try:
        line = next((line for line in process.stderr if "Starting s3 server" in line), "")
        found = _STARTED.search(line)
        if found is None:
            raise RuntimeError(f"rclone serve s3 does not start: {line or process.poll()}")
        yield S3Server(endpoint_url=found.group(1), pid=process.pid)
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()


@pytest.fixture(scope="session")
def rclone_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An rclone S3 server of this test process."""
    with rclone_server(tmp_path_factory.mktemp("rclone") / "data") as server:
        yield server
