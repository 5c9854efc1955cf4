"""Metrics of commands: on a port while they run, in a file for node_exporter afterwards."""

import re
import shutil
import socket
import stat
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from imgctl.run.telemetry.prometheus import Prometheus, TextFile
from tests.whole.conftest import place_of
from tests.whole.deployment import USER, Deployment


def series(text: str) -> dict[str, float]:
    """Return each written series with its value."""
    return {
        re.sub(r"[{}' ]", "", f"{sample.name} {sample.labels}"): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_textfile_has_the_last_exit_code_and_the_last_success(
    embedded: Deployment, album: dict[Path, bytes], tmp_path: Path
) -> None:
    (tmp_path / "prom").mkdir()
    deployment = embedded.with_settings(METRICS_TEXTFILE=str(tmp_path / "prom/imgctl-{command}.prom"))
    file = tmp_path / "prom/imgctl-upload.prom"

    assert deployment.run("upload", place_of(album), "--user", str(USER)).code == 0
    first = series(file.read_text())
    assert deployment.run("upload", place_of(album), "nowhere", "--user", str(USER)).code == 3
    second = series(file.read_text())

    assert first["imgctl_items_totalcommand:upload,fate:uploaded"] == 20
    assert first["imgctl_items_totalcommand:upload,fate:present"] == 2
    assert first["imgctl_item_bytes_totalcommand:upload"] == sum(map(len, album.values()))
    assert first["imgctl_command_runningcommand:upload"] == 0
    assert first["imgctl_command_exit_codecommand:upload"] == 0
    assert second["imgctl_command_exit_codecommand:upload"] == 3
    succeeded, ended = (
        "imgctl_command_last_success_timestamp_secondscommand:upload",
        "imgctl_command_end_timestamp_secondscommand:upload",
    )
    assert second[succeeded] == first[succeeded]
    assert second[ended] > first[ended]
    assert file.stat().st_mode & 0o444 == 0o444
    assert [one.name for one in file.parent.iterdir()] == [file.name]


def test_a_killed_run_leaves_a_complete_textfile_of_a_running_command(embedded: Deployment, tmp_path: Path) -> None:
    file = tmp_path / "work.prom"
    assert embedded.run("work", "--drain", "--metrics-textfile", file).code == 0
    before = series(file.read_text())
    run = embedded.start("work", "--metrics-textfile", file)
    while series(file.read_text())["imgctl_command_runningcommand:work"] == 0:
        assert run.process.exitcode is None, run.err.read_text()
        run.process.join(0.01)
    run.kill()
    run.wait()
    after = series(file.read_text())

    assert after["imgctl_command_runningcommand:work"] == 1
    ended = "imgctl_command_end_timestamp_secondscommand:work"
    assert after[ended] == before[ended]


def test_an_audit_counts_its_findings_by_code(embedded: Deployment, tmp_path: Path) -> None:
    stray = embedded.directory / "blobs/2020/01/01/stray.jpg"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"nobody's")
    file = tmp_path / "audit.prom"

    assert embedded.run("audit", "--grace", "0s", "--metrics-textfile", file).code == 4

    found = series(file.read_text())
    assert {name: value for name, value in found.items() if "findings" in name and value} == {
        "imgctl_audit_findingscode:unknown_key": 1
    }
    assert found["imgctl_audit_findingscode:missing_original"] == 0


def test_a_textfile_that_cannot_be_written_is_refused_before_anything_is_done(embedded: Deployment) -> None:
    done = embedded.run("ls", "--metrics-textfile", "/nowhere/at/all.prom")

    assert done.code == 2
    assert "/nowhere/at/all.prom cannot be written" in done.err


@pytest.mark.parametrize("directory", ["", "/nowhere", "."])
def test_metrics_of_another_server_are_left_alone(embedded: Deployment, tmp_path: Path, directory: str) -> None:
    file = tmp_path / "work.prom"
    done = embedded.in_environment(PROMETHEUS_MULTIPROC_DIR=directory).run(
        "work", "--drain", "--metrics-textfile", file
    )

    assert (done.code, done.err) == (0, "")
    assert series(file.read_text())["imgctl_command_exit_codecommand:work"] == 0
    assert list(embedded.directory.glob("*.db")) in ([], [embedded.directory / "catalog.db"])


def test_a_directory_that_is_removed_is_reported_by_the_name_of_the_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "prom"
    place.mkdir()
    written = TextFile(Prometheus(), place / "work.prom", command="work")
    shutil.rmtree(place)
    written.close()

    assert caplog.messages == [f"the metrics file {place}/work.prom cannot be written: No such file or directory"]


def test_two_writers_of_one_textfile_are_reported_once_each(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "work.prom"
    TextFile(Prometheus(), file, command="work").close()
    first = TextFile(Prometheus(), file, command="work")
    alone = list(caplog.messages)
    second = TextFile(Prometheus(), file, command="upload")
    second.close()
    by_second = len(caplog.messages)
    first.close()
    TextFile(Prometheus(), file, command="work").close()

    assert (alone, by_second) == ([], 1)
    assert len(caplog.messages) == 2
    assert caplog.messages[0].startswith(f"the metrics file {file} is written by another running command, too: ")
    assert list(tmp_path.iterdir()) == [file]


def test_a_device_as_textfile_is_not_read_and_keeps_its_mode(embedded: Deployment) -> None:
    full, null = (embedded.run("work", "--drain", "--metrics-textfile", f"/dev/{name}") for name in ("full", "null"))

    assert (full.code, full.err.partition(" (")[0]) == (
        2,
        "imgctl: /dev/full cannot be written: No space left on device",
    )
    assert null.code == 0
    assert stat.S_IMODE(Path("/dev/null").stat().st_mode) & 0o666 == 0o666


def test_every_long_command_serves_its_numbers(embedded: Deployment) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    run = embedded.start("serve", "--port", "0", "--metrics-port", str(port))
    text = ""
    while "imgctl_command_running" not in text:
        assert run.process.exitcode is None, run.err.read_text()
        run.process.join(0.05)
        try:
            text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
        except OSError:
            continue
    run.kill()
    run.wait()

    assert series(text)["imgctl_command_runningcommand:serve"] == 1
