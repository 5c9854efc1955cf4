"""Uploads few and many tiny photos: memory must not grow, and a second run must cost only a walk.

`python -m bench.scale [--files 200000] [--small 20000] [--concurrency 16]`. Each tree is uploaded twice into its own
SeaweedFS and Postgres; a proxy in front of the store counts the requests of the second run.
"""

import argparse
import io
import multiprocessing
import os
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from PIL import Image

from bench.parts import Servers, Spent, client_environment, scalar, servers, spent
from tests.parts.proxy import fault_proxy

USER = "0190b2b4-0000-7000-8000-000000000001"
PEAK_MB_GOAL, GROWTH_GOAL, AGAIN_GOAL = 64, 1.2, 0.06
FOLDER = 1000
# The journal does not record files that were just written.
AGE_SECONDS = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """One tree uploaded twice: the resources of both runs, and the requests of the second."""

    files: int
    first: Spent
    again: Spent
    requests: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the trees, upload each twice, and print the figures and whether they meet the goals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--small", type=int, default=20_000)
    parser.add_argument("--concurrency", type=int, default=0, help="puts in flight; 0: found out, which takes memory")
    options = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="imgctl-bench-", ignore_cleanup_errors=True) as folder,
        servers(Path(folder)) as running,
    ):
        small, large = (_measure(running, Path(folder), count, options) for count in (options.small, options.files))
    _report(small, large)


def write_tiny(directory: Path, count: int) -> None:
    """Write `count` distinct valid JPEGs of a few hundred bytes, last changed an hour ago, 1,000 a folder."""
    out = io.BytesIO()
    Image.new("L", (8, 8), 128).save(out, "JPEG", optimize=True)
    start, rest = out.getvalue()[:2], out.getvalue()[2:]
    old = time.time() - AGE_SECONDS
    for number in range(count):
        folder = f"{directory}/{number // FOLDER:04d}"
        if number % FOLDER == 0:
            os.makedirs(folder)  # noqa: PTH103  # fast: runs for each of many files
        comment = f"tiny photo {number:012d}".encode()
        file = f"{folder}/{number:06d}.jpg"
        with open(file, "wb", buffering=0) as new:  # noqa: PTH123
            new.write(start + struct.pack(">HH", 0xFFFE, len(comment) + 2) + comment + rest)
        os.utime(file, (old, old))


def _measure(running: Servers, place: Path, count: int, options: argparse.Namespace) -> Size:
    """Upload a tree of files twice; ends the bench unless each is stored once."""
    tree, label = place / f"tree-{count}", f"scale_{count}"
    _timed(f"{count:,} files written", lambda: write_tiny(tree, count))
    bucket, url = label.replace("_", "-"), running.new_database(label)
    running.new_bucket(bucket)
    environment = client_environment() | {"IMGCTL_UPLOAD_JOURNAL": str(place / f"{label}.journal")}
    where = ["--catalog", url, "--store", f"s3://{bucket}", "--no-progress", "--quiet"]

    def imgctl(*arguments: str, endpoint_url: str) -> Spent:
        command = [sys.executable, "-m", "imgctl", *arguments, *where, "--store-endpoint-url", endpoint_url]
        return spent(command, environment)

    imgctl("init", endpoint_url=running.endpoint_url)
    upload = ("upload", str(tree), "--user", USER, "--concurrency", str(options.concurrency))
    first = imgctl(*upload, endpoint_url=running.endpoint_url)
    print(f"{count:,} files uploaded in {first.wall:.1f} s", file=sys.stderr)
    with _counting(running.endpoint_url) as (counted_url, requests):
        again = imgctl(*upload, endpoint_url=counted_url)
    for what, found in (
        ("objects", running.count_objects(bucket)),
        ("rows", scalar(url, "SELECT count(*) FROM images WHERE status = 'processing'")),
    ):
        if found != count:
            raise SystemExit(f"{what}: {found}, not {count}: nothing was measured")
    return Size(files=count, first=first, again=again, requests=requests[0])


def _timed(what: str, work: Callable[[], None]) -> None:
    began = time.perf_counter()
    work()
    print(f"{what} in {time.perf_counter() - began:.1f} s", file=sys.stderr)


@contextmanager
def _counting(endpoint_url: str) -> Iterator[tuple[str, list[int]]]:
    """A counting proxy to the store in its own process; the list holds the count once the block has ended."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_count, args=(endpoint_url, theirs))
    process.start()
    counted: list[int] = []
    try:
        yield str(ours.recv()), counted
    finally:
        ours.send(0)
        counted.append(int(ours.recv()))
        process.join()


def _count(endpoint_url: str, parent: "Connection[str | int, int]") -> None:
    with fault_proxy(endpoint_url) as proxy:
        parent.send(proxy.url)
        parent.recv()
        parent.send(proxy.requests.total())


def _report(small: Size, large: Size) -> None:
    print("\n| files | run | wall s | files a second | CPU ms a file | peak MB | requests to the store |")
    print("|---:|---|---:|---:|---:|---:|---:|")
    for size in (small, large):
        for name, used, requests in (("first", size.first, "–"), ("again", size.again, f"{size.requests}")):
            rate, cpu = size.files / used.wall, used.cpu / size.files * 1000
            print(f"| {size.files:,} | {name} | {used.wall:.1f} | {rate:,.0f} | {cpu:.3f} | {_mb(used)} | {requests} |")
    print()
    growth, again = large.first.peak_mib / small.first.peak_mib, large.again.wall / large.first.wall
    _goal(f"peak at most {PEAK_MB_GOAL} MB", f"{_mb(large.first)} MB", kept=_mb(large.first) <= PEAK_MB_GOAL)
    _goal(f"peak at most {GROWTH_GOAL} of the small run's", f"{growth:.2f}", kept=growth <= GROWTH_GOAL)
    _goal(f"second run at most {AGAIN_GOAL} of the first's wall", f"{again:.3f}", kept=again <= AGAIN_GOAL)
    _goal("no request to the store by a second run", f"{large.requests}", kept=large.requests == 0)


def _goal(goal: str, found: str, *, kept: bool) -> None:
    print(f"goal: {goal}: {found}, {'kept' if kept else 'MISSED'}")


def _mb(used: Spent) -> int:
    return round(used.peak_mib * 2**20 / 1e6)


if __name__ == "__main__":
    main()
