"""Both ends of a local pool's pipe: the loop of a child process, the task it holds, and the reason of its death."""

import ctypes
import os
import pickle
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol

import imgctl
from imgctl.errors import WorkerError
from imgctl.run.limits import limit_memory
from imgctl.run.pools.pool import ChildDied
from imgctl.run.stop import STOP_SIGNALS

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

TOO_LONG = "took longer than its time limit"
TOO_LARGE = "used more memory than allowed"
STOPPED = "was stopped with its pool"

_PR_SET_PDEATHSIG = 1


class Message(IntEnum):
    """The kind of a child's message; a message is a pair of kind and value."""

    READY = 0
    VALUE = 1
    ERROR = 2


# Pickled here, as there may be no memory to do it later.
NO_MEMORY = pickle.dumps(TOO_LARGE)
"""A child's last message: it had no memory for its task or for the result."""


class Channel(Protocol):
    """Where tasks arrive and results go: a `Connection`, or the pipes of a TaskProcess."""

    def send_bytes(self, data: bytes, /) -> None:
        """Send one message; OSError when the other end is closed."""

    def recv_bytes(self) -> bytes:
        """Return the next message; EOFError when the other end is closed."""


class Job:
    """A pickled task, and the future that waits for its result.

    `alone`: only a process that has run no other task may take it.
    """

    def __init__(self, payload: bytes, future: Future[object]) -> None:
        self.payload = payload
        self.future = future
        self.alone = False
        self._running = False

    def start(self) -> bool:
        """Mark the task as running, so that it cannot be cancelled; False if it was cancelled before."""
        self._running = self._running or self.future.set_running_or_notify_cancel()
        return self._running

    def drop(self) -> None:
        """End the future of a task that the stopping pool never ran."""
        if self._running:
            # It was sent to a child that died idle, and a running future cannot be cancelled.
            self.died(STOPPED)
        else:
            self.future.cancel()
            self.future.set_running_or_notify_cancel()

    def died(self, reason: str) -> None:
        """End the future with ChildDied: the child process ended before the task."""
        self.future.set_exception(ChildDied(reason))

    def settle(self, message: bytes) -> None:
        """End the future with the child's message."""
        try:
            self.future.set_result(result_of(message))
        except Exception as error:
            # Unpickling a value may raise any error.
            self.future.set_exception(error)


def version_of(message: bytes) -> str:
    """Return the version of imgctl in a child's READY message."""
    _, version = pickle.loads(message)  # noqa: S301 - from a child of this process
    return str(version)


def result_of(message: bytes) -> object:
    """Return the value of a child's message, or raise its error, whose note says where it was raised."""
    kind, value = pickle.loads(message)  # noqa: S301 - from a child of this process
    if kind is Message.VALUE:
        return value
    failure, where = value
    failure.add_note(where)
    raise failure


def serve(connection: "Connection", *, parent: int, memory_bytes: int, setup: Callable[[], None] | None) -> None:
    """Run tasks from `connection`, one at a time in the main thread, until the other end closes; READY comes first."""
    become_child(parent)
    if memory_bytes:
        limit_memory(memory_bytes)
    if setup is not None:
        setup()
    with suppress(OSError):
        connection.send((Message.READY, imgctl.__version__))
    serve_tasks(connection)


def become_child(parent: int) -> None:
    """Leave signals to the process `parent`, end with it, and be the first to go where memory is short."""
    die_with(parent)
    _ignore_signals()
    _die_cheaply()


def serve_tasks(connection: Channel) -> NoReturn:
    """Run tasks from `connection` until the other end closes, or memory is short; then end the process."""
    with suppress(EOFError, OSError):
        with suppress(MemoryError):
            while True:
                connection.send_bytes(_run(connection.recv_bytes()))
        # The process ends after this message: a task that ran out of memory may have left any state behind.
        connection.send_bytes(NO_MEMORY)
    # Not an orderly exit: clean-up code of C libraries has nothing to save, and may hang.
    os._exit(0)


def reason_of(exit_code: int | None) -> str:
    """Return why a child ended, from its `multiprocessing` exit code (-N: signal N)."""
    if exit_code is None or exit_code >= 0:
        return f"ended its process with exit code {exit_code}"
    number = -exit_code
    if number == signal.SIGALRM:
        return TOO_LONG
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    if number == signal.SIGKILL:
        return f"killed by signal {number} ({name}): out of memory?"
    if number in STOP_SIGNALS:
        return f"killed by signal {number} ({name})"
    # GLib, which libvips uses, aborts when out of memory.
    return f"crashed ({name}): out of memory?" if number == signal.SIGABRT else f"crashed ({name})"


def _run(payload: bytes) -> bytes:
    """Run the task and return its value or error as a message; MemoryError when there is no memory for either."""
    try:
        task, argument = pickle.loads(payload)  # noqa: S301 - from the parent process
        return pickle.dumps((Message.VALUE, task(argument)))
    except MemoryError:
        raise
    except Exception as error:
        # Any exception of a task goes to its future.
        return pickle.dumps((Message.ERROR, _portable(error)))


def _portable(error: Exception) -> tuple[Exception, str]:
    where = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301
    except MemoryError:
        raise
    except Exception:
        # Pickling an exception may raise any error.
        return WorkerError(f"{type(error).__name__}: {error}"), where
    return error, where


def die_with(parent: int) -> None:
    """End this process at once when the thread that started it in process `parent` ends."""
    if sys.platform == "linux":
        # Safe: a pool's manager thread and a server's main thread outlive their children.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def _ignore_signals() -> None:
    # Ctrl-C, a closed terminal and a service manager signal the whole group, but only the parent decides which tasks
    # still finish.
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {*STOP_SIGNALS, signal.SIGALRM})


def _die_cheaply() -> None:
    # A crash is reported with its picture; core files would fill the disk.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # When the machine runs out of memory, the kernel should kill the process that holds one picture, not the parent.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")
