"""Temporary directories go with their process: at once when it ends, at the next run when it was killed."""

import subprocess
import sys
from pathlib import Path

import pytest

from imgctl.run.scratch import KINDS, Scratch, sweep
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
def test_what_a_killed_process_left_goes_at_the_next_start(kind: str, tmp_path: Path) -> None:
    process, left = _hold(kind, tmp_path)
    process.kill()
    process.communicate()
    assert (left / "file").exists()

    Scratch("work", parent=tmp_path).close()

    assert list(tmp_path.iterdir()) == []


def test_what_a_living_process_holds_stays(tmp_path: Path) -> None:
    process, held = _hold("spool", tmp_path)

    sweep(tmp_path)

    assert (held / "file").read_text() == "half"
    process.communicate("")


def test_a_stopped_process_keeps_its_directory(tmp_path: Path) -> None:
    with Scratch("work", parent=tmp_path) as held:
        sweep(tmp_path)

        assert held.path.is_dir()
    assert not held.path.exists()


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    (tmp_path / "imgctl-demo-album").mkdir()
    (tmp_path / "imgctl-work-notes.txt").write_text("no directory")
    (elsewhere := tmp_path / "elsewhere").mkdir()
    (tmp_path / "imgctl-work-link").symlink_to(elsewhere)
    before = sorted(tmp_path.iterdir())

    sweep(tmp_path)

    assert sorted(tmp_path.iterdir()) == before


def test_two_that_start_at_once_never_share_or_lose_a_directory(tmp_path: Path) -> None:
    started = [_hold("work", tmp_path) for _ in range(6)]

    assert len({path for _, path in started}) == 6
    assert all((path / "file").exists() for _, path in started)
    for process, _ in started:
        process.communicate("")
