"""Run one command and print what it alone used, as JSON: `python bench/child.py COMMAND…`.

A process of its own, and a small one: on Linux the peak memory of a child starts from what its parent holds.
"""

import json
import os
import sys
import time


def main(command: list[str]) -> None:
    """Run the command with its stdout thrown away; prints seconds of wall and CPU, peak KiB and exit code."""
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
