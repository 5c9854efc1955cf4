"""A bar on a terminal, no output elsewhere, and never an exception."""

import os
import pty
import subprocess
import sys
import termios

import pytest

from tests.run.programs import ROOT, SECONDS, start


def _run_in_terminal(*arguments: str) -> tuple[str, str]:
    terminal, stderr = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 120))
    with start("progress", *arguments, stderr=stderr) as process:
        os.close(stderr)
        drawn = b""
        while chunk := _read(terminal):
            drawn += chunk
        assert process.stdout is not None
        printed = process.stdout.read()
    os.close(terminal)
    return drawn.decode(), printed.strip()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:
        # EIO: the other end is closed.
        return b""


def test_a_terminal_shows_a_bar_with_rate_and_counters() -> None:
    drawn, printed = _run_in_terminal("auto")

    assert "10/10" in drawn
    assert "1 failed, 3.0 MiB" in drawn
    assert "10/10 images" in drawn
    assert "one failed\r\n" in drawn
    assert printed == "10 3145728 1 True"


def test_a_terminal_shows_a_bar_without_a_total() -> None:
    drawn, printed = _run_in_terminal("auto", "unknown")

    assert "10 images" in drawn
    assert "one failed\r\n" in drawn
    assert printed == "10 3145728 1 True"


def test_no_progress_hides_the_bar_and_never_imports_it() -> None:
    drawn, printed = _run_in_terminal("no")

    assert drawn == "one failed\r\n"
    assert printed == "10 3145728 1 False"


def test_without_a_terminal_there_is_no_bar() -> None:
    process = start("progress", "auto", stderr=subprocess.PIPE)

    assert process.communicate(timeout=SECONDS) == ("10 3145728 1 False\n", "one failed\n")


def test_progress_forces_a_bar() -> None:
    process = start("progress", "yes", stderr=subprocess.PIPE)

    assert "10/10" in process.communicate(timeout=SECONDS)[1]


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
@pytest.mark.parametrize("shown", ["yes", "no"])
def test_a_broken_stderr_does_not_stop_the_run(shown: str, redirection: str) -> None:
    command = f'"{sys.executable}" -m tests.run.parent progress {shown} {redirection}'
    # Buffered, as by default.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(command, shell=True, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True, check=False)

    assert done.stdout.startswith("10 3145728 1")
    assert done.returncode == 0
