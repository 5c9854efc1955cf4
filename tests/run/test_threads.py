"""Leaving a thread pool waits for its threads, except during an exception."""

import threading

import pytest

from imgctl.run.threads import thread_pool


def test_a_block_that_ends_normally_waits_for_running_tasks() -> None:
    begun, go, ended = threading.Event(), threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        go.wait()
        ended.set()

    with thread_pool(1, name="slow") as pool:
        pool.submit(slow)
        begun.wait()
        threading.Timer(0.01, go.set).start()

    assert ended.is_set()


def test_an_error_cancels_queued_tasks_and_waits_for_none() -> None:
    begun, go = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        go.wait()

    with pytest.raises(ZeroDivisionError), thread_pool(1, name="hang") as pool:
        pool.submit(hang)
        queued = pool.submit(hang)
        begun.wait()
        raise ZeroDivisionError

    assert not go.is_set()
    assert queued.cancelled()
    go.set()
