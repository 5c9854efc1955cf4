"""Opens the configured pool: the calling thread, this machine's processes, or a Dask cluster."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from imgctl.errors import WorkerError
from imgctl.run.pools.pool import Pool, PoolSettings

T = TypeVar("T")
R = TypeVar("R")

INLINE = "inline"


def open_pool(settings: PoolSettings) -> Pool:
    """Return the pool for `settings`; ConfigError or WorkerError when it cannot be opened."""
    if settings.scheduler == INLINE:
        return InlinePool()
    if settings.scheduler:
        from imgctl.run.pools.dask import DaskPool

        return DaskPool(settings.scheduler)
    from imgctl.run.pools.local import LocalPool

    return LocalPool(settings)


class InlinePool:
    """A pool in the calling thread, for tests and debuggers: runs each task inside `submit`.

    A crash or an expired time limit ends the whole process.
    """

    def __init__(self) -> None:
        self._closed = False

    def slots(self) -> int:
        """Return 1."""
        return 1

    def submit(self, task: Callable[[T], R], argument: T) -> Future[R]:
        """Run the task now; the returned future is done."""
        if self._closed:
            raise WorkerError("the pool is closed")
        future: Future[R] = Future()
        try:
            future.set_result(task(argument))
        except Exception as error:
            # The future holds the error, as in any pool.
            future.set_exception(error)
        return future

    def close(self, *, now: bool = False) -> None:
        """Reject further tasks."""
        self._closed = True
