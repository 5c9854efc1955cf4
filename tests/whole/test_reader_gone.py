"""A command whose reader of stdout exits ends quietly, with the exit code of SIGPIPE, and loses nothing."""

import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text

from imgctl.model import Status
from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.queries.reservations import promise
from tests.whole.conftest import place_of
from tests.whole.deployment import USER, Deployment, assert_whole
from tests.whole.stock import new_image

PROGRAM = str(Path(sys.executable).with_name("imgctl"))
CUT_OFF = 141


@pytest.fixture
def filled(embedded: Deployment, album: dict[Path, bytes]) -> Deployment:
    """An archive with rows to print."""
    embedded.run("upload", place_of(album), "--user", str(USER))
    return embedded


def _without_reader(deployment: Deployment, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command whose stdout is a pipe with a closed reader."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return _run(deployment, *arguments, stdout=writing)
    finally:
        os.close(writing)


def _run(deployment: Deployment, *arguments: str, stdout: int, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.defpath,
        "HOME": str(deployment.directory),
        "IMGCTL_CATALOG_URL": deployment.catalog_url,
        "IMGCTL_STORE_URL": deployment.store.url,
        "IMGCTL_WORK_JOBS": "1",
        **more,
    }
    return subprocess.run(
        [PROGRAM, *arguments],
        cwd=deployment.directory,
        env=environment,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("ls", "--json"), ("ls",), ("ls", "--help"), ("--help",), ("stats", "--json"), ("doctor",), ("init", "--sql"),
        ("cost", "actual"), ("audit", "--json", "--grace", "0s"), ("work", "--drain", "--json"),
    ],
)  # fmt: skip
def test_a_command_without_a_reader_ends_quietly(filled: Deployment, arguments: tuple[str, ...]) -> None:
    done = _without_reader(filled, *arguments)

    assert done.returncode == CUT_OFF
    assert "Traceback" not in done.stderr
    assert "unexpected" not in done.stderr
    assert "Broken pipe" not in done.stderr


def test_head_takes_one_row_and_the_shell_sees_141(filled: Deployment) -> None:
    script = f"set -o pipefail; '{PROGRAM}' ls --json | (read -r row; echo \"$row\")"
    environment = {"PATH": os.defpath, "HOME": str(filled.directory), "IMGCTL_CATALOG_URL": filled.catalog_url}
    done = subprocess.run(
        ["bash", "-c", script], cwd=filled.directory, env=environment, capture_output=True, text=True, check=False
    )

    assert done.stdout.count("\n") == 1
    assert done.stdout.startswith('{"type":"image"')
    assert done.stderr == ""
    assert done.returncode in (0, CUT_OFF)


def test_an_upload_whose_reader_goes_loses_nothing(embedded: Deployment, album: dict[Path, bytes]) -> None:
    cut = _without_reader(embedded, "upload", str(place_of(album)), "--user", str(USER), "--json")
    again = embedded.run("upload", place_of(album), "--user", str(USER))

    assert cut.returncode == CUT_OFF, cut.stderr
    assert again.code == 0, again.err
    assert_whole(embedded, album.values(), status=Status.PROCESSING)


def test_a_slow_reader_of_stats_holds_no_transaction(servers: Deployment) -> None:
    catalog = open_catalog(servers.catalog_url)
    rows = [new_image(number, b"%d" % number, user_id=UUID(int=number + 1)) for number in range(2000)]
    with catalog.write() as connection:
        promise(connection, rows)
    command = [PROGRAM, "stats", "--by", "user", "--json"]
    environment = {**servers.environment(), "PATH": os.defpath}

    with subprocess.Popen(command, cwd=servers.directory, env=environment, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        lines = [run.stdout.readline()]
        with catalog.read() as connection:
            held = connection.execute(text(HELD_BY_OTHERS)).scalar_one()
        lines += run.stdout.readlines()

    catalog.close()
    assert held == 0
    assert (run.returncode, len(lines)) == (0, 2001)


HELD_BY_OTHERS = """SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND backend_type = 'client backend'
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ("ls", "--json"), ("stats",), ("doctor",),
        ("--help",), ("--version",), ("work", "-h"), ("cost", "model", "--help"),
        ("help",), ("help", "settings"), ("completion", "bash"), ("completion", "fish"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_full_disk_behind_stdout_is_an_error_with_a_next_step(filled: Deployment, arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = _run(filled, *arguments, stdout=full.fileno())

    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == (
        "imgctl: stdout cannot be written: No space left on device (free some space there and run the same command again)"
    )


def test_a_stdout_that_is_not_utf_8_gets_escapes(filled: Deployment, tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        ended = _run(filled, "top", "--once", stdout=out.fileno(), PYTHONIOENCODING="latin-1")

    assert (ended.returncode, ended.stderr) == (0, "")
    assert b", \\u2013/s finished" in (tmp_path / "out").read_bytes()
