"""Starts the programs of `parent.py`, and waits for orphaned processes."""

import os
import select
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS = 60


def start(*arguments: str, stderr: int | None = None) -> subprocess.Popen[str]:
    """Start one program in its own process group, with a pipe for its stdout."""
    command = [sys.executable, "-m", "tests.run.parent", *arguments]
    # Every state of a bar is drawn, however fast they follow.
    environ = os.environ | {"TQDM_MININTERVAL": "0"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=stderr, text=True, start_new_session=True
    )


def fifo(directory: Path, name: str) -> str:
    """Create a named pipe: reading it waits for its writer."""
    path = directory / name
    os.mkfifo(path)
    return str(path)


def has_ended(process_id: int) -> bool:
    """Wait until the process has ended; False after a minute."""
    try:
        handle = os.pidfd_open(process_id)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], SECONDS)[0])
    finally:
        os.close(handle)
