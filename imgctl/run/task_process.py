"""A child process that runs one task at a time, for the thread that waits for it."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from threading import Lock
from typing import TypeVar, cast

from imgctl.run.child import NO_MEMORY, TOO_LARGE, become_child, reason_of, result_of, serve_tasks
from imgctl.run.pool import ChildDied

T = TypeVar("T")
R = TypeVar("R")

_SECONDS_TO_EXIT = 5.0
# A new interpreter, because threads and C libraries of this one may not survive a fork; it imports from the same paths.
_PROGRAM = """
import gc, sys
gc.disable()
sys.path[:] = {path!r}
from imgctl.run.task_process import serve
serve({descriptor}, {parent}, {module!r})
"""


class TaskProcess:
    """Starts the process at once, and another one for the first task after its death. Safe to share between threads.

    The process first imports `module`, without collecting garbage: its tasks say when to begin.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._lock = Lock()
        self._running: tuple[subprocess.Popen[bytes], Connection] | None = None
        self._start()

    def call(self, task: Callable[[T], R], argument: T) -> R:
        """Return `task(argument)`, or raise its error; ChildDied if the process ends before the task does.

        `task` is a module-level function and `argument` plain data.
        """
        payload = ForkingPickler.dumps((task, argument))
        with self._lock:
            _, connection = self._running or self._start()
            try:
                connection.send_bytes(payload)
                message = connection.recv_bytes()
            except (EOFError, OSError):
                raise ChildDied(reason_of(self._end())) from None
            except BaseException:
                # The response would be taken for that of the next task.
                self._end(kill=True)
                raise
            if message == NO_MEMORY:
                self._end()
                raise ChildDied(TOO_LARGE)
        return cast("R", result_of(message))

    def close(self) -> None:
        """End the process, once no task is running."""
        with self._lock:
            self._end()

    def _start(self) -> tuple[subprocess.Popen[bytes], Connection]:
        here, there = Pipe()
        program = _PROGRAM.format(path=sys.path, descriptor=there.fileno(), parent=os.getpid(), module=self._module)
        # Not in the terminal's process group: Ctrl-C is for this process, which decides what still finishes.
        process = subprocess.Popen(
            [sys.executable, "-c", program], pass_fds=[there.fileno()], stdin=subprocess.DEVNULL, process_group=0
        )
        # Otherwise the pipe would not reach its end when the process dies.
        there.close()
        self._running = process, here
        return self._running

    def _end(self, *, kill: bool = False) -> int | None:
        if self._running is None:
            return None
        (process, connection), self._running = self._running, None
        connection.close()
        with suppress(subprocess.TimeoutExpired):
            return process.wait(0 if kill else _SECONDS_TO_EXIT)
        process.kill()
        return process.wait()


def serve(descriptor: int, parent: int, module: str) -> None:
    """Run the tasks of the process `parent`, which arrive at a descriptor, until it closes its end."""
    become_child(parent)
    import_module(module)
    serve_tasks(Connection(descriptor))
