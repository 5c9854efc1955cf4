"""Thread pools that don't delay an error: a block that ends by an exception doesn't wait for its threads."""

import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor  # noqa: TID251
from contextlib import contextmanager
from threading import Thread

# How long a command that ends by an error waits for its threads.
ERROR_WAIT_SECONDS = 1.0


@contextmanager
def thread_pool(count: int, *, name: str) -> Iterator[Executor]:
    """A pool of threads for the length of a block; see `end_threads`."""
    pool = open_threads(count, name=name)
    try:
        yield pool
    finally:
        end_threads(pool)


def open_threads(count: int, *, name: str) -> Executor:
    """A pool of threads, to be ended by `end_threads`."""
    return ThreadPoolExecutor(count, thread_name_prefix=f"imgctl {name}")


def end_threads(pool: Executor) -> None:
    """Wait for running tasks and cancel queued ones; during an exception wait for nothing: a task may hang."""
    pool.shutdown(wait=sys.exception() is None, cancel_futures=True)


def join_for_a_moment(threads: Iterable[Thread]) -> None:
    """Wait for threads that were stopped, at most ERROR_WAIT_SECONDS for all of them together."""
    ends_at = time.monotonic() + ERROR_WAIT_SECONDS
    for thread in threads:
        thread.join(max(0.0, ends_at - time.monotonic()))
