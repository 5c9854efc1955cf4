"""Compares `imgctl --help` and the upload of one JPEG with `import click`: `python -m bench.startup [--turns 20]`.

The goal is a ratio of at most 1.5 for `--help`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

GOAL = 1.5
PEER = "python -c 'import click'"
UPLOAD = "python -m imgctl upload one.jpg"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the contenders in turns; print the median wall of each and its ratio to click's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=20)
    turns = parser.parse_args(arguments).turns
    with tempfile.TemporaryDirectory() as place:
        _compare(_contenders(Path(place)), turns)


def _compare(contenders: dict[str, list[str]], turns: int) -> None:
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
    worst = max(seconds for name, seconds in medians.items() if name != UPLOAD) / medians[PEER]
    print(f"\ngoal: at most {GOAL:g} times import click: {worst:.2f}, {'kept' if worst <= GOAL else 'MISSED'}")


def _contenders(place: Path) -> dict[str, list[str]]:
    from bench.photos import jpeg_of, scene

    photo = place / "one.jpg"
    photo.write_bytes(jpeg_of(scene(640, 480, seed=1, noise=9.0), quality=90))
    os.environ |= {"IMGCTL_CATALOG_URL": f"sqlite:///{place}/catalog.db", "IMGCTL_STORE_URL": f"file://{place}/blobs"}
    imgctl = [sys.executable, "-m", "imgctl"]
    subprocess.run([*imgctl, "init", "--quiet"], stdout=subprocess.DEVNULL, check=True)
    found = {
        PEER: [sys.executable, "-c", "import click"],
        "python -m imgctl --help": [*imgctl, "--help"],
        UPLOAD: [*imgctl, "upload", "--quiet", str(photo), "--user", "0190b2b4-0000-7000-8000-000000000001"],
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
