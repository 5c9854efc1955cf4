"""When to stop: the first signal stops gracefully, the second at once; a deadline also stops a run."""

import os
import select
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Self

STOP_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
"""What stops a command; SIGHUP comes when its terminal closes or its connection is lost."""


class Flag:
    """An event that signal handlers may set.

    Not threading.Event: its `set` takes a lock that the interrupted `wait` may hold.
    """

    def __init__(self) -> None:
        self._set = False
        self._wakers: list[Callable[[], None]] = []
        self._read, self._write = os.pipe()

    def is_set(self) -> bool:
        """Whether `set` was called."""
        return self._set

    def set(self) -> None:
        """Wake every waiter, now and later."""
        if not self._set:
            self._set = True
            os.write(self._write, b".")
            for waker in self._wakers:
                waker()

    def wake(self, waker: Callable[[], None]) -> None:
        """Call `waker` when the flag is set; it may run in a signal handler, so it must take no lock."""
        self._wakers.append(waker)
        if self._set:
            waker()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until set, at most `timeout` seconds; return whether it is set."""
        if not self._set:
            # No waiter reads the byte, so the pipe stays readable for all.
            poll = select.poll()
            poll.register(self._read, select.POLLIN)
            poll.poll(None if timeout is None else max(0.0, timeout) * 1000)
        return self._set

    def fileno(self) -> int:
        """Return a descriptor that becomes readable once the flag is set, for `select`."""
        return self._read

    def __del__(self) -> None:
        os.close(self._read)
        os.close(self._write)


class Stop:
    """Inside `with Stop() as stop:` the first SIGTERM, SIGINT or SIGHUP sets `stop.requested`, a second ends the process.

    SIGHUP never counts as the second: shell and kernel each send one when a terminal closes, and systemd one beside
    SIGTERM (SendSIGHUP=). Under nohup, which starts a command with SIGHUP ignored, it stays ignored.

    Handlers are installed in the main thread only; leaving the block restores the previous ones, but after a SIGHUP
    ignores further ones. `max_seconds` counts from construction.
    """

    def __init__(self, *, max_seconds: float | None = None) -> None:
        self.requested = Flag()
        self._first: int | None = None
        self._deadline = None if max_seconds is None else time.monotonic() + max_seconds
        self._previous: dict[int, signal._HANDLER] = {}

    @property
    def interrupted(self) -> bool:
        """Whether the first signal was SIGINT (Ctrl-C), which gives exit code 130."""
        return self._first == signal.SIGINT

    @property
    def remaining(self) -> float | None:
        """The seconds until the deadline, never below 0; None without one."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    @property
    def expired(self) -> bool:
        """Whether `max_seconds` have passed."""
        return self.remaining == 0.0

    def is_set(self) -> bool:
        """Whether to take no more work: after a stop request or the deadline."""
        return self.requested.is_set() or self.expired

    def wait(self, timeout: float | None = None) -> bool:
        """Block until it is time to stop, at most `timeout` seconds; return whether it is."""
        left = [seconds for seconds in (timeout, self.remaining) if seconds is not None]
        self.requested.wait(min(left, default=None))
        return self.is_set()

    def request(self) -> None:
        """Request a stop, as a first signal does."""
        self.requested.set()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            is_nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            numbers = STOP_SIGNALS - {signal.SIGHUP} if is_nohup else STOP_SIGNALS
            self._previous = {number: signal.signal(number, self._handle) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            is_hung_up = number == signal.SIGHUP == self._first
            signal.signal(number, signal.SIG_IGN if is_hung_up else handler)
        self._previous = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        is_second = self.requested.is_set()
        if is_second and number == signal.SIGHUP:
            return
        if is_second and self._first != signal.SIGHUP:
            # The default action of the signal, so that no clean-up delays the end. The next run finishes the work.
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self._first = number
        self.requested.set()
