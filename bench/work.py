"""Measures `imgctl work --drain` against rendering only, with delays, and with eight workers: `python -m bench.work`.

Rendering only uses the same number of the same processes, with the same photos from the page cache; every run includes
the start of its processes. SeaweedFS, Postgres and the proxies share the cores with the worker. In the last part eight
workers share one backlog of tiny pictures, and each variant must be put exactly once.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from PIL import Image

from bench.parts import Servers, client_environment, distant, scalar, servers, spent
from bench.photos import write_tree
from imgctl.config.service import LogSettings
from imgctl.imaging.render import render
from imgctl.model import Recipe
from imgctl.ops.work.driver import PROCESSES_PER_JOB
from imgctl.ops.work.in_flight import BATCH_IMAGES
from imgctl.ops.work.render_task import set_up_child
from imgctl.run.limits import cores
from imgctl.run.pools.open import open_pool
from imgctl.run.pools.pool import PoolSettings
from tests.parts.proxy import fault_proxy

USER = "0190b2b4-0000-7000-8000-000000000001"
RENDER_GOAL = 0.8
DISTANT_GOAL = 0.95
ONLY, NEAR = "render-only", "imgctl work"
PROXIED, FAR = "imgctl work, through a proxy", "imgctl work, through a proxy {:g} ms away"
# Without a delay there is no proxy.
NO_DELAY_MS = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """Uploaded photos that wait for their variants."""

    bucket: str
    database_url: str
    count: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the photos, let the contenders take turns, print medians and ratios."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory(prefix="imgctl-bench-", ignore_cleanup_errors=True) as folder:
        place = Path(folder)
        write_tree(place / "camera", count=options.photos, kind="camera")
        with (
            servers(place) as running,
            distant(running.s3.endpoint_url, NO_DELAY_MS) as proxied,
            distant(running.s3.endpoint_url, options.delay_ms) as far,
        ):
            ways = {NEAR: running.s3.endpoint_url, PROXIED: proxied, FAR: far}
            turns = [_turn(running, ways, place / "camera", number, options) for number in range(options.turns)]
            found = {name: median(turn[name] for turn in turns) for name in turns[0]}
            _report(found, options)
            _stopped(running, place / "camera", options, seconds_an_image=found[NEAR] * cores() / options.photos)
            if options.tiny:
                _write_tiny(place / "tiny", options.tiny)
                _together(running, place / "tiny", options)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=240, help="photos of 8 megapixels, 2.3 MB each")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument(
        "--delay-ms", type=float, default=50.0, help="latency before every request of the distant store"
    )
    parser.add_argument(
        "--tiny", type=int, default=5000, help="rows for the workers that run at once; 0: leave them out"
    )
    parser.add_argument("--workers", type=int, default=8)
    return parser.parse_args(arguments)


def _turn(
    running: Servers, ways: Mapping[str, str], tree: Path, number: int, options: argparse.Namespace
) -> dict[str, float]:
    """Return the seconds of each contender; the order rotates."""

    def seconds(name: str) -> float:
        if name == ONLY:
            return _render_only(tree)
        label = f"turn_{number}_{list(ways).index(name)}"
        return _work(running, _uploaded(running, tree, options.photos, label), ways[name])

    names = [ONLY, *ways]
    shift = number % len(names)
    found: dict[str, float] = {}
    for name in names[shift:] + names[:shift]:
        found[name] = seconds(name)
        print(f"turn {number + 1}: {name.format(options.delay_ms)} {found[name]:.2f} s", file=sys.stderr)
    return found


def _uploaded(running: Servers, tree: Path, count: int, label: str) -> Backlog:
    backlog = Backlog(bucket=label.replace("_", "-"), database_url=running.new_database(label), count=count)
    running.new_bucket(backlog.bucket)
    journal = {"IMGCTL_UPLOAD_JOURNAL": "none"}
    command = _imgctl(backlog, running.s3.endpoint_url, "upload", str(tree), "--user", USER)
    spent(command, client_environment() | journal)
    _expect("rows uploaded", scalar(backlog.database_url, "SELECT count(*) FROM images"), count)
    return backlog


def _work(running: Servers, backlog: Backlog, endpoint_url: str) -> float:
    used = spent(_imgctl(backlog, endpoint_url, "work", "--drain"), client_environment())
    _expect_ready(backlog)
    running.drop_bucket(backlog.bucket)
    return used.wall


def _render_only(tree: Path) -> float:
    """Render the same photos with the same processes, from the page cache, without a put."""
    began = time.perf_counter()
    setup = partial(set_up_child, LogSettings())
    pool = open_pool(PoolSettings(jobs=cores() * PROCESSES_PER_JOB, setup=setup))
    paths = sorted(tree.rglob("*.jpg"))
    shares = [tuple(paths[first : first + BATCH_IMAGES]) for first in range(0, len(paths), BATCH_IMAGES)]
    for future in [pool.submit(render_share, share) for share in shares]:
        future.result()
    pool.close()
    return time.perf_counter() - began


def render_share(share: tuple[Path, ...]) -> None:
    """Render some photos."""
    for path in share:
        render(path.read_bytes(), Recipe())


def _together(running: Servers, tree: Path, options: argparse.Namespace) -> None:
    """Several workers on one backlog of tiny pictures; prints how often each variant was put."""
    backlog = _uploaded(running, tree, options.tiny, "together")
    began = time.perf_counter()
    puts: Counter[str] = Counter()
    with fault_proxy(running.s3.endpoint_url, policy=partial(_count, puts)) as proxy:
        command = _imgctl(backlog, proxy.url, "work", "--drain", "--jobs", "1")
        workers = [subprocess.Popen(command, env=client_environment()) for _ in range(options.workers)]
        codes = [worker.wait() for worker in workers]
    seconds = time.perf_counter() - began
    _expect_ready(backlog)
    again = scalar(backlog.database_url, "SELECT count(*) FROM images WHERE attempts <> 1 OR leased_until IS NOT NULL")
    objects = running.count_objects(backlog.bucket)
    print(
        f"\n{options.workers} workers, {options.tiny} rows: exit codes {sorted(set(codes))}, {seconds:.1f} s;"
        f" rows tried more than once or leased: {again}; {objects} objects; {len(puts)} variants put, at most {max(puts.values())} times each"
    )
    kept = (
        set(codes) == {0}
        and again == 0
        and objects == 4 * options.tiny
        and [*puts.values()] == [1] * (3 * options.tiny)
    )
    print(f"goal: each variant put exactly once: {'kept' if kept else 'MISSED'}")


def _stopped(running: Servers, tree: Path, options: argparse.Namespace, *, seconds_an_image: float) -> None:
    """Send SIGTERM during the run; print how long the worker continues, and the leases that it leaves."""
    backlog = _uploaded(running, tree, options.photos, "stopped")
    begun = "SELECT count(*) FROM images WHERE status = 'ready'"
    worker = subprocess.Popen(_imgctl(backlog, running.s3.endpoint_url, "work", "--drain"), env=client_environment())
    while not scalar(backlog.database_url, begun):
        time.sleep(0.05)
    worker.send_signal(signal.SIGTERM)
    sent = time.perf_counter()
    code = worker.wait()
    seconds = time.perf_counter() - sent
    leases = scalar(backlog.database_url, "SELECT count(*) FROM images WHERE leased_until IS NOT NULL")
    # Several pictures share each core.
    shared = seconds_an_image * PROCESSES_PER_JOB
    print(
        f"\nSIGTERM in mid-run: exit code {code} after {seconds:.2f} s, {leases} leases left,"
        f" {scalar(backlog.database_url, begun)} of {options.photos} ready; an image takes {shared:.2f} s"
        f" with {PROCESSES_PER_JOB} to a core"
    )


def _count(puts: Counter[str], method: str, path: str, _number: int) -> None:
    if method == "PUT":
        puts[path] += 1


def _write_tiny(directory: Path, count: int) -> None:
    directory.mkdir()
    for number in range(count):
        picture = Image.new("RGB", (24, 16), (number % 256, number // 256 % 256, 90))
        picture.save(directory / f"{number:05d}.jpg", comment=f"picture {number}")


def _expect_ready(backlog: Backlog) -> None:
    _expect(
        "rows ready", scalar(backlog.database_url, "SELECT count(*) FROM images WHERE status = 'ready'"), backlog.count
    )


def _expect(what: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise SystemExit(f"{what}: {found}, not {wanted}: nothing was measured")


def _imgctl(backlog: Backlog, endpoint_url: str, *arguments: str) -> list[str]:
    where = ["--catalog", backlog.database_url, "--store", f"s3://{backlog.bucket}"]
    return [
        sys.executable,
        "-m",
        "imgctl",
        *arguments,
        *where,
        "--store-endpoint-url",
        endpoint_url,
        "--no-progress",
        "-q",
    ]


def _report(found: dict[str, float], options: argparse.Namespace) -> None:
    print(f"\n{options.photos} photos of 8 megapixels on {cores()} cores; medians of {options.turns} turns\n")
    print("| contender | wall s | photos/s | of render-only |")
    print("|---|---:|---:|---:|")
    for name, seconds in found.items():
        rate = options.photos / seconds
        print(f"| {name.format(options.delay_ms)} | {seconds:.2f} | {rate:.1f} | {found[ONLY] / seconds:.2f} |")
    for what, ratio, goal in (
        ("photos a second against render-only", found[ONLY] / found[NEAR], RENDER_GOAL),
        (
            f"with {options.delay_ms:g} ms before each request against without",
            found[PROXIED] / found[FAR],
            DISTANT_GOAL,
        ),
    ):
        print(f"\ngoal: {what} at least {goal}: {ratio:.2f}, {'kept' if ratio >= goal else 'MISSED'}")


if __name__ == "__main__":
    # Under its importable name, so that rendering processes find `render_share`.
    from bench.work import main as start

    start()
