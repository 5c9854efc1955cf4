"""Run one command and print its resource usage as JSON: `python bench/child.py COMMAND…`.

This is a separate small process, because on Linux the peak memory of a child starts with that of its parent.
"""

import json
import os
import sys
import time


def main(command: list[str]) -> None:
    """Run the command with its stdout discarded; print seconds of wall and CPU, peak KiB and exit code."""
    began = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        try:
            os.execvp(command[0], command)
        finally:
            os._exit(127)
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - began
    used = {
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak_kib": usage.ru_maxrss // (1024 if sys.platform == "darwin" else 1),
        "code": os.waitstatus_to_exitcode(status),
    }
    print(json.dumps(used))


if __name__ == "__main__":
    main(sys.argv[1:])
