"""Temporary directories are deleted when their process ends, or at the next run if it was killed."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from imgctl.run.scratch import KINDS, Scratch, atomic_write, sweep
from tests.run.programs import ROOT

_HOLD = """
import sys
from pathlib import Path
from imgctl.run.scratch import Scratch
scratch = Scratch(sys.argv[1], parent=Path(sys.argv[2]))
(scratch.path / "file").write_text("half")
print(scratch.path, flush=True)
sys.stdin.read()
"""


def _hold(kind: str, place: Path) -> "tuple[subprocess.Popen[str], Path]":
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, kind, place], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


@pytest.mark.parametrize("kind", KINDS)
def test_directories_of_a_killed_process_are_deleted_at_the_next_start(kind: str, tmp_path: Path) -> None:
    process, left = _hold(kind, tmp_path)
    process.kill()
    process.communicate()
    assert (left / "file").exists()

    Scratch("work", parent=tmp_path).close()

    assert list(tmp_path.iterdir()) == []


def test_directories_of_a_living_process_are_kept(tmp_path: Path) -> None:
    process, held = _hold("spool", tmp_path)

    sweep(tmp_path)

    assert (held / "file").read_text() == "half"
    process.communicate("")


def test_a_directory_in_use_by_the_same_process_is_kept(tmp_path: Path) -> None:
    with Scratch("work", parent=tmp_path) as held:
        sweep(tmp_path)

        assert held.path.is_dir()
    assert not held.path.exists()


def test_other_files_and_directories_are_kept(tmp_path: Path) -> None:
    (tmp_path / "imgctl-demo-album").mkdir()
    (tmp_path / "imgctl-work-notes.txt").write_text("no directory")
    (elsewhere := tmp_path / "elsewhere").mkdir()
    (tmp_path / "imgctl-work-link").symlink_to(elsewhere)
    before = sorted(tmp_path.iterdir())

    sweep(tmp_path)

    assert sorted(tmp_path.iterdir()) == before


def test_processes_that_start_together_have_separate_directories(tmp_path: Path) -> None:
    started = [_hold("work", tmp_path) for _ in range(6)]

    assert len({path for _, path in started}) == 6
    assert all((path / "file").exists() for _, path in started)
    for process, _ in started:
        process.communicate("")


_HOLD_PART = """
import sys
from pathlib import Path
from imgctl.run.scratch import atomic_write
with atomic_write(Path(sys.argv[1])) as new:
    new.write_text("half")
    print(new, flush=True)
    sys.stdin.read()
"""


def _hold_part(file: Path) -> "tuple[subprocess.Popen[str], Path]":
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD_PART, file], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_an_unfinished_file_is_deleted_with_its_process(tmp_path: Path) -> None:
    killed, left = _hold_part(tmp_path / "killed.csv")
    killed.kill()
    killed.communicate()
    (foreign := tmp_path / ".notes.part").write_text("somebody's own")
    living, held = _hold_part(tmp_path / "living.csv")

    assert not left.exists()
    assert (held.read_text(), foreign.read_text()) == ("half", "somebody's own")
    living.communicate("")
    assert {one.name: one.read_text() for one in tmp_path.iterdir() if one != foreign} == {"living.csv": "half"}


def test_a_finished_file_replaces_the_old_one_with_default_permissions(tmp_path: Path) -> None:
    (usual := tmp_path / "usual").touch()

    with atomic_write(tmp_path / "report.csv") as new:
        new.write_text("whole")

    assert sorted(one.name for one in tmp_path.iterdir()) == ["report.csv", "usual"]
    assert (tmp_path / "report.csv").stat().st_mode == usual.stat().st_mode


def test_a_failed_block_or_a_deleted_new_file_keeps_the_old_one(tmp_path: Path) -> None:
    (file := tmp_path / "report.csv").write_text("old")

    with pytest.raises(ZeroDivisionError), atomic_write(file) as new:
        new.write_text("half")
        raise ZeroDivisionError
    with atomic_write(file) as new:
        new.unlink()

    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("report.csv", "old")]


@pytest.mark.parametrize("has_links", [True, False])
def test_a_file_that_must_be_new_never_replaces_one(
    has_links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "plan.jsonl"
    if not has_links:
        monkeypatch.setattr(os, "link", _no_links)

    with atomic_write(file, anew=True) as new:
        new.write_text("first")
    with pytest.raises(FileExistsError), atomic_write(file, anew=True) as new:
        new.write_text("second")

    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("plan.jsonl", "first")]


def _no_links(_source: Path, _target: Path) -> None:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


def test_a_symbolic_link_is_kept_and_a_device_is_written_to(tmp_path: Path) -> None:
    (target := tmp_path / "target").write_text("old")
    (link := tmp_path / "link").symlink_to(target)

    for file in (link, Path("/dev/null")):
        with atomic_write(file) as new:
            new.write_text("new")

    assert link.is_symlink() and target.read_text() == "new"
    assert Path("/dev/null").is_char_device()


def test_directories_of_killed_tests_are_deleted_by_tests_alone(tmp_path: Path) -> None:
    process, left = _hold("tests", tmp_path)
    process.kill()
    process.communicate()

    Scratch("work", parent=tmp_path).close()
    assert left.exists()
    Scratch("tests", parent=tmp_path).close()
    assert not left.exists()
