"""The processes of a server: one that dies is replaced."""

import logging
import multiprocessing
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import TypeAlias

from imgctl.errors import ImgctlError, WorkerError
from imgctl.run import service
from imgctl.run.pools.child import reason_of
from imgctl.run.stop import Stop
from imgctl.run.telemetry.prometheus import process_died

AddressPipe: TypeAlias = "Connection[str | ImgctlError, str | ImgctlError]"
"""Where a process sends its address once it listens, or the error that keeps it from listening."""

# Between two attempts to start a process in place of one that could not start.
RESTART_SECONDS = 1.0

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Child:
    """A serving process: its address once it listens, or the error that kept it from listening."""

    process: SpawnProcess
    pipe: AddressPipe
    address: str = ""
    error: ImgctlError | None = None
    is_read: bool = False

    def handles(self) -> "list[int | AddressPipe]":
        """Return what `wait` waits for: the end of the process, and its message until it is read."""
        return [self.process.sentinel] if self.is_read else [self.process.sentinel, self.pipe]

    def read(self) -> None:
        """Read the message of the process if it has arrived."""
        if self.is_read or not self.pipe.poll():
            return
        self.is_read = True
        # Without a message the process ended.
        with suppress(EOFError, OSError), self.pipe:
            message = self.pipe.recv()
            if isinstance(message, ImgctlError):
                self.error = message
            else:
                self.address = message


class Processes:
    """Processes that accept from one listening socket; one that dies is replaced.

    A replacement that cannot start is tried again every second while another process is there.
    """

    def __init__(self, listener: socket.socket, serve: Callable[..., None], arguments: tuple[object, ...]) -> None:
        """Each process runs `serve` with the listener, the arguments and its AddressPipe."""
        self._listener = listener
        self._serve, self._arguments = serve, (listener, *arguments)
        self._children: list[_Child] = []
        self._is_ready = False
        # When to start the replacements that could not start before.
        self._due: list[float] = []
        # Why replacements could not start, since one last could: each cause is logged once.
        self._causes: set[str] = set()

    def run(self, processes: int, *, stop: Stop, ready: Callable[[str], None]) -> None:
        """Serve until `stop` is set.

        Raises the error of a process that cannot start, WorkerError if it just ends: at the beginning, and later when
        no other process is left.
        """
        try:
            for _ in range(processes):
                self._start()
            while not stop.is_set():
                self._announce(processes, ready)
                service.alive()
                handles = [handle for child in self._children for handle in child.handles()]
                ended = set(wait([stop.requested.fileno(), *handles], self._seconds()))
                for child in list(self._children):
                    child.read()
                    if child.process.sentinel in ended:
                        self._replace(child)
                self._start_due()
        finally:
            # Connections are refused from now on, rather than queued until the last process ends.
            self._listener.close()
            for child in self._children:
                child.process.terminate()
            for child in self._children:
                child.process.join()

    def _start(self) -> None:
        spawn = multiprocessing.get_context("spawn")
        try:
            here, there = spawn.Pipe(duplex=False)
            with there:
                process = spawn.Process(target=self._serve, args=(*self._arguments, there))
                process.start()
        except OSError as error:
            # Too many processes or open files.
            self._failed(WorkerError(f"cannot start a process of the server: {error.strerror or error}"))
            return
        self._children.append(_Child(process, here))

    def _announce(self, processes: int, ready: Callable[[str], None]) -> None:
        """Call `ready` once all processes listen."""
        addresses = [child.address for child in self._children if child.address]
        if len(addresses) == processes:
            self._causes.clear()
            if not self._is_ready:
                self._is_ready = True
                ready(addresses[0])

    def _replace(self, child: _Child) -> None:
        self._children.remove(child)
        child.process.join()
        process_died(child.process.pid or 0)
        reason = reason_of(child.process.exitcode)
        if child.address:
            log.warning("process %d of the server %s; another one starts", child.process.pid, reason)
            self._start()
        else:
            self._failed(child.error or WorkerError(f"a process of the server {reason}", hint="see its log"))

    def _failed(self, error: ImgctlError) -> None:
        """Start another process later in place of one that could not start; raise its error if none is left."""
        if not self._is_ready or not self._children:
            raise error
        if error.line not in self._causes:
            self._causes.add(error.line)
            log.warning("a replacement could not start, and is tried again every second: %s", error.line)
        self._due.append(time.monotonic() + RESTART_SECONDS)

    def _start_due(self) -> None:
        now = time.monotonic()
        due = [at for at in self._due if at <= now]
        self._due = [at for at in self._due if at > now]
        for _ in due:
            self._start()

    def _seconds(self) -> float | None:
        """Return how long the parent may wait: until the next start, or the next notification of the watchdog."""
        waits = [service.watchdog_seconds(), *(max(0.0, at - time.monotonic()) for at in self._due)]
        return min((one for one in waits if one is not None), default=None)
