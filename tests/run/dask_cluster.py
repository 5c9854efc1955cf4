"""A Dask scheduler and two workers on 127.0.0.1, each a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_PID = "scheduler.pid"


def _start(directory: Path, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
    environment = (
        os.environ
        | variables
        | {
            "PYTHONPATH": str(ROOT),
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
            "DASK_DISTRIBUTED__SCHEDULER__WORKER_SATURATION": "1.0",
        }
    )
    command = [sys.executable, "-m", "dask", *arguments, "--host", "127.0.0.1", "--no-dashboard"]
    with (directory / f"{len(list(directory.iterdir()))}.log").open("wb") as log:
        return subprocess.Popen(command, cwd=directory, env=environment, stdout=log, stderr=log)


@contextmanager
def dask_cluster(directory: Path, **variables: str) -> Iterator[str]:
    """Yield a scheduler's address; its two workers have one thread, a restarting nanny and these variables each."""
    distributed = pytest.importorskip("distributed")
    file = directory / "scheduler.json"
    worker = ("worker", "--scheduler-file", str(file), "--nthreads", "1", "--local-directory", str(directory))
    processes = [
        _start(directory, "scheduler", "--port", "0", "--scheduler-file", str(file), **variables),
        _start(directory, *worker, **variables),
        _start(directory, *worker, **variables),
    ]
    (directory / _PID).write_text(str(processes[0].pid))
    try:
        with distributed.Client(scheduler_file=str(file), timeout=60, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
        yield json.loads(file.read_text())["address"]
    finally:
        for process in reversed(processes):
            _end(process)


def scheduler_process(directory: Path) -> int:
    """The process id of the scheduler of the cluster in this directory."""
    return int((directory / _PID).read_text())


@pytest.fixture(scope="session")
def dask_scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a cluster that all tests of this process share."""
    with dask_cluster(tmp_path_factory.mktemp("dask")) as address:
        yield address


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
