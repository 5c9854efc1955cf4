"""Pools of threads that nobody waits for once an error is on its way out."""

import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor  # noqa: TID251
from contextlib import contextmanager
from threading import Thread

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


def join_for_a_moment(threads: Iterable[Thread]) -> None:
    """Wait for threads that were told to end, ERROR_WAIT_SECONDS at most for all of them together."""
    ends_at = time.monotonic() + ERROR_WAIT_SECONDS
    for thread in threads:
        thread.join(max(0.0, ends_at - time.monotonic()))
