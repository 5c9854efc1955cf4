"""A child process that runs one task at a time, for the thread that waits for it."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from threading import Lock
from typing import IO, TypeVar, cast

from imgctl.run.pools.child import NO_MEMORY, TOO_LARGE, become_child, reason_of, result_of, serve_tasks
from imgctl.run.pools.pool import ChildDied

T = TypeVar("T")
R = TypeVar("R")

# A new interpreter, because threads and C libraries of this one may not survive a fork; it imports from the same paths.
_PROGRAM = """
import gc, sys
gc.disable()
sys.path[:] = {path!r}
from imgctl.run.pools.task_process import serve
serve({parent}, {module!r})
"""
_LENGTH_BYTES = 8


class TaskProcess:
    """Starts the process at once, and another one for the first task after its death. Safe to share between threads.

    The process first imports `module`, without collecting garbage: its tasks say when to begin.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._start()

    def call(self, task: Callable[[T], R], argument: T) -> R:
        """Return `task(argument)`, or raise its error; ChildDied if the process ends before the task does.

        `task` is a module-level function and `argument` plain data.
        """
        payload = pickle.dumps((task, argument))
        with self._lock:
            process = self._process or self._start()
            assert process.stdout and process.stdin
            pipes = _Pipes(process.stdout, process.stdin)
            try:
                pipes.send_bytes(payload)
                message = pipes.recv_bytes()
            except (EOFError, OSError):
                # It has ended, or is about to: nothing else closes its pipes.
                exit_code = process.wait()
                self._end()
                raise ChildDied(reason_of(exit_code)) from None
            except BaseException:
                # The response would be taken for that of the next task.
                self._end()
                raise
            if message == NO_MEMORY:
                self._end()
                raise ChildDied(TOO_LARGE)
        return cast("R", result_of(message))

    def close(self) -> None:
        """Kill the process, once no task is running."""
        with self._lock:
            self._end()

    def _start(self) -> subprocess.Popen[bytes]:
        program = _PROGRAM.format(path=sys.path, parent=os.getpid(), module=self._module)
        # Not in the terminal's process group: Ctrl-C is for this process, which decides what still finishes.
        self._process = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0
        )
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                assert stream
                with suppress(OSError):
                    stream.close()


class _Pipes:
    """Messages over a pair of pipes, each behind its length."""

    def __init__(self, reader: IO[bytes], writer: IO[bytes]) -> None:
        self._reader, self._writer = reader, writer

    def send_bytes(self, data: bytes, /) -> None:
        self._writer.write(len(data).to_bytes(_LENGTH_BYTES))
        self._writer.write(data)
        self._writer.flush()

    def recv_bytes(self) -> bytes:
        return self._read(int.from_bytes(self._read(_LENGTH_BYTES)))

    def _read(self, size: int) -> bytes:
        data = self._reader.read(size)
        if len(data) < size:
            raise EOFError
        return data


def serve(parent: int, module: str) -> None:
    """Run the tasks of the process `parent`, which arrive at stdin, until it closes its end; results go to stdout."""
    become_child(parent)
    pipes = _Pipes(sys.stdin.buffer, os.fdopen(os.dup(1), "wb"))
    # Whatever a library prints must not lie between the results.
    os.dup2(2, 1)
    import_module(module)
    serve_tasks(pipes)
