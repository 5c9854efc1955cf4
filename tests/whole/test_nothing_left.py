"""A test run and killed commands leave no files outside the store."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.whole.conftest import place_of
from tests.whole.deployment import USER, Deployment

ROOT = Path(__file__).parents[2]
# One test of each kind: servers with sockets and logs, killed runs, programs in their own processes.
NESTED = (
    "tests/whole/test_cycle.py::test_photos_go_from_a_directory_to_ready[new_servers]",
    "tests/run/test_scratch.py",
    "tests/store/blobs/s3/test_bucket_classes.py::test_parts_keep_metadata_tags_and_headers",
)


def test_a_test_run_leaves_the_temporary_directory_as_it_found_it() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    dead = _dead_sockets()

    # A short path: that of a socket may have at most 107 bytes.
    with TemporaryDirectory() as outer:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-n", "1", "-p", "no:cacheprovider", *NESTED],
            cwd=ROOT,
            env=environment | {"TMPDIR": outer},
            capture_output=True,
            text=True,
            check=False,
        )

        assert done.returncode == 0, done.stdout
        assert list(Path(outer).iterdir()) == []
    assert _dead_sockets() <= dead


def test_a_killed_worker_leaves_nothing_after_the_next_run(embedded: Deployment, album: dict[Path, bytes]) -> None:
    (outer := embedded.directory / "tmp").mkdir()
    deployment = embedded.with_pool().in_environment(TMPDIR=str(outer))
    deployment.run("upload", place_of(album), "--user", str(USER))
    for _ in range(3):
        run = deployment.start("work", "--drain", "--json")
        while not run.out.read_text() and run.process.is_alive():
            run.process.join(0.01)
        run.kill()
        run.process.join()

    worked = deployment.run("work", "--drain")

    assert worked.code == 0, worked.err
    assert list(outer.iterdir()) == []


def _dead_sockets() -> set[Path]:
    """Return the sockets with servers' fixed names on which no process listens."""
    return {path for path in Path("/tmp").glob("seaweedfs-*.sock") if not _listens(path)}


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as one:
        return one.connect_ex(str(path)) == 0
