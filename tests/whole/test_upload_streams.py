"""Uploads whose pipes, disks or servers stall, close or fill up: the run ends and reports the cause."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from imgctl.errors import SchemaNotCurrent
from imgctl.model import Status
from tests.whole.conftest import photo, place_of
from tests.whole.deployment import USER, Deployment, assert_whole

UPLOAD = ("upload", "--user", str(USER))
SOON = 60.0


def opened(deployment: Deployment, *arguments: str | Path, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """Run imgctl on real pipes, which the deployment's own runs do not use."""
    environment = {"IMGCTL_CATALOG_URL": deployment.catalog_url, "IMGCTL_STORE_URL": deployment.store.url}
    return subprocess.Popen(
        [sys.executable, "-m", "imgctl", *map(str, arguments)],
        cwd=deployment.directory,
        env={"HOME": str(deployment.directory), "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def many(place: Path, count: int) -> dict[Path, bytes]:
    """Write files with different content."""
    place.mkdir()
    files = {place / f"{number}.jpg": photo(0) + f"{number}".encode() for number in range(count)}
    for path, data in files.items():
        path.write_bytes(data)
    return files


def test_an_upload_ends_when_nobody_reads_its_output_and_the_next_goes_on(embedded: Deployment, tmp_path: Path) -> None:
    files = many(tmp_path / "many", 1500)

    with opened(embedded, *UPLOAD, tmp_path / "many", "--json") as process:
        assert process.stdout is not None and process.stdout.readline()
        process.stdout.close()
        code = process.wait(SOON)
    again = embedded.run(*UPLOAD, tmp_path / "many")

    assert (code, again.code) == (141, 0)
    assert_whole(embedded, files.values(), status=Status.PROCESSING)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_a_report_that_cannot_be_written_ends_the_run_with_its_reason(embedded: Deployment, tmp_path: Path) -> None:
    many(tmp_path / "many", 1500)
    (tmp_path / "report.csv").symlink_to("/dev/full")

    result = embedded.run(*UPLOAD, tmp_path / "many", "--report", tmp_path / "report.csv")

    assert result.code == 1
    assert "the report cannot be written: No space left on device" in result.err.splitlines()[-1]


def test_an_upload_that_waits_for_a_silent_pipe_can_be_interrupted(embedded: Deployment, tmp_path: Path) -> None:
    listed = b"".join(b"%s\n" % os.fsencode(path) for path in many(tmp_path / "some", 8))
    silent, pipe = os.pipe()
    # Enough to be examined, and as many as one batch.
    os.write(pipe, listed.ljust(2**13, b"\n"))
    with opened(embedded, *UPLOAD, "--files-from", "-", stdin=silent) as process:
        os.close(silent)
        while _confirmed(embedded) < 8:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SOON)
    os.close(pipe)

    assert process.returncode == 130
    assert b"8 uploaded" in out
    assert b"Fatal" not in err


def test_an_upload_that_waits_for_a_silent_pipe_runs_out_of_time(
    embedded: Deployment, album: dict[Path, bytes]
) -> None:
    silent, keeps_it_open = os.pipe()
    with opened(
        embedded, *UPLOAD, place_of(album), "--files-from", "-", "--max-duration", "3s", stdin=silent
    ) as process:
        os.close(silent)
        _, err = process.communicate(timeout=SOON)
    os.close(keeps_it_open)

    assert process.returncode == 3
    assert b"run the same command again to continue" in err


def _confirmed(deployment: Deployment) -> int:
    try:
        return sum(image.status is Status.PROCESSING for image in deployment.images())
    except SchemaNotCurrent:
        return 0
