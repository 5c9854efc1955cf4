"""The progress of a run: counters, and a bar on stderr if that is a terminal."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, Self, TextIO, cast

from imgctl.run.closed_stream import silence
from imgctl.units import counts_of, format_bytes

# A terminal echoes ^C behind the line, and wraps at its last column.
_MARGIN = 3
_NARROWEST_BAR = 8


class _Bar(Protocol):
    """What this module uses of `tqdm`."""

    total: float | None

    def update(self, n: float) -> object: ...
    def set_postfix_str(self, s: str, *, refresh: bool) -> None: ...
    def refresh(self, *, nolock: bool) -> None: ...
    def display(self, msg: str) -> object: ...
    def close(self) -> None: ...


# The bars on the screen, for `aside`, and the lock that orders all writes to the terminal.
_lock = threading.RLock()
_shown: list["Progress"] = []
# How long `end_drawing` waits for a thread that holds the lock.
_SECONDS_TO_ERASE = 1.0


class Progress:
    """Counts items, bytes and failures, and draws them with rate and ETA if `shown`.

    `shown` None draws when stderr is a terminal. Safe to call from any thread; a closed stderr only ends the
    drawing. With `total` None (unknown) there is no percentage and no ETA. `unit` is a plural: `images`.
    """

    def __init__(self, *, total: int | None = None, unit: str = "images", shown: bool | None = None) -> None:
        self.items = 0
        self.size = 0
        self.failed = 0
        self._bar: _Bar | None = None
        wanted = _is_terminal() if shown is None else shown
        if wanted and sys.stderr is not None:
            with self._drawing():
                self._bar = _draw(total, unit)
                _shown.append(self)

    def advance(self, items: int = 1, *, size: int = 0, failed: int = 0) -> None:
        """Count finished items and their bytes; `failed` is how many of them failed."""
        with _lock:
            self.items += items
            self.size += size
            self.failed += failed
        if self._bar is None:
            return
        with self._drawing():
            if self._bar is not None:
                self._bar.set_postfix_str(self._postfix(), refresh=False)
                self._bar.update(items)

    def expect(self, total: int) -> None:
        """Set the total number of items, once it is known or better known."""
        with self._drawing():
            if self._bar is not None:
                self._bar.total = total
                self._bar.refresh(nolock=False)

    def say(self, line: str) -> None:
        """Print a line on stderr without breaking the bar."""
        say(line)

    def close(self) -> None:
        """Remove the bar from the screen: the command's last line repeats its figures."""
        with self._drawing():
            bar, self._bar = self._bar, None
            if bar is not None:
                _shown.remove(self)
                bar.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _postfix(self) -> str:
        failed = counts_of({"failed": self.failed}, none="")
        size = format_bytes(self.size) if self.size else ""
        return ", ".join(filter(None, (failed, size)))

    @contextmanager
    def _drawing(self) -> Iterator[None]:
        with _lock:
            try:
                yield
            except (OSError, ValueError):
                # The run continues without a bar.
                self._bar = None
                if self in _shown:
                    _shown.remove(self)
                silence(sys.stderr)

    def erase(self) -> None:
        """Erase the bar until it is drawn again."""
        with self._drawing():
            if self._bar is not None:
                self._bar.display("")

    def draw(self) -> None:
        """Draw the bar with its current values."""
        with self._drawing():
            if self._bar is not None:
                self._bar.refresh(nolock=False)


def say(line: str) -> None:
    """Print a line on stderr without breaking a bar there; a closed stderr is ignored."""
    with aside():
        _write(line)


def printable(text: str) -> str:
    """Escape a text to one terminal line: file names may hold newlines, control characters and invalid UTF-8."""
    if text.isprintable():
        return text
    kept = (char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return "".join(kept).encode(errors="backslashreplace").decode()


@contextmanager
def aside() -> Iterator[None]:
    """Erase the bar during the block, and block all other writes to the terminal."""
    with _lock:
        if not _shown:
            yield
            return
        bar = _shown[-1]
        bar.erase()
        try:
            yield
        finally:
            bar.draw()


def end_drawing() -> None:
    """Remove the bar for good, without waiting long for other threads: the process is about to end."""
    # A thread may hang while it holds the lock, for example on a suspended terminal.
    if _lock.acquire(timeout=_SECONDS_TO_ERASE):
        try:
            while _shown:
                _shown[-1].close()
        finally:
            _lock.release()


def _write(line: str) -> None:
    stream: TextIO | None = sys.stderr
    if stream is not None:
        try:
            stream.write(f"{line}\n")
            stream.flush()
        except (OSError, ValueError):
            silence(stream)


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except ValueError:
        return False


def _columns(stream: TextIO) -> int:
    """Return the width of a terminal; 0 for any other stream."""
    try:
        return (os.get_terminal_size(stream.fileno()).columns or 80) if stream.isatty() else 0
    except (OSError, ValueError):
        return 0


def _draw(total: int | None, unit: str) -> _Bar:
    from tqdm import tqdm

    # By default tqdm uses a lock between processes, and a thread that watches for slow bars: neither is needed here.
    tqdm.set_lock(_lock)
    tqdm.monitor_interval = 0
    # tqdm decides when to draw and computes the rate; this module formats the text and writes it to the screen.
    ours = {"format_meter": staticmethod(meter), "status_printer": staticmethod(_printer)}
    draw = cast("Callable[..., _Bar]", type("Bar", (tqdm,), ours))
    return draw(total=total, unit=unit, file=sys.stderr, dynamic_ncols=True, miniters=1, leave=False, disable=False)


def _printer(stream: TextIO) -> Callable[[str], None]:
    """Return a function that replaces the whole terminal row by a line, also what a user typed there: ^C."""
    last = 0

    def show(line: str) -> None:
        nonlocal last
        blank = " " * (_columns(stream) - 1 if _columns(stream) else last)
        stream.write(f"\r{blank}\r{line}")
        stream.flush()
        last = len(line)

    return show


def meter(
    n: int,
    total: int | None,
    elapsed: float,
    *,
    unit: str,
    ncols: int | None = None,
    rate: float | None = None,
    postfix: str | None = None,
    ascii: bool = False,  # noqa: A002 (as tqdm calls it)
    **_: object,
) -> str:
    """Format ` 45% █████▊   45/100 images, 1 failed, 3.0 MiB, 3.6/s, 00:12, 00:15 left`, cut to fit into `ncols`.

    The parameters are those of tqdm's `format_meter`. Percentage, bar and time left need a total that is not exceeded.
    """
    from tqdm.std import Bar, tqdm

    clock = tqdm.format_interval
    of = total if total and n <= total else None
    rate = rate or (n / elapsed if elapsed else 0.0)
    count = f"{n:,}/{of:,}" if of else f"{n:,}"
    parts = [f"{count} {unit.removesuffix('s') if (of or n) == 1 else unit}"]
    parts += postfix.split(", ") if postfix else []
    parts += [_rate(rate)] if rate else []
    parts += [clock(elapsed)]
    parts += [f"{clock((of - n) / rate)} left"] if of and rate else []
    width = (ncols or 80) - _MARGIN
    percent = f"{100 * n // of:3}% " if of else ""
    text = parts[0]
    for part in parts[1:]:
        if len(percent) + len(text) + 2 + len(part) > width:
            break
        text += f", {part}"
    room = width - len(percent) - len(text) - 1
    bar = f"{Bar(n / of, room, '-#' if ascii else Bar.UTF)} " if of and room >= _NARROWEST_BAR else ""
    return f"{percent}{bar}{text}"[: max(width, 0)]


def _rate(rate: float) -> str:
    return f"{rate:,.0f}/s" if rate >= 100 else f"{rate:.1f}/s" if rate >= 1 else f"{rate:.2f}/s"
