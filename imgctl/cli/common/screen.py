"""A full-screen terminal view that is redrawn, and that restores the terminal at the end."""

import os
import select
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Self

from imgctl.cli.common.stdout import to_stdout
from imgctl.run.progress import printable
from imgctl.run.stop import Flag

# Alternate screen without cursor; cursor home; erase to the end of the line; erase below: xterm and VT100 sequences.
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _REST_OF_LINE, _BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
_QUIT = (b"q", b"Q", b"")


class Screen:
    """Inside `with Screen() as screen:` the terminal shows the drawn lines and reads single keys."""

    def __init__(self) -> None:
        self._restore: Callable[[], None] | None = None
        self._suspended = Flag()
        self._on_suspend: signal._HANDLER = signal.SIG_DFL

    @property
    def rows(self) -> int:
        """The current height in lines."""
        return shutil.get_terminal_size((80, 24)).lines

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines from the top, each cut at the right edge."""
        size = shutil.get_terminal_size((80, 24))
        kept = [printable(line) for line in lines[: size.lines]]
        cut = [line if len(line) <= size.columns else f"{line[: size.columns - 1]}…" for line in kept]
        # A character that the terminal's encoding lacks becomes one `?`: an escape would be wider.
        encoding = sys.stdout.encoding
        text = f"{_REST_OF_LINE}\r\n".join(cut).encode(encoding, "replace").decode(encoding)
        _write(_HOME + text + _REST_OF_LINE + (_BELOW if len(cut) < size.lines else ""))

    def wait(self, seconds: float, stop: Flag) -> bool:
        """Wait until the next draw; return True to end: q was pressed, or `stop` is set."""
        read: list[int] = [stop.fileno(), self._suspended.fileno()]
        if self._restore is not None:
            read.append(sys.stdin.fileno())
        ready, _, _ = select.select(read, [], [], seconds)
        if stop.is_set():
            return True
        if self._suspended.is_set():
            self._suspend()
            return False
        # Not through sys.stdin, whose buffer `select` does not see; b"" is the end of the input.
        return bool(ready) and os.read(sys.stdin.fileno(), 64)[:1] in _QUIT

    def __enter__(self) -> Self:
        self._begin()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _begin(self) -> None:
        if sys.stdin is not None and sys.stdin.isatty():
            self._restore = partial(termios.tcsetattr, sys.stdin, termios.TCSADRAIN, termios.tcgetattr(sys.stdin))
            tty.setcbreak(sys.stdin)
        _write(_ENTER)
        self._suspended = Flag()
        self._on_suspend = signal.signal(signal.SIGTSTP, lambda number, frame: self._suspended.set())

    def _end(self) -> None:
        signal.signal(signal.SIGTSTP, self._on_suspend)
        # The terminal may be gone: a closed window, a lost connection.
        with suppress(OSError, termios.error):
            sys.stdout.write(_LEAVE)
            sys.stdout.flush()
            if self._restore is not None:
                self._restore()

    def _suspend(self) -> None:
        """Give the terminal back to the shell until the process is resumed: Ctrl-Z, later `fg`."""
        self._end()
        signal.raise_signal(signal.SIGTSTP)
        self._begin()


def _write(text: str) -> None:
    with to_stdout():
        sys.stdout.write(text)
