"""Resource limits of a process: memory and time for decoding, the reuse of freed memory, and CPU cores."""

import ctypes
import gc
import math
import os
import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# glibc, malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
KEPT_BYTES = 512 * 2**20
LARGEST_KEPT = 32 * 2**20
SMALLEST_RETURNED = 2**20
ARENAS = 2
MOST_OPEN_FILES = 2**16
SHORTEST_SECONDS, BUSY_SHARE = 0.02, 0.5
NO_QUOTA = 1 << 16

# For each block under a time limit: its thread and its deadline.
_deadlines: dict[object, tuple[int, float]] = {}
_lock = threading.Lock()


def raise_open_files() -> None:
    """Raise the soft limit of open files towards the hard one; 1024, the usual one, is for programs that use select()."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_OPEN_FILES)
    if 0 <= soft < most:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def limit_memory(size: int) -> None:
    """Bound this process's memory to `size` bytes of heap, stacks and private mappings (RLIMIT_DATA, Linux 4.7+).

    Beyond it an allocation fails: Python raises MemoryError, libvips reports an error, GLib aborts the process.
    """
    # Not RLIMIT_AS: that also counts unused address space, 64 MiB for each thread's malloc arena.
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    limit = size if hard == resource.RLIM_INFINITY else min(size, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End this whole process by SIGALRM when the block takes longer than `seconds` of wall-clock time.

    The kernel sends the signal, so that C code which never returns to Python ends too; the pool reports that the task
    "took longer than its time limit". Blocks may nest, and run in several threads: the earliest deadline counts.
    """
    block = object()
    with _lock:
        _deadlines[block] = threading.get_ident(), time.monotonic() + seconds
        _arm()
    try:
        yield
    finally:
        with _lock:
            del _deadlines[block]
            _arm()


@contextmanager
def clock_stopped() -> Iterator[None]:
    """Pause this thread's time limits during the block: time spent waiting for a store isn't the image's fault."""
    me, began = threading.get_ident(), time.monotonic()
    with _lock:
        mine = {block: ends for block, (thread, ends) in _deadlines.items() if thread == me}
    if not mine:
        yield
        return
    with _lock:
        _deadlines.update((block, (me, math.inf)) for block in mine)
        _arm()
    try:
        yield
    finally:
        waited = time.monotonic() - began
        with _lock:
            _deadlines.update((block, (me, ends + waited)) for block, ends in mine.items())
            _arm()


def _arm() -> None:
    if signal.getsignal(signal.SIGALRM) is not signal.SIG_DFL:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    ends = min((end for _, end in _deadlines.values()), default=math.inf)
    # Zero disarms the timer.
    signal.setitimer(signal.ITIMER_REAL, 0 if ends == math.inf else max(ends - time.monotonic(), 0.000_001))


def collect_from_here() -> None:
    """Enable garbage collection for objects created from now on; earlier ones are frozen."""
    gc.freeze()
    gc.enable()


def reuse_large_buffers() -> None:
    """Make glibc keep freed buffers of photo size instead of returning their pages to the kernel each time.

    A fresh 2.5 MB buffer costs 600 page faults, about a third of what reading a file into it costs. Two arenas keep
    buffers that one thread freed available to the others. Without glibc this does nothing.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
    mallopt(M_ARENA_MAX, ARENAS)


def return_large_buffers() -> None:
    """Make glibc return freed blocks of 1 MiB or more at once, for runs over many files that keep none of them.

    Else each growth of Python's own tables leaves a hole that smaller blocks split: 2 MB every 8,000 files of a directory.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, SMALLEST_RETURNED)


class Idleness:
    """Measures whether this process has waited more than it has worked since the last call."""

    def __init__(self) -> None:
        self._since = time.monotonic(), time.process_time()

    def is_idle(self) -> bool:
        """Whether all threads together used less than half of a core's time; False after too short an interval."""
        now, used = time.monotonic(), time.process_time()
        elapsed = now - self._since[0]
        if elapsed < SHORTEST_SECONDS:
            return False
        worked = used - self._since[1]
        self._since = now, used
        return worked < BUSY_SHARE * elapsed


def cores() -> int:
    """Return how many cores this process may use, by its CPU affinity and the quota of its container or systemd unit."""
    affine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(affine, _quota()))


def _quota(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """Return the smallest quota of this process's cgroup and of those above it, in cores (cgroup v2)."""
    try:
        places = [line.removeprefix("0::/") for line in own.read_text().splitlines() if line.startswith("0::/")]
    except OSError:
        places = []
    parts = places[0].split("/") if places else []
    return min(_quota_of(groups.joinpath(*parts[:depth]) / "cpu.max") for depth in range(len(parts) + 1))


def _quota_of(file: Path) -> int:
    try:
        quota, period = file.read_text().split()
        return max(1, round(int(quota) / int(period)))
    except (OSError, ValueError):
        return NO_QUOTA
