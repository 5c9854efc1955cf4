"""How long `imgctl --help` takes beside a bare `import click`: `python -m bench.startup [--turns 20]`; the goal is 2 at most."""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

GOAL = 2.0
PEER = "python -c 'import click'"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the contenders in turns; print the median wall of each and its ratio to click's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=20)
    turns = parser.parse_args(arguments).turns
    contenders = _contenders()
    for command in contenders.values():
        _seconds(command)  # writes bytecode, fills caches
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(turns):
        for name, command in contenders.items():
            taken[name].append(_seconds(command))
    medians = {name: median(each) for name, each in taken.items()}
    print(f"medians of {turns} turns\n\n| command | wall ms | ÷ import click |\n|---|---:|---:|")
    for name, seconds in medians.items():
        print(f"| `{name}` | {seconds * 1000:.0f} | {seconds / medians[PEER]:.2f} |")
    worst = max(medians.values()) / medians[PEER]
    print(f"\ngoal: at most {GOAL:g} times import click: {worst:.2f}, {'kept' if worst <= GOAL else 'MISSED'}")


def _contenders() -> dict[str, list[str]]:
    found = {
        PEER: [sys.executable, "-c", "import click"],
        "python -m imgctl --help": [sys.executable, "-m", "imgctl", "--help"],
    }
    script = Path(sys.executable).parent / "imgctl"
    if script.exists():
        found["imgctl --help"] = [str(script), "--help"]
    return found


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
