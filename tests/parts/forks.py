"""Processes forked from a server that has imported everything: a run then costs milliseconds, not a start-up."""

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing import popen_forkserver
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from multiprocessing.process import BaseProcess
from threading import Lock

multiprocessing.get_context("forkserver").set_forkserver_preload(["tests.whole.preload", "tests.whole.deployment"])


class Fork(ForkServerProcess):
    """A process whose exit code any thread may read."""

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> popen_forkserver.Popen:
        return _Popen(process_obj)


class _Popen(popen_forkserver.Popen):
    """Lets one thread at a time read the exit code.

    The server writes it once into a pipe. Any start of a process reads those of all others, so that the thread that
    waits for one may find its pipe empty and would report 255.
    """

    def __init__(self, process_obj: BaseProcess) -> None:
        self._reading = Lock()
        super().__init__(process_obj)

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        if flag != os.WNOHANG:
            wait([self.sentinel])
        with self._reading:
            return super().poll()


def fork(function: Callable[..., None], *arguments: object) -> Fork:
    """Start a function in a process of its own."""
    process = Fork(target=function, args=arguments)
    process.start()
    return process
