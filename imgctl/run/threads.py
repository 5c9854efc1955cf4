"""Pools of threads that nobody waits for once an error is on its way out."""

import sys
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor  # noqa: TID251
from contextlib import contextmanager

# How long an error that ends a command waits for what its threads are at.
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
    """Wait for what runs and drop what does not; while an error passes, wait for nothing: it may hang."""
    pool.shutdown(wait=sys.exception() is None, cancel_futures=True)
