"""Uploads the same photos by imgctl, s5cmd and rclone in turn: `python -m bench.upload [--only small] [--delay-ms 40]`.

imgctl does more: it reads each file for its format, size and dates, hashes it, and writes a row on Postgres before and
after each put. Only the clients are measured; the store and Postgres run on the same machine and compete for it.
`--sink` replaces SeaweedFS by a store that responds at once, `--defaults` runs each tool with its own concurrency.
`--store az` uses Azurite on disk, beside rclone's own upload to it, each with its own concurrency; azcopy is in no
registry.
`--directory` uploads to a directory of this disk, beside `cp -r` with `sync` and rclone, which do not fsync files.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.parts import (
    ROOT,
    Servers,
    Spent,
    azure_servers,
    beside_python,
    client_environment,
    file_system,
    medians,
    scalar,
    servers,
    sink_servers,
    spent,
)
from bench.photos import Kind, write_tree
from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.upgrade import upgrade

USER = "0190b2b4-0000-7000-8000-000000000001"
IMGCTL, S5CMD, S5CMD_DEFAULT, RCLONE = "imgctl", "s5cmd", "s5cmd, its 256 workers", "rclone"
COPY, RCLONE_LOCAL = "cp -r, then sync", "rclone copy"
KINDS: dict[str, Kind] = {"large": "camera", "small": "small"}
WALL_GOAL = 1.0
CPU_GOAL = {"large": 0.7, "small": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One upload of one tree by one contender into a bucket of its own."""

    servers: Servers
    tree: Path
    bucket: str
    database_url: str
    concurrency: int | None
    directory: bool

    @property
    def place(self) -> Path:
        """Return the directory that replaces the bucket; kept to the end, because ext4 reuses deleted space slowly."""
        return self.tree.parent / self.bucket


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the photos, let the contenders take turns, print medians and ratios."""
    options = _options(arguments)
    sizes = [size for size in KINDS if options.only in (None, size)]
    with tempfile.TemporaryDirectory(prefix="imgctl-bench-", ignore_cleanup_errors=True) as folder:
        place = Path(folder)
        for size in sizes:
            write_tree(place / size, count=getattr(options, size), kind=KINDS[size])
        print(f"photos, catalog and store lie below {file_system(place.parent)}")
        needs_store = not (options.sink or options.directory)
        started = azure_servers if options.store == "az" else servers if needs_store else sink_servers
        with started(place, delay_ms=options.delay_ms) as running:
            for size in sizes:
                results = _turns(running, place / size, getattr(options, size), options)
                _report(size, {name: medians(each) for name, each in results.items()}, options)
            if options.stages:
                _stages(running, place / sizes[-1], options)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", type=int, default=300, help="photos of 8 megapixels, 2.5 MB each")
    parser.add_argument("--small", type=int, default=5000, help="photos of 0.3 megapixels, 50 KB each")
    parser.add_argument("--only", choices=list(KINDS))
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--delay-ms", type=float, default=0.0, help="put so much latency before every request")
    parser.add_argument("--concurrency", type=int, help="puts in flight, the same for all (default: 16)")
    parser.add_argument("--defaults", action="store_true", help="each at its own; so with --store az")
    parser.add_argument("--sink", action="store_true", help="a store that answers at once and keeps nothing")
    parser.add_argument("--directory", action="store_true", help="a directory store, beside cp and rclone")
    parser.add_argument("--store", choices=["s3", "az"], default="s3", help="SeaweedFS, or Azurite")
    parser.add_argument("--stages", action="store_true", help="then one more upload by imgctl: what its threads are at")
    options = parser.parse_args(arguments)
    if options.concurrency is None and not options.defaults and options.store != "az":
        options.concurrency = 16
    return options


def _turns(running: Servers, tree: Path, count: int, options: argparse.Namespace) -> dict[str, list[Spent]]:
    # At their defaults both entries of s5cmd are the same; rclone checks its objects, and a sink has none.
    left_out = (S5CMD_DEFAULT,) * (not options.concurrency) + (RCLONE,) * options.sink
    contenders = [name for name in _named(options) if name not in left_out]
    results: dict[str, list[Spent]] = {name: [] for name in contenders}
    for number in range(options.turns):
        names = list(contenders)
        # Each contender is first once, because the store slows down as it fills.
        shift = number % len(names)
        for position, name in enumerate(names[shift:] + names[:shift]):
            label = f"bench_{tree.name}_{number}_{position}"
            results[name].append(_turn(running, tree, count, name, label, options))
            print(f"{tree.name} turn {number + 1}: {name} {results[name][-1].wall:.2f} s", file=sys.stderr)
    return results


def _named(options: argparse.Namespace) -> tuple[str, ...]:
    if options.directory:
        return DIRECTORY
    return (IMGCTL, RCLONE) if options.store == "az" else BUCKET


def _turn(running: Servers, tree: Path, count: int, name: str, label: str, options: argparse.Namespace) -> Spent:
    """Run one contender's upload and check that every photo arrived."""
    bucket = label.replace("_", "-")
    running.new_bucket(bucket)
    url = running.new_database(label)
    turn = _turn_of(running, tree, bucket, url, options)
    if name == IMGCTL:
        _init(url)
    used = CONTENDERS[name](turn)
    if (found := _count(turn)) is not None:
        _expect(f"objects put by {name}", found, count)
    if name == IMGCTL:
        _expect("rows", scalar(url, "SELECT count(*) FROM images WHERE status = 'processing'"), count)
    running.drop_bucket(bucket)
    running.drop_database(label)
    return used


def _turn_of(running: Servers, tree: Path, bucket: str, url: str, options: argparse.Namespace) -> Turn:
    return Turn(
        servers=running,
        tree=tree,
        bucket=bucket,
        database_url=url,
        concurrency=options.concurrency,
        directory=options.directory,
    )


def _count(turn: Turn) -> int | None:
    if turn.directory:
        return sum(1 for found in turn.place.rglob("*.jpg") if found.is_file())
    return turn.servers.count_objects(turn.bucket)


def _init(url: str) -> None:
    catalog = open_catalog(url)
    upgrade(catalog)
    catalog.close()


def _stages(running: Servers, tree: Path, options: argparse.Namespace) -> None:
    """Run one more upload and sample its threads, which slows it down."""
    running.new_bucket("bench-stages")
    url = running.new_database("bench_stages")
    _init(url)
    turn = _turn_of(running, tree, "bench-stages", url, options)
    command = _upload(turn)
    command[command.index("imgctl")] = "bench.stages"
    subprocess.run(command, cwd=ROOT, env=_environment(turn), check=True)


def _expect(what: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise SystemExit(f"{what}: {found}, not {wanted}: nothing was measured")


def _imgctl(turn: Turn, *arguments: str) -> list[str]:
    scheme = "s3" if turn.servers.azure is None else "az"
    store = [f"file://{turn.place}"] if turn.directory else [f"{scheme}://{turn.bucket}"]
    endpoint = [] if turn.directory else ["--store-endpoint-url", turn.servers.endpoint_url]
    where = ["--catalog", turn.database_url, "--store", *store, *endpoint]
    return [sys.executable, "-m", "imgctl", *arguments, *where, "--no-progress"]


def _upload(turn: Turn) -> list[str]:
    flags = ["--concurrency", str(turn.concurrency)] if turn.concurrency else []
    return _imgctl(turn, "upload", str(turn.tree), "--user", USER, *flags)


def _environment(turn: Turn) -> dict[str, str]:
    # A journal is used, as by default, but not the user's own.
    return client_environment() | {"IMGCTL_UPLOAD_JOURNAL": str(turn.tree.parent / f"{turn.bucket}.journal")}


def _by_imgctl(turn: Turn) -> Spent:
    return spent(_upload(turn), _environment(turn))


def _by_s5cmd(turn: Turn, *, workers: int | None) -> Spent:
    flags = ["--endpoint-url", turn.servers.endpoint_url, "--log", "error"]
    flags += ["--numworkers", str(workers)] if workers else []
    command = [beside_python("s5cmd"), *flags, "cp", f"{turn.tree}/", f"s3://{turn.bucket}/"]
    return spent(command, client_environment())


def _by_rclone(turn: Turn) -> Spent:
    remote = {
        "RCLONE_CONFIG": "/dev/null",
        "RCLONE_CONFIG_BENCH_TYPE": "s3",
        "RCLONE_CONFIG_BENCH_PROVIDER": "SeaweedFS",
        "RCLONE_CONFIG_BENCH_ENV_AUTH": "true",
        "RCLONE_CONFIG_BENCH_ENDPOINT": turn.servers.endpoint_url,
    }
    if (azure := turn.servers.azure) is not None:
        remote |= {
            "RCLONE_CONFIG_BENCH_TYPE": "azureblob",
            "RCLONE_CONFIG_BENCH_ACCOUNT": azure.environment["AZURE_STORAGE_ACCOUNT_NAME"],
            "RCLONE_CONFIG_BENCH_ENV_AUTH": "false",
            "RCLONE_CONFIG_BENCH_KEY": azure.environment["AZURE_STORAGE_ACCOUNT_KEY"],
        }
    flags = ["--s3-no-check-bucket", *(["--transfers", str(turn.concurrency)] if turn.concurrency else [])]
    command = [beside_python("rclone"), "copy", *flags, f"{turn.tree}/", f"bench:{turn.bucket}"]
    return spent(command, client_environment() | remote)


def _by_copy(turn: Turn) -> Spent:
    # The shell quotes the paths; sync -f syncs the whole file system.
    copy = ["sh", "-c", 'cp -r "$1" "$2" && sync -f "$2"', "sh", str(turn.tree), str(turn.place)]
    return spent(copy, client_environment())


def _by_rclone_local(turn: Turn) -> Spent:
    flags = ["--transfers", str(turn.concurrency)] if turn.concurrency else []
    command = [beside_python("rclone"), "copy", *flags, str(turn.tree), str(turn.place)]
    return spent(command, client_environment() | {"RCLONE_CONFIG": "/dev/null"})


CONTENDERS: dict[str, Callable[[Turn], Spent]] = {
    IMGCTL: _by_imgctl,
    S5CMD: lambda turn: _by_s5cmd(turn, workers=turn.concurrency),
    S5CMD_DEFAULT: lambda turn: _by_s5cmd(turn, workers=256),
    RCLONE: _by_rclone,
    COPY: _by_copy,
    RCLONE_LOCAL: _by_rclone_local,
}
BUCKET, DIRECTORY = (IMGCTL, S5CMD, S5CMD_DEFAULT, RCLONE), (IMGCTL, COPY, RCLONE_LOCAL)


def _report(size: str, found: dict[str, Spent], options: argparse.Namespace) -> None:
    count, ours = getattr(options, size), found[IMGCTL]
    network = f", {options.delay_ms:g} ms before each request" if options.delay_ms else ""
    at_once = f"{options.concurrency} at once" if options.concurrency else "each at its own defaults"
    store = (
        "Azurite"
        if options.store == "az"
        else "a directory"
        if options.directory
        else "a sink"
        if options.sink
        else "SeaweedFS"
    )
    print(f"\n{count} {size} photos into {store}, {at_once}{network}; medians of {options.turns} turns\n")
    print("| contender | wall s | CPU ms a photo | peak MiB | imgctl's wall ÷ its | imgctl's CPU ÷ its |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, used in found.items():
        figures = f"{used.wall:.2f} | {used.cpu / count * 1000:.2f} | {used.peak_mib:.0f}"
        print(f"| {name} | {figures} | {ours.wall / used.wall:.2f} | {ours.cpu / used.cpu:.2f} |")
    if options.directory:
        return
    name = RCLONE if options.store == "az" else S5CMD
    peer = found[name]
    goals = [("wall", ours.wall / peer.wall, WALL_GOAL), ("CPU", ours.cpu / peer.cpu, CPU_GOAL[size])]
    for what, ratio, goal in goals[: 1 if options.store == "az" else 2]:
        print(f"\ngoal: {what} at most {goal} of {name}'s: {ratio:.2f}, {'kept' if ratio <= goal else 'MISSED'}")


if __name__ == "__main__":
    main()
