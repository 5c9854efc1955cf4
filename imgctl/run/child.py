"""Both ends of a local pool's pipe: what runs in a child process, the task it holds, and what its death meant."""

import ctypes
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from enum import IntEnum
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

from imgctl.errors import WorkerError
from imgctl.run.limits import limit_memory
from imgctl.run.pool import ChildDied

TOO_LONG = "took longer than its time limit"
TOO_LARGE = "used more memory than allowed"
STOPPED = "was stopped with its pool"

_PR_SET_PDEATHSIG = 1


class Said(IntEnum):
    """What a child's message is; a message is a pair of this and a value."""

    READY = 0
    VALUE = 1
    ERROR = 2


# Packed here, as there may be no memory to pack it later.
NO_MEMORY = bytes(ForkingPickler.dumps(TOO_LARGE))
"""A child's last message: it got no memory for its task, or for the answer."""


class Job:
    """A task as its child will read it, and the future that waits for the answer.

    `alone`: only a process that has run nothing else may take it.
    """

    def __init__(self, payload: memoryview, future: Future[object]) -> None:
        self.payload = payload
        self.future = future
        self.alone = False
        self._running = False

    def start(self) -> bool:
        """Whether the task is still wanted; from then on it cannot be cancelled."""
        self._running = self._running or self.future.set_running_or_notify_cancel()
        return self._running

    def drop(self) -> None:
        """The pool stops before the task has begun."""
        if self._running:
            # It was handed to a child that died idle, and a running future cannot be cancelled.
            self.died(STOPPED)
        else:
            self.future.cancel()
            self.future.set_running_or_notify_cancel()

    def died(self, reason: str) -> None:
        """The child that held the task ended first."""
        self.future.set_exception(ChildDied(reason))

    def settle(self, message: bytes) -> None:
        """End the future with what the child said."""
        try:
            said, value = ForkingPickler.loads(message)
        except Exception as error:
            # A value may refuse to arrive in any way it likes.
            self.future.set_exception(error)
            return
        if said is Said.VALUE:
            self.future.set_result(value)
            return
        failure, where = value
        failure.add_note(where)
        self.future.set_exception(failure)


def serve(connection: Connection, *, parent: int, memory_bytes: int, setup: Callable[[], None] | None) -> None:
    """Run tasks from `connection`, one at a time in the main thread, until the other end closes."""
    die_with(parent)
    _ignore_signals()
    _die_cheaply()
    if memory_bytes:
        limit_memory(memory_bytes)
    if setup is not None:
        setup()
    with suppress(EOFError, OSError):
        connection.send((Said.READY, None))
        with suppress(MemoryError):
            while True:
                connection.send_bytes(_answer(connection.recv_bytes()))
        # The process that says this ends: what got no memory may have left anything half done.
        connection.send_bytes(NO_MEMORY)
    # Not an orderly exit: clean-up code of C libraries has nothing to save here, and may hang.
    os._exit(0)


def reason_of(exit_code: int | None) -> str:
    """Why a child ended, from its exit code as `multiprocessing` gives it (-N: signal N)."""
    if exit_code is None or exit_code >= 0:
        return f"ended its process with exit code {exit_code}"
    number = -exit_code
    if number == signal.SIGALRM:
        return TOO_LONG
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    if number == signal.SIGKILL:
        return f"killed by signal {number} ({name}): out of memory?"
    if number in {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}:
        return f"killed by signal {number} ({name})"
    # GLib, below libvips, aborts where it gets no memory.
    return f"crashed ({name}): out of memory?" if number == signal.SIGABRT else f"crashed ({name})"


def _answer(payload: bytes) -> memoryview:
    """The task's value or error as a message; MemoryError where there is none left for either."""
    try:
        task, argument = ForkingPickler.loads(payload)
        return ForkingPickler.dumps((Said.VALUE, task(argument)))
    except MemoryError:
        raise
    except Exception as error:
        # Whatever a task raises belongs to its future.
        return ForkingPickler.dumps((Said.ERROR, _portable(error)))


def _portable(error: Exception) -> tuple[Exception, str]:
    where = "".join(traceback.format_exception(error))
    try:
        ForkingPickler.loads(ForkingPickler.dumps(error))
    except MemoryError:
        raise
    except Exception:
        # An exception may refuse to travel in any way it likes.
        return WorkerError(f"{type(error).__name__}: {error}"), where
    return error, where


def die_with(parent: int) -> None:
    """End this process at once when the thread that started it in process `parent` ends."""
    if sys.platform == "linux":
        # A pool's manager and a server's main thread outlive their children.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def _ignore_signals() -> None:
    # Ctrl-C and a service manager reach the whole group, but only the parent decides what still finishes.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGALRM})


def _die_cheaply() -> None:
    # A crash is reported with its picture; a core file of each would fill the disk.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # When the machine runs out of memory, the kernel should take the process that holds one picture, not the parent.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")
