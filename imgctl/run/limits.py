"""What a process that decodes strangers' pictures may take: memory, and time."""

import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_deadlines: dict[object, float] = {}
_lock = threading.Lock()


def limit_memory(size: int) -> None:
    """Bound this process's memory to `size` bytes of heap, stacks and private mappings (RLIMIT_DATA, Linux 4.7+).

    Beyond it an allocation fails: Python raises MemoryError, libvips reports an error, GLib aborts the process.
    """
    # Not RLIMIT_AS: that also counts address space nobody uses, 64 MiB for each thread's malloc arena.
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    limit = size if hard == resource.RLIM_INFINITY else min(size, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End this whole process by SIGALRM when the block takes longer than `seconds` of wall-clock time.

    The kernel does it, so that C code which never returns to Python ends too; the pool reports that the task "took
    longer than its time limit". Blocks may nest, and run in several threads: the earliest deadline counts.
    """
    block = object()
    with _lock:
        _deadlines[block] = time.monotonic() + seconds
        _arm()
    try:
        yield
    finally:
        with _lock:
            del _deadlines[block]
            _arm()


def _arm() -> None:
    if signal.getsignal(signal.SIGALRM) is not signal.SIG_DFL:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    if not _deadlines:
        signal.setitimer(signal.ITIMER_REAL, 0)
        return
    # Zero would disarm the timer.
    signal.setitimer(signal.ITIMER_REAL, max(min(_deadlines.values()) - time.monotonic(), 0.000_001))
