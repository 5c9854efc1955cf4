"""Programs that tests start as separate processes: `python -m tests.run.parent NAME ARGUMENT…`."""

import os
import resource
import signal
import sys

from imgctl.errors import WorkerError
from imgctl.run.pools.open import open_pool
from imgctl.run.pools.pool import PoolSettings
from imgctl.run.progress import Progress
from imgctl.run.stop import STOP_SIGNALS, Stop
from tests.run import tasks


def hang(*fifos: str) -> None:
    """Hold children that write their ids and never end."""
    pool = open_pool(PoolSettings(jobs=len(fifos)))
    for future in [pool.submit(tasks.write_pid_and_hang, fifo) for fifo in fifos]:
        future.result()


def drain(started: str, go: str) -> None:
    """Finish the task in flight when a signal arrives, then print its result."""
    with Stop() as stop:
        pool = open_pool(PoolSettings(jobs=1))
        future = pool.submit(tasks.write_and_read, (started, go))
        stop.wait()
        print("stopping", flush=True)
        pool.close()
    print(future.result(), "interrupted" if stop.interrupted else "terminated", flush=True)


def stubborn() -> None:
    """Ignore the first signal."""
    with Stop() as stop:
        print("ready", flush=True)
        stop.requested.wait()
        read, write = os.pipe()
        os.set_blocking(write, False)
        # Before "asked": the next signal may follow at once.
        signal.set_wakeup_fd(write)
        print("asked", flush=True)
        while numbers := os.read(read, 1):
            print(f"signal {numbers[0]}", flush=True)


def restore() -> None:
    """Show that the previous handlers are restored."""
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    with Stop():
        inside = [signal.getsignal(number) for number in STOP_SIGNALS]
    after = [signal.getsignal(number) for number in STOP_SIGNALS]
    print(before == after, before != inside)


def starve() -> None:
    """Open a pool when no more files can be opened."""
    pool = open_pool(PoolSettings(jobs=1))
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, 1))
    error = pool.submit(tasks.double, 1).exception(60)
    pool.close()
    print(isinstance(error, WorkerError), error, flush=True)


def progress(shown: str, total: str = "10") -> None:
    """Draw (or not) a bar with a total of ten or an unknown one ("unknown"), and print a line."""
    choice = {"yes": True, "no": False, "auto": None}[shown]
    with Progress(total=None if total == "unknown" else int(total), shown=choice) as bar:
        bar.advance(3, size=3 << 20, failed=1)
        bar.say("one failed")
        bar.advance(7)
    print(bar.items, bar.size, bar.failed, "tqdm" in sys.modules)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
