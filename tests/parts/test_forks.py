"""The harness itself: what a run reports must not depend on who else waits."""

import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from tests.parts.forks import Fork, fork

THREADS = 8


def test_every_thread_that_waits_reads_the_exit_code() -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(30):
            process, together = fork(sys.exit, 7), Barrier(THREADS)

            assert list(pool.map(_waited, [process] * THREADS, [together] * THREADS)) == [7] * THREADS


def _waited(process: Fork, together: Barrier) -> int | None:
    together.wait()
    process.join()
    return process.exitcode
