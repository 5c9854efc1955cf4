"""How far a run is: counters, and a bar on stderr when a person watches."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TextIO, cast

from imgctl.units import format_bytes


class _Bar(Protocol):
    """What this module uses of `tqdm`."""

    total: float | None

    def update(self, n: float) -> object: ...
    def set_postfix_str(self, s: str, *, refresh: bool) -> None: ...
    def clear(self, *, nolock: bool) -> None: ...
    def refresh(self, *, nolock: bool) -> None: ...
    def close(self) -> None: ...


# The bar on the screen, for `say`, and what orders all writes to it.
_lock = threading.RLock()
_shown: list["Progress"] = []


class Progress:
    """Counts items, bytes and failures, and draws them with rate and ETA where `shown` says so.

    `shown` None draws when stderr is a terminal. Safe to call from any thread; a stderr that is gone only ends the
    drawing. `total` None is unknown: no ETA then.
    """

    def __init__(self, *, total: int | None = None, unit: str = " images", shown: bool | None = None) -> None:
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
        """So many more items are done, of so many bytes together; `failed` of them did not work."""
        with self._drawing():
            self.items += items
            self.size += size
            self.failed += failed
            if self._bar is not None:
                self._bar.set_postfix_str(self._postfix(), refresh=False)
                self._bar.update(items)

    def expect(self, total: int) -> None:
        """The number of items is known, or known better."""
        with self._drawing():
            if self._bar is not None:
                self._bar.total = total
                self._bar.refresh(nolock=False)

    def say(self, line: str) -> None:
        """Print a line on stderr and leave the bar whole."""
        say(line)

    def close(self) -> None:
        """Leave the last state on the screen."""
        with self._drawing():
            bar, self._bar = self._bar, None
            if bar is not None:
                _shown.remove(self)
                bar.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def _postfix(self) -> str:
        size = format_bytes(self.size) if self.size else ""
        failed = f"{self.failed} failed" if self.failed else ""
        return ", ".join(filter(None, (size, failed)))

    @contextmanager
    def _drawing(self) -> Iterator[None]:
        with _lock:
            try:
                yield
            except (OSError, ValueError):
                # The run goes on unseen.
                self._bar = None
                if self in _shown:
                    _shown.remove(self)
                _give_up_stderr()

    @contextmanager
    def _aside(self) -> Iterator[None]:
        with self._drawing():
            if self._bar is not None:
                self._bar.clear(nolock=False)
        yield
        with self._drawing():
            if self._bar is not None:
                self._bar.refresh(nolock=False)


def say(line: str) -> None:
    """Print a line on stderr and leave a bar that is drawn there whole; a stderr that is gone is no error."""
    with _lock:
        if not _shown:
            _write(line)
            return
        with _shown[-1]._aside():  # noqa: SLF001 the same module
            _write(line)


def _write(line: str) -> None:
    stream: TextIO | None = sys.stderr
    if stream is not None:
        try:
            stream.write(f"{line}\n")
            stream.flush()
        except (OSError, ValueError):
            _give_up_stderr()


def _give_up_stderr() -> None:
    # What a broken stderr still holds would be written at the exit, and its failure be the exit code.
    sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 it stays open to the end


def _is_terminal() -> bool:
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except ValueError:
        return False


def _draw(total: int | None, unit: str) -> _Bar:
    from tqdm import tqdm

    # Its own default is a lock between processes, and a thread that watches for slow bars: neither is needed here.
    tqdm.set_lock(_lock)
    tqdm.monitor_interval = 0
    draw = cast("Callable[..., _Bar]", tqdm)
    return draw(total=total, unit=unit, file=sys.stderr, dynamic_ncols=True, mininterval=0.2, miniters=1)
