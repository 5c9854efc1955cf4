"""Settings of the test suite, and the fixtures for real servers, each defined beside its starter."""

import gc
import os
import sys
import tempfile
from collections.abc import Generator
from multiprocessing.util import Finalize

import pytest
from hypothesis import HealthCheck, settings

from imgctl.run.limits import cores
from imgctl.run.scratch import Scratch
from tests.soak import is_soak, rounds

# Examples have no deadline, because the machine may be busy. `make test` tries the same examples each time, so
# that a failure comes from the change; `make soak` tries new ones.
settings.register_profile(
    "imgctl",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=rounds(50, 500),
    derandomize=not is_soak(),
    database=None,
    print_blob=True,
)
settings.load_profile("imgctl")

pytest_plugins = [
    "tests.parts.postgres",
    "tests.parts.pgbouncer",
    "tests.parts.seaweed",
    "tests.parts.moto_server",
    "tests.parts.queues",
    "tests.parts.rclone",
    "tests.parts.clouds",
    "tests.parts.chromium",
]


def pytest_configure(config: pytest.Config) -> None:
    """Keep all files of the tests, their servers and programs below one directory, and remove it."""
    if hasattr(config, "workerinput"):
        return
    # Thousands of processes start: with PYTHONDONTWRITEBYTECODE each would compile imgctl again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    scratch = Scratch("tests")
    # Some tests act as another user, who must be able to enter the directory.
    scratch.path.chmod(0o755)
    os.environ["TMPDIR"] = tempfile.tempdir = str(scratch.path)
    # After multiprocessing has removed its own directory in there, which it does at -100.
    Finalize(None, scratch.close, exitpriority=-200)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect tests without collecting garbage, and spare modules and tests, which all stay, the later collections."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_xdist_auto_num_workers() -> int:
    """Return twice the number of cores: tests of killed runs wait for leases to expire, a second each."""
    return 2 * cores()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape what is captured: xdist cannot send a file name that is not UTF-8, and would abort the whole run."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report
