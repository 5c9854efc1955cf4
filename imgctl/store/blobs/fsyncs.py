"""Fsyncs of directories, shared between threads that write into one at the same time."""

import os
from concurrent.futures import Future, wait
from pathlib import Path
from threading import Lock


class SharedSyncs:
    """Fsyncs of directories, shared: callers that arrive during an fsync all wait for the same next one.

    An fsync covers all calls made before it began. Thread-safe.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._running: dict[Path, Future[None]] = {}
        self._next: dict[Path, Future[None]] = {}

    def sync(self, directory: Path) -> None:
        """Make the directory's entries of this moment survive a power cut; raises OSError."""
        with self._lock:
            mine = self._next.get(directory)
            if leads := mine is None:
                mine = self._next[directory] = Future()
            before = self._running.get(directory)
        if not leads:
            mine.result()
            return
        if before is not None:
            wait((before,))
        with self._lock:
            self._running[directory] = self._next.pop(directory)
        try:
            sync_directory(directory)
        except BaseException as error:
            mine.set_exception(error)
            raise
        else:
            mine.set_result(None)
        finally:
            with self._lock:
                if self._running.get(directory) is mine:
                    del self._running[directory]


def sync_directory(directory: Path) -> None:
    """Make the directory's entries survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
