"""A pool of this machine's processes that survives the death of any of them.

Each child has its own pipe, and one thread waits on all of them: a child that dies, hangs or is killed idle loses its
own task and no other. (pebble shares one pipe and one lock among its children; there, the death of an idle child
breaks the pool.)
"""

import atexit
import multiprocessing
import os
import pickle
import selectors
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import TypeVar, cast

from imgctl import __version__
from imgctl.errors import WorkerError
from imgctl.run.limits import cores
from imgctl.run.pools.child import NO_MEMORY, STOPPED, TOO_LARGE, Job, reason_of, serve, version_of
from imgctl.run.pools.pool import PoolSettings
from imgctl.run.stop import STOP_SIGNALS

T = TypeVar("T")
R = TypeVar("R")

# After this many deaths in a row before READY the pool is broken.
_MOST_STILLBORN = 10
_SECONDS_TO_EXIT = 5.0


class _Child:
    """One process, its pipe, and the task it holds."""

    def __init__(self, process: SpawnProcess, connection: Connection) -> None:
        self.process = process
        self.connection = connection
        self.job: Job | None = None
        self.ready = False
        self.finished = 0

    def end(self) -> int | None:
        """Close the pipe, which ends an idle child, and return the exit code."""
        self.connection.close()
        self.process.join(_SECONDS_TO_EXIT)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        exit_code = self.process.exitcode
        self.process.close()
        return exit_code


class LocalPool:
    """Processes started by `spawn`: neither obstore nor boto3 survives a fork."""

    def __init__(self, settings: PoolSettings) -> None:
        # Settings that cannot be pickled should fail here, not in the manager thread.
        pickle.dumps(settings.setup)
        self._settings = settings
        self._jobs = settings.jobs or cores()
        self._spawn = multiprocessing.get_context("spawn")
        self._lock = threading.Lock()
        self._waiting: deque[Job] = deque()
        self._children: list[_Child] = []
        self._stillborn = 0
        self._closing = False
        self._now = False
        self._broken: WorkerError | None = None
        self._selector = selectors.DefaultSelector()
        self._wake, self._waker = socket.socketpair()
        self._waker.settimeout(0)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._manager = threading.Thread(target=self._manage, name="imgctl pool", daemon=True)
        self._manager.start()
        atexit.register(self.close, now=True)

    def slots(self) -> int:
        """Return the number of processes, started or not yet started."""
        return self._jobs

    def submit(self, task: Callable[[T], R], argument: T) -> Future[R]:
        """Queue a task; WorkerError when the pool is closed or broken, PicklingError when pickling fails."""
        future: Future[R] = Future()
        job = Job(pickle.dumps((task, argument)), cast("Future[object]", future))
        with self._lock:
            if self._broken:
                raise self._broken
            if self._closing:
                raise WorkerError("the pool is closed")
            self._waiting.append(job)
            self._notify()
        return future

    def close(self, *, now: bool = False) -> None:
        """Finish the submitted tasks, or (`now`) kill running and cancel queued ones; waits for the end of all processes."""
        with self._lock:
            self._closing = True
            self._now = self._now or now
            self._notify()
        self._manager.join()
        atexit.unregister(self.close)

    def _notify(self) -> None:
        # A full pipe wakes the manager too; when it is closed, the manager has ended.
        with suppress(OSError):
            self._waker.send(b".")

    def _manage(self) -> None:
        try:
            while not self._done():
                self._hand_out()
                self._wait()
        finally:
            self._end()

    def _done(self) -> bool:
        with self._lock:
            idle = not self._waiting and not any(child.job for child in self._children)
            return self._now or self._broken is not None or (self._closing and idle)

    def _hand_out(self) -> None:
        for child in [child for child in self._children if child.ready and not child.job]:
            job = self._next_job(child)
            if job is not None:
                self._give(child, job)
        starting = sum(not child.ready for child in self._children)
        wanted = min(len(self._waiting) - starting, self._jobs - len(self._children))
        try:
            for _ in range(wanted):
                self._start()
        except OSError as error:
            # While other children live, the next message of one of them triggers a retry.
            if not self._children:
                self._broken = WorkerError(f"no worker process can be started: {error}")
                self._notify()

    def _next_job(self, child: _Child) -> Job | None:
        while True:
            with self._lock:
                job = next((job for job in self._waiting if not (job.alone and child.finished)), None)
                if job is not None:
                    self._waiting.remove(job)
            if job is None or job.start():
                return job

    def _give(self, child: _Child, job: Job) -> None:
        try:
            child.connection.send_bytes(job.payload)
            child.job = job
        except OSError:
            # The child died idle and never received the task.
            self._put_back(job)
            self._dead(child)

    def _start(self) -> None:
        # Children inherit the mask, so that no signal hits one before it can ignore it. The tracker starts first
        # because its start unblocks SIGINT and SIGTERM.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        here, there = self._spawn.Pipe()
        process = self._spawn.Process(
            target=serve,
            args=(there,),
            kwargs={
                "parent": os.getpid(),
                "memory_bytes": self._settings.memory_bytes,
                "setup": self._settings.setup,
            },
        )
        process.start()
        # Otherwise the pipe would not reach its end when the child dies.
        there.close()
        child = _Child(process, here)
        self._children.append(child)
        self._selector.register(here, selectors.EVENT_READ, child)

    def _wait(self) -> None:
        for key, _ in self._selector.select():
            if key.data is None:
                self._wake.recv(1 << 16)
            else:
                self._receive(key.data)

    def _receive(self, child: _Child) -> None:
        try:
            message = child.connection.recv_bytes()
        except (EOFError, OSError):
            self._dead(child)
            return
        job, child.job = child.job, None
        if job is None:
            self._ready(child, message)
            return
        if message == NO_MEMORY:
            self._remove(child)
            self._without_memory(child, job)
            return
        job.settle(message)
        child.finished += 1
        if child.finished == self._settings.recycle_after:
            self._remove(child)

    def _ready(self, child: _Child, message: bytes) -> None:
        """Note a started child; one of another version, after an upgrade, could not read tasks, nor its results be read."""
        version = version_of(message)
        if version != __version__:
            self._broken = WorkerError(
                f"imgctl was upgraded to {version} while this process runs", hint="start it again"
            )
            return
        child.ready = True
        self._stillborn = 0

    def _without_memory(self, child: _Child, job: Job) -> None:
        if child.finished:
            # Leftovers of earlier tasks may have used the memory.
            job.alone = True
            self._put_back(job)
        else:
            job.died(TOO_LARGE)

    def _put_back(self, job: Job) -> None:
        with self._lock:
            self._waiting.appendleft(job)

    def _remove(self, child: _Child) -> int | None:
        self._selector.unregister(child.connection)
        self._children.remove(child)
        return child.end()

    def _dead(self, child: _Child) -> None:
        reason = reason_of(self._remove(child))
        if child.job:
            child.job.died(reason)
        elif not child.ready:
            self._stillborn += 1
            if self._stillborn >= _MOST_STILLBORN:
                self._broken = WorkerError(f"the worker processes die at their start: each {reason}")

    def _end(self) -> None:
        with self._lock:
            self._closing = True
            waiting, self._waiting = self._waiting, deque()
        for job in waiting:
            if self._broken and job.start():
                job.future.set_exception(self._broken)
            else:
                job.drop()
        for child in self._children:
            if child.job:
                child.process.kill()
            # Kill all before joining any: each takes a while to end.
            child.connection.close()
        for child in self._children:
            child.end()
            if child.job and self._broken:
                # No task is to blame.
                child.job.future.set_exception(self._broken)
            elif child.job:
                child.job.died(STOPPED)
        self._selector.close()
        self._wake.close()
        self._waker.close()
