"""Tasks that the pools run in tests: child processes must be able to import them."""

import ctypes
import os
import signal
import threading
from pathlib import Path
from typing import NoReturn

from imgctl.errors import BlobMissing
from imgctl.run.limits import time_limit


def double(number: int) -> int:
    return number * 2


def upgrade() -> None:
    """Start as another version, as after an upgrade under a running worker."""
    import imgctl

    imgctl.__version__ = "999.0.0"


def process_id(_: object) -> int:
    return os.getpid()


def fail(key: str) -> NoReturn:
    raise BlobMissing(f"no blob {key}", hint="run audit")


class Stubborn(Exception):
    """An exception that can be pickled and not unpickled."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def fail_stubbornly(_: object) -> NoReturn:
    raise Stubborn(1, 2)


def return_a_lock(_: object) -> object:
    return threading.Lock()


def double_or_die(order: tuple[int, int]) -> int:
    """Twice the first number, unless the second is a signal, which the task sends itself."""
    number, deadly = order
    if deadly:
        os.kill(os.getpid(), deadly)
    return number * 2


def read_null(_: object) -> None:
    ctypes.string_at(0)


def leave(code: int) -> NoReturn:
    os._exit(code)


def hang_in_c(seconds: float) -> None:
    with time_limit(seconds):
        # No Python code runs until the alarm: PyDLL keeps the GIL.
        ctypes.PyDLL(None).sleep(600)


def hurry(seconds: float) -> int:
    with time_limit(seconds), time_limit(seconds * 2):
        return int(signal.getitimer(signal.ITIMER_REAL)[0] > 0)


def hog(size: int) -> int:
    return len(bytearray(size))


_kept: list[bytearray] = []


def hoard(size: int) -> int:
    """Keep this much memory for as long as the process lives."""
    _kept.append(bytearray(size))
    return size


def hoard_all(answer: str) -> str:
    """Allocate all memory, down to the last block; then return."""
    size = 2**28
    while size > 16:
        try:
            _kept.append(bytearray(size))
        except MemoryError:
            size //= 2
    return answer


def is_in_main_thread(_: object) -> bool:
    return threading.current_thread() is threading.main_thread()


def write_pid_and_hang(fifo: str) -> None:
    """Write this process's id into the pipe, then wait forever."""
    Path(fifo).write_text(str(os.getpid()))
    threading.Event().wait()


def write_and_read(fifos: tuple[str, str]) -> str:
    """Write into the first pipe, then return the content of the second."""
    Path(fifos[0]).write_text("started")
    return Path(fifos[1]).read_text()


def refuse() -> NoReturn:
    raise SystemExit(7)


def upgrade_from_the_second_on(path: str) -> None:
    """Start the first process as this version, and every other as another."""
    try:
        Path(path).touch(exist_ok=False)
    except FileExistsError:
        upgrade()
