"""`imgctl watch`: it uploads existing and new files once, and not before they are complete."""

import ctypes
import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from imgctl.model import Status
from imgctl.ops.upload import watch
from imgctl.ops.upload.watch import is_written_to
from tests.whole.conftest import photo
from tests.whole.deployment import USER, Deployment, Run, assert_whole
from tests.whole.test_records import faults_of


def ends_with(deployment: Deployment, run: Run, rows: int) -> None:
    """Wait for this many confirmed rows, then stop the run."""
    while sum(image.status is Status.PROCESSING for image in deployment.images()) < rows:
        run.process.join(0.05)
        assert run.process.exitcode is None, run.err.read_text()
    os.kill(run.process.pid or 0, signal.SIGTERM)


def test_what_is_there_and_what_comes_is_uploaded_once_it_is_whole(embedded: Deployment, tmp_path: Path) -> None:
    place = tmp_path / "scans"
    place.mkdir()
    (place / "0.jpg").write_bytes(photo(0))
    os.utime(place / "0.jpg", (1_700_000_000, 1_700_000_000))
    embedded.run("init")
    run = embedded.start("watch", str(place), "--user", str(USER), "--settle", "0.2s", "--json")
    while not embedded.images():
        run.process.join(0.05)
        assert run.process.exitcode is None, run.err.read_text()

    with (place / "1.jpg").open("wb") as file:
        file.write(photo(1)[:500])
        file.flush()
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "2.jpg").write_bytes(photo(2))
        (tmp_path / "new").rename(place / "new")
        while len(embedded.images()) < 2:
            run.process.join(0.05)
        file.write(photo(1)[500:])
    (place / "notes.txt").write_text("a note")
    (tmp_path / "moved.jpg").write_bytes(photo(3))
    (tmp_path / "moved.jpg").rename(place / "3.jpg")
    ends_with(embedded, run, 4)
    ended = run.wait()

    assert ended.code == 0, ended.err
    assert_whole(embedded, [photo(number) for number in range(4)], status=Status.PROCESSING)
    assert ended.summary["uploaded"] == 4
    assert not faults_of("watch", ended.records)
    assert sorted(path.name for path in place.rglob("*.jpg")) == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]


def test_a_watch_that_is_stopped_after_a_failure_is_partly_done(embedded: Deployment, tmp_path: Path) -> None:
    place = tmp_path / "scans"
    place.mkdir()
    (place / "0.jpg").write_bytes(photo(0))
    (place / "1.jpg").write_bytes(b"no picture")
    embedded.run("init")
    run = embedded.start("watch", str(place), "--user", str(USER), "--settle", "0.1s", "--json")
    while "1.jpg" not in run.out.read_text():
        run.process.join(0.05)
        assert run.process.exitcode is None, run.err.read_text()

    ends_with(embedded, run, 1)
    ended = run.wait()

    assert ended.code == 3, ended.err
    assert (ended.summary["uploaded"], ended.summary["failed"]) == (1, 1)


@pytest.mark.parametrize("name", [b"1\xff.jpg", b"album\xff/1.jpg"])
@pytest.mark.parametrize("poll", [False, True])
def test_neither_a_name_that_is_not_utf_8_nor_a_loop_ends_a_watch(
    embedded: Deployment, tmp_path: Path, name: bytes, *, poll: bool
) -> None:
    place = tmp_path / "scans"
    place.mkdir()
    (place / "0.jpg").write_bytes(photo(0))
    (place / "loop").symlink_to(".")
    odd = Path(os.fsdecode(os.fsencode(place) + b"/" + name))
    odd.parent.mkdir(exist_ok=True)
    embedded.run("init")
    more = ("--poll",) if poll else ()
    run = embedded.start("watch", str(place), "--user", str(USER), "--settle", "0.2s", "--json", *more)
    while not embedded.images():
        run.process.join(0.05)
        assert run.process.exitcode is None, run.err.read_text()

    odd.write_bytes(photo(1))
    (place / "2.jpg").write_bytes(photo(2))
    ends_with(embedded, run, 3)
    ended = run.wait()

    assert ended.code == 0, ended.err
    assert_whole(embedded, [photo(number) for number in range(3)], status=Status.PROCESSING)


def scan_always() -> None:
    """Walk the directory again at once, instead of every hour."""
    watch.RESCAN_SECONDS = 0.0


def test_a_file_is_reported_once_until_it_changes(embedded: Deployment, tmp_path: Path) -> None:
    place = tmp_path / "scans"
    (place / ".cache").mkdir(parents=True)
    (place / "0.jpg").write_bytes(photo(0))
    (place / "link").symlink_to("0.jpg")
    (place / "notes.txt").write_text("a note")
    embedded.run("init")
    command = ("watch", str(place), "--user", str(USER), "--settle", "0.1s", "--json", "--journal", "none")
    run = embedded.start(*command, before=scan_always)

    def is_reported(times: int, file: str) -> None:
        while run.out.read_text().count(f'"{place / file}"') < times:
            run.process.join(0.05)
            assert run.process.exitcode is None, run.err.read_text()

    def walk_all(number: int) -> None:
        # Files of one batch are reported together, after the next of the same walk.
        (place / f"{number}.jpg").write_bytes(photo(number))
        is_reported(1, f"{number}.jpg")

    for number in (1, 2, 3):
        walk_all(number)
    (place / "notes.txt").write_text("another note")
    os.utime(place / "0.jpg", (1_700_000_000, 1_700_000_000))
    is_reported(2, "notes.txt")
    is_reported(2, "0.jpg")
    for number in (4, 5, 6):
        walk_all(number)
    os.kill(run.process.pid or 0, signal.SIGTERM)
    ended = run.wait()

    found = Counter((str(one["fate"]), Path(str(one["path"])).name) for one in ended.of("file"))
    assert found == {
        **{("uploaded", f"{number}.jpg"): 1 for number in range(7)},
        ("present", "0.jpg"): 1,
        ("skipped", "notes.txt"): 2,
        ("skipped", "link"): 1,
        ("skipped", ".cache"): 1,
    }
    assert (ended.summary["uploaded"], ended.summary["present"], ended.summary["skipped"]) == (7, 1, 4)


def test_sidecars_that_come_later_describe_their_photos(embedded: Deployment, tmp_path: Path) -> None:
    place = tmp_path / "scans"
    place.mkdir()
    embedded.run("init")
    run = embedded.start("watch", place, "--user", str(USER), "--settle", "0.1s")
    for number in range(3):
        (place / f"{number}.jpg.json").write_text(
            json.dumps(
                {"title": f"{number}.jpg", "description": f"caption {number}", "photoTakenTime": {"timestamp": "1"}}
            )
        )
        (place / f"{number}.jpg").write_bytes(photo(number))
        while len(embedded.images()) <= number:
            run.process.join(0.05)
            assert run.process.exitcode is None, run.err.read_text()
    ends_with(embedded, run, 3)
    ended = run.wait()

    assert ended.code == 0, ended.err
    assert [image.caption for image in embedded.images()] == ["caption 0", "caption 1", "caption 2"]


_CLONE_NEWUSER = 0x10000000


def limited(setting: str, most: int) -> Callable[[], None]:
    """Return what limits a run's inotify in a user namespace of its own; skips the test where the system refuses these."""
    file = f"/proc/sys/user/{setting}"
    if subprocess.run(["unshare", "-Ur", "test", "-w", file], check=False, capture_output=True).returncode:
        pytest.skip("needs unprivileged user namespaces")
    return partial(_limit, file, most)


def _limit(file: str, most: int) -> None:
    user = os.geteuid()
    assert ctypes.CDLL(None).unshare(_CLONE_NEWUSER) == 0
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path(file).write_text(str(most))


def test_a_watch_without_inotify_instances_names_the_limit(embedded: Deployment, tmp_path: Path) -> None:
    embedded.run("init")
    none = limited("max_inotify_instances", 0)

    ran = embedded.start("watch", tmp_path, "--user", str(USER), before=none).wait()

    assert ran.code == 1
    assert f"{tmp_path} cannot be watched: Too many open files" in ran.err
    assert "fs.inotify.max_user_instances" in ran.err


@pytest.mark.parametrize("late", [False, True])
def test_a_watch_of_more_directories_than_inotify_allows_says_so(
    embedded: Deployment, tmp_path: Path, *, late: bool
) -> None:
    place = tmp_path / "scans"
    for number in range(4):
        (place / str(number)).mkdir(parents=True)
    (place / "0.jpg").write_bytes(photo(0))
    os.utime(place / "0.jpg", (1_700_000_000, 1_700_000_000))
    embedded.run("init")
    few = limited("max_inotify_watches", 6 if late else 2)
    run = embedded.start("watch", place, "--user", str(USER), "--settle", "0.1s", before=few)
    while not embedded.images():
        run.process.join(0.05)
        assert run.process.exitcode is None, run.err.read_text()

    if late:
        assert "fs.inotify.max_user_watches" not in run.err.read_text()
        for number in range(4):
            (place / f"new {number}").mkdir()
    while "fs.inotify.max_user_watches" not in run.err.read_text():
        run.process.join(0.05)
        assert run.process.exitcode is None, run.err.read_text()
    os.kill(run.process.pid or 0, signal.SIGTERM)
    ended = run.wait()

    assert ended.code == 0, ended.err
    assert ended.err.count("fs.inotify.max_user_watches") == 1


def test_a_run_after_it_finds_all_there(embedded: Deployment, album: dict[Path, bytes]) -> None:
    place = str(next(iter(album)).parent.parent)
    run = embedded.start("watch", place, "--user", str(USER), "--json", "--settle", "0.1s")
    while not run.out.read_text().count('"type":"file"') >= len(album):
        run.process.join(0.05)
        assert run.process.exitcode is None, run.err.read_text()
    run.kill()
    run.process.join()

    again = embedded.run("upload", place, "--user", str(USER), "--json")

    assert (again.code, again.summary["uploaded"]) == (0, 0), again.err
    assert_whole(embedded, album.values(), status=Status.PROCESSING)


def test_a_file_that_is_open_for_writing_is_told_from_one_that_is_not(tmp_path: Path) -> None:
    file = tmp_path / "a"
    with file.open("wb") as written:
        written.write(b"x")
        assert is_written_to(str(file))
        before = time.monotonic()
        with file.open("ab"):
            pass

    assert not is_written_to(str(file))
    with file.open("rb"):
        assert not is_written_to(str(file))
    # The writer does not wait for imgctl.
    with file.open("ab"):
        assert time.monotonic() - before < 30
