"""A pool that is the calling thread: for tests, and for a debugger."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from imgctl.errors import WorkerError

T = TypeVar("T")
R = TypeVar("R")


class InlinePool:
    """Runs each task inside `submit`; a crash or an expired time limit ends the whole process."""

    def __init__(self) -> None:
        self._closed = False

    def slots(self) -> int:
        """One."""
        return 1

    def submit(self, task: Callable[[T], R], argument: T) -> Future[R]:
        """Run the task here and now; the future that comes back is done."""
        if self._closed:
            raise WorkerError("the pool is closed")
        future: Future[R] = Future()
        try:
            future.set_result(task(argument))
        except Exception as error:
            # The future carries it, as in any pool.
            future.set_exception(error)
        return future

    def close(self, *, now: bool = False) -> None:
        """Refuse further tasks."""
        self._closed = True
