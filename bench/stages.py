"""Runs `imgctl ARGUMENTS…` in this process and samples the stages of its threads: `python -m bench.stages upload …`.

A share refers to the samples of all threads of a kind. A thread that waits for the interpreter lock counts at its
stage.
"""

import linecache
import sys
import threading
from collections import Counter
from types import FrameType

EVERY_SECONDS = 0.005
MAIN = "MainThread"
# The stage of a line of code or a function's name; the innermost frame with a stage counts.
STAGES: dict[str, tuple[tuple[str, str], ...]] = {
    "imgctl read": (
        ("sha256", "hash"),
        ("os.read", "read"),
        ("os.open", "read"),
        ("file.read", "read"),
        ("_next_chunk", "walk"),
        ("budget.acquire", "wait for memory"),
        ("_offer", "wait for the promise"),
        ("split", "query the journal"),
        ("prepare", "recognise and describe"),
    ),
    MAIN: (
        ("_write", "promise and confirm"),
        ("_gather", "wait for files and puts"),
        ("remember", "write the journal"),
    ),
    "imgctl put": (
        ("obstore.put", "put"),
        ("create", "put"),
        ("request()", "put"),
        ("_put_ended", "report a put"),
        ("_queue.get", "wait for a promise"),
    ),
}


def stage_of(kind: str, frame: FrameType | None) -> str:
    """Return the stage of a thread of this kind."""
    while frame is not None:
        code = frame.f_code
        line = linecache.getline(code.co_filename, frame.f_lineno)
        for sign, stage in STAGES[kind]:
            if sign in line or sign == code.co_name:
                return stage
        frame = frame.f_back
    return "the rest"


def sample(counts: dict[str, Counter[str]], stop: threading.Event) -> None:
    """Sample every thread repeatedly."""
    while not stop.wait(EVERY_SECONDS):
        frames = sys._current_frames()  # noqa: SLF001  # there is no public way
        for thread in threading.enumerate():
            if thread.name in STAGES:
                counts[thread.name][stage_of(thread.name, frames.get(thread.ident or 0))] += 1


def main() -> None:
    """Run the command, then print the shares."""
    from imgctl.cli.main import main as imgctl

    counts = {kind: Counter[str]() for kind in STAGES}
    stop = threading.Event()
    sampler = threading.Thread(target=sample, args=(counts, stop), daemon=True)
    sampler.start()
    try:
        imgctl()
    finally:
        stop.set()
        sampler.join()
        wall = max(1, counts[MAIN].total())
        print("\n| thread | how many | stage | share |\n|---|---:|---|---:|")
        for kind, found in counts.items():
            for stage, count in found.most_common():
                print(f"| {kind} | {found.total() / wall:.1f} | {stage} | {count / found.total():.0%} |")


if __name__ == "__main__":
    main()
