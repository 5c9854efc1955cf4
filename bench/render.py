"""Compares rendering one photo in three sizes by imgctl, libvips, Pillow and sharp: `python -m bench.render`."""

import argparse
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.renderers import PYTHON

HERE = Path(__file__).parent
CACHE = HERE / ".cache"
SHARP = "sharp, one decode per size"
MOST_RAWS = 6
RAW_GOAL = 1.2
GOALS = ((SHARP, 0.45), ("bare libvips", 1.1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """The resources of one child: seconds of wall and CPU, and its peak resident memory in MiB."""

    wall: float
    cpu: float
    peak_mib: float


def main() -> None:
    """Write the photos, let the contenders take turns, print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=40, help="photos a turn (8 MP, 2.5 MB each)")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument(
        "--raw", action="store_true", help="camera raws instead, beside a JPEG of the same 24 megapixels"
    )
    chosen = parser.parse_args()
    if chosen.raw:
        _raws(min(chosen.photos, MOST_RAWS), chosen.turns)
        return
    contenders = _contenders()
    with tempfile.TemporaryDirectory() as folder:
        # In its own process: a child's peak memory starts with that of its parent.
        writer = multiprocessing.get_context("spawn").Process(target=_write, args=(folder, chosen.photos))
        writer.start()
        writer.join()
        turns = [
            {name: _turn(command, folder, chosen.photos) for name, command in contenders.items()}
            for _ in range(chosen.turns)
        ]
    _report({name: _median([turn[name] for turn in turns]) for name in contenders})


def _raws(count: int, turns: int) -> None:
    """Let raws take turns with a JPEG; print the CPU of each photo, and whether a preview meets its goal."""
    from bench.raws import JPEG, KINDS, PREVIEW, write_raws

    command = [sys.executable, "-m", "bench.renderers", "imgctl"]
    with tempfile.TemporaryDirectory() as folder:
        writer = multiprocessing.get_context("spawn").Process(target=write_raws, args=(Path(folder), count + 1))
        writer.start()
        writer.join()
        taken = [
            # The first raw of a process loads LibRaw.
            {kind: _turn(command, f"{folder}/{place}", count, before=1) for place, kind in enumerate(KINDS)}
            for _ in range(turns)
        ]
    medians = {kind: _median([turn[kind] for turn in taken]) for kind in KINDS}
    print(f"{'one camera raw into 2048, 1080, 320':<44}{'wall ms':>9}{'CPU ms':>9}{'peak MiB':>10}{'CPU, it/JPEG':>16}")
    for kind, spent in medians.items():
        ratio = spent.cpu / medians[JPEG].cpu
        print(f"{kind:<44}{spent.wall * 1e3:>9.1f}{spent.cpu * 1e3:>9.1f}{spent.peak_mib:>10.0f}{ratio:>16.2f}")
    ratio = medians[PREVIEW].cpu / medians[JPEG].cpu
    print(
        f"goal: a raw by its preview at most {RAW_GOAL} of the JPEG: {ratio:.2f} {'kept' if ratio <= RAW_GOAL else 'MISSED'}"
    )


def _write(folder: str, count: int) -> None:
    from bench.photos import write_tree

    write_tree(Path(folder), count=count, kind="camera")


def _contenders() -> dict[str, list[str]]:
    found = {name: [sys.executable, "-m", "bench.renderers", name] for name in PYTHON}
    if _sharp_is_there():
        found[SHARP] = ["node", str(HERE / "sharp_render.cjs")]
    return found


def _sharp_is_there() -> bool:
    """Whether node can load sharp, installed from npm into the cache on the first run."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        print("sharp is skipped: node and npm are not installed", file=sys.stderr)
        return False
    CACHE.mkdir(exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    if not (CACHE / "node_modules" / "sharp").is_dir():
        install = ["npm", "install", "--no-fund", "--no-audit", "--prefix", str(CACHE), "sharp"]
        done = subprocess.run(install, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            print(f"sharp is skipped: npm could not install it: {done.stderr.strip()[-200:]}", file=sys.stderr)
            return False
    return True


def _run(command: list[str], folder: str, count: int) -> Spent:
    """Run one child to its end; `wait4` returns the resources of that child only."""
    before = time.perf_counter()
    child = subprocess.Popen([*command, folder, str(count)], cwd=HERE.parent, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - before
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {child.returncode}")
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return Spent(wall=wall, cpu=usage.ru_utime + usage.ru_stime, peak_mib=usage.ru_maxrss / scale)


def _turn(command: list[str], folder: str, count: int, *, before: int = 0) -> Spent:
    """Return one photo's share of a turn, without the start of the process and its first photos (`before`)."""
    idle, busy = _run(command, folder, before), _run(command, folder, before + count)
    return Spent(wall=(busy.wall - idle.wall) / count, cpu=(busy.cpu - idle.cpu) / count, peak_mib=busy.peak_mib)


def _median(turns: list[Spent]) -> Spent:
    return Spent(
        wall=statistics.median(turn.wall for turn in turns),
        cpu=statistics.median(turn.cpu for turn in turns),
        peak_mib=statistics.median(turn.peak_mib for turn in turns),
    )


def _report(medians: dict[str, Spent]) -> None:
    ours = medians["imgctl"]
    print(
        f"{'one 8-megapixel JPEG into 2048, 1080, 320':<44}{'wall ms':>9}{'CPU ms':>9}{'peak MiB':>10}{'CPU, imgctl/it':>16}"
    )
    for name, spent in medians.items():
        ratio = ours.cpu / spent.cpu
        print(f"{name:<44}{spent.wall * 1e3:>9.1f}{spent.cpu * 1e3:>9.1f}{spent.peak_mib:>10.0f}{ratio:>16.2f}")
    for name, goal in GOALS:
        if name in medians:
            ratio = ours.cpu / medians[name].cpu
            print(f"goal: at most {goal} of {name}: {ratio:.2f} {'kept' if ratio <= goal else 'MISSED'}")


if __name__ == "__main__":
    main()
