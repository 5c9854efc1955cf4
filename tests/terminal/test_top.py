"""`imgctl top` at a terminal: it uses the alternate screen at any size, takes keys, and restores the terminal."""

import sys
from io import TextIOWrapper

import pytest

from tests.terminal.conftest import PHOTOS, Stages
from tests.terminal.terminal import CTRL_C, CTRL_Z, Window, terminal

ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"
LABELS = ["BACKLOG", "RATE", "WORKERS", "STUCK", "LATER", "AUDIT", "SPEND"]


@pytest.mark.parametrize(
    "window", [Window(columns=80, rows=24), Window(columns=200, rows=60), Window(columns=40, rows=8)], ids=str
)
def test_a_screen_shows_what_fits_and_q_ends_it(stage: Stages, window: Window) -> None:
    with terminal(stage("uploaded"), "top", "--interval", "1d", window=window) as seen:
        seen.read_until(b"SPEND" if window.rows > 8 else b"AUDIT")
        seen.read_until_silent()
        lines = seen.lines
        seen.type(b"q")
        code = seen.wait()

    assert code == 0
    assert len(lines) <= window.rows
    assert all(len(line) <= window.columns for line in lines)
    assert lines[0].startswith("sqlite:///")
    assert lines[2].startswith(f"BACKLOG  {PHOTOS} waiting")
    assert [line.split()[0] for line in lines[2 : 2 + len(LABELS)]] == LABELS[: len(lines) - 2]
    if window.rows > 8:
        assert "RUNNING (0)" in lines
        assert any(line.startswith("  upload ") for line in lines)
    assert seen.drawn.count(ENTER) == seen.drawn.count(LEAVE) == 1
    assert seen.drawn.endswith(LEAVE)


def test_it_looks_again_draws_over_and_ends_by_an_interrupt(stage: Stages) -> None:
    with terminal(stage("ready"), "top", "--interval", "100ms", window=Window()) as seen:
        seen.read_until(b"0.0/s finished")
        lines = seen.lines
        seen.type(CTRL_C)
        code = seen.wait()

    assert sum("BACKLOG" in line for line in lines) == 1
    assert code == 130
    assert LEAVE in seen.drawn


def test_without_a_terminal_it_looks_once(stage: Stages) -> None:
    deployment = stage("uploaded")
    plain, streamed = deployment.run("top"), deployment.run("top", "--once", "--json")

    assert (plain.code, plain.err) == (0, "")
    assert "\x1b" not in plain.out
    assert f"BACKLOG  {PHOTOS} waiting" in plain.out
    assert [one["type"] for one in streamed.records] == ["snapshot", "summary"]
    assert streamed.records[0]["processing"] == PHOTOS


def _latin_1() -> None:
    assert isinstance(sys.stdout, TextIOWrapper)
    sys.stdout.reconfigure(encoding="latin-1")


def test_a_terminal_of_another_encoding_shows_a_question_mark(stage: Stages) -> None:
    window = Window(columns=20, rows=8)
    with terminal(stage("uploaded"), "top", "--interval", "1d", window=window, before=_latin_1) as seen:
        seen.read_until(b"WORKERS")
        seen.read_until_silent()
        lines = seen.lines
        seen.type(b"q")
        code = seen.wait()

    assert code == 0
    assert (len(lines[0]), lines[0][-1]) == (20, "?")


def test_ctrl_z_returns_the_terminal_to_the_shell_until_it_is_resumed(stage: Stages) -> None:
    # The kernel does not stop a session leader without a shell above it: it is resumed at once.
    with terminal(stage("ready"), "top", "--interval", "1d", window=Window()) as seen:
        seen.read_until(b"SPEND")
        seen.type(CTRL_Z)
        seen.read_until(LEAVE + ENTER)
        seen.type(b"q")

        assert seen.wait() == 0
    assert seen.drawn.count(ENTER) == seen.drawn.count(LEAVE) == 2
    assert seen.drawn.endswith(LEAVE)
