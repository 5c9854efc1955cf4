"""Runs imgctl at a pseudo-terminal: keys pass through its line discipline; the screen is what a person would see."""

import os
import pty
import signal
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path

import pyte

from tests.parts.forks import Fork, fork
from tests.whole.deployment import Deployment, enter

FOREVER = 120.0
CTRL_C, CTRL_S, CTRL_Q, CTRL_Z = b"\x03", b"\x13", b"\x11", b"\x1a"
KEPT_LINES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A terminal's size and kind."""

    columns: int = 80
    rows: int = 24
    kind: str = "xterm-256color"

    def __str__(self) -> str:
        return f"{self.columns}x{self.rows}-{self.kind}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Command:
    arguments: tuple[str, ...]
    environment: dict[str, str]
    directory: Path
    terminal: str
    streams: dict[int, Path]
    before: Callable[[], None] | None


class Terminal:
    """One command at one terminal; `drawn` is every byte that it wrote there."""

    def __init__(self, keyboard: int, process: Fork, window: Window) -> None:
        self.drawn = b""
        self._keyboard = keyboard
        self._process = process
        self._screen = pyte.HistoryScreen(window.columns, window.rows, history=KEPT_LINES)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def lines(self) -> list[str]:
        """Return all lines, including those scrolled away, without empty lines at the end."""
        kept = [
            "".join(line[column].data for column in range(self._screen.columns)) for line in self._screen.history.top
        ]
        lines = [line.rstrip() for line in (*kept, *self._screen.display)]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def cursor_is_back(self) -> bool:
        """Whether a shell's prompt would begin at the start of a line, with a visible cursor."""
        return self._screen.cursor.x == 0 and not self._screen.cursor.hidden

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._keyboard, keys)

    def resize(self, *, columns: int, rows: int) -> None:
        """Resize the window."""
        termios.tcsetwinsize(self._keyboard, (rows, columns))
        self._screen.resize(rows, columns)

    def read_until(self, text: bytes) -> None:
        """Wait until something has been drawn."""
        deadline = time.monotonic() + FOREVER
        while text not in self.drawn:
            ended = self._process.exitcode is not None
            assert time.monotonic() < deadline, self.drawn
            # Its last output may arrive after its end.
            assert self._take(1.0) or not ended, self.drawn

    def read_until_silent(self, seconds: float = 0.3) -> None:
        """Read until no more output arrives, from a command that has not ended."""
        while self._take(seconds):
            pass
        assert self._process.exitcode is None

    def read_until_there(self, file: Path) -> None:
        """Read until a file exists, written by the command or by the harm injected into it."""
        deadline = time.monotonic() + FOREVER
        while not file.exists():
            assert time.monotonic() < deadline, f"{file} does not come: {self.drawn[-2000:]!r}"
            assert self._process.exitcode is None
            self._take(0.05)

    def wait(self) -> int:
        """Read to the end; return the exit code, negative for a signal."""
        deadline = time.monotonic() + FOREVER
        while self._process.exitcode is None:
            assert time.monotonic() < deadline, f"still running: {self.drawn[-2000:]!r}"
            self._take(1.0)
        while self._take(0):
            pass
        assert self._process.exitcode is not None
        return self._process.exitcode

    def close(self) -> int:
        """Close the window; return the exit code of the command, negative for a signal."""
        os.close(self._keyboard)
        self._process.join(FOREVER)
        assert self._process.exitcode is not None, "still running"
        return self._process.exitcode

    def _take(self, seconds: float) -> bool:
        if self._keyboard not in wait([self._keyboard, self._process.sentinel], seconds):
            return False
        piece = os.read(self._keyboard, 1 << 16)
        self.drawn += piece
        self._stream.feed(piece)
        return bool(piece)


@contextmanager
def terminal(
    deployment: Deployment,
    *arguments: str | Path,
    window: Window,
    stdout: Path | None = None,
    stderr: Path | None = None,
    before: Callable[[], None] | None = None,
) -> Iterator[Terminal]:
    """Start imgctl at its own terminal; its stdout or stderr may be redirected to a file instead."""
    keyboard, screen = pty.openpty()
    termios.tcsetwinsize(keyboard, (window.rows, window.columns))
    command = _Command(
        arguments=tuple(map(str, arguments)),
        environment=deployment.environment() | {"TERM": window.kind, "TQDM_MININTERVAL": "0"},
        directory=deployment.directory,
        terminal=os.ttyname(screen),
        streams={number: file for number, file in ((1, stdout), (2, stderr)) if file is not None},
        before=before,
    )
    process = fork(_main, command)
    try:
        yield Terminal(keyboard, process, window)
    finally:
        if process.exitcode is None:
            process.kill()
        process.join()
        os.close(screen)
        # Closed before by `close`.
        with suppress(OSError):
            os.close(keyboard)


def _main(command: _Command) -> None:
    from imgctl.cli.main import main

    enter(command.environment, command.directory)
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)
    os.setsid()
    # The first terminal that a session leader opens controls the session: ^C typed there becomes a signal.
    screen = os.open(command.terminal, os.O_RDWR)
    for number in range(3):
        file = command.streams.get(number)
        os.dup2(screen if file is None else os.open(file, os.O_WRONLY | os.O_CREAT), number)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if command.before is not None:
        command.before()
    main(command.arguments)
