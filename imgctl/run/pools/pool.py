"""The interface of task pools; `run.open` opens an implementation."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol, TypeVar

from imgctl.errors import ImgctlError

T = TypeVar("T")
R = TypeVar("R")


class ChildDied(ImgctlError):
    """The process that held a task ended before the task did; `reason` says why, in plain words."""

    @property
    def reason(self) -> str:
        """Why, as a clause: `took longer than its time limit`, `crashed (SIGSEGV)`."""
        return self.message


class PoolGone(ChildDied):
    """The pool itself ended before the task did: no task is to blame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """The number of tasks that run at once, where they run, and their limits.

    `jobs` 0 is one for each core this process may use; `memory_bytes` 0 sets no limit. `scheduler` is None for local
    processes, `inline` for the calling thread, else the address of a Dask scheduler (which brings its own workers and
    memory limits). A process is replaced after `recycle_after` tasks (0: never), so that leaks of C libraries stay
    small. `setup` runs once in each local process before its first task: a module-level function, or a partial of one.
    """

    jobs: int = 0
    memory_bytes: int = 0
    scheduler: str | None = None
    recycle_after: int = 0
    setup: Callable[[], None] | None = None


class Pool(Protocol):
    """Where tasks run. The methods are safe to call from any thread."""

    def slots(self) -> int:
        """Return how many tasks can run at once now; 0 on a cluster without workers."""

    def submit(self, task: Callable[[T], R], argument: T) -> Future[R]:
        """Run `task(argument)`; the future ends with its value, its exception, or ChildDied.

        `task` is a module-level function and `argument` plain data. WorkerError when the pool is closed or broken.
        """

    def close(self, *, now: bool = False) -> None:
        """Finish the submitted tasks, or (`now`) kill running and cancel queued ones; leaves no process behind."""
