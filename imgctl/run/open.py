"""Opening the pool that the settings ask for: the calling thread, this machine's processes, or a Dask cluster."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from imgctl.errors import WorkerError
from imgctl.run.pool import Pool, PoolSettings

T = TypeVar("T")
R = TypeVar("R")

INLINE = "inline"


def open_pool(settings: PoolSettings) -> Pool:
    """The pool that `settings` ask for; ConfigError or WorkerError when it cannot be had."""
    if settings.scheduler == INLINE:
        return InlinePool()
    if settings.scheduler:
        from imgctl.run.dask import DaskPool

        return DaskPool(settings.scheduler)
    from imgctl.run.local import LocalPool

    return LocalPool(settings)


class InlinePool:
    """The calling thread, for tests and for a debugger: runs each task inside `submit`; a crash or an expired time limit ends the whole process."""

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
