"""Copy a bucket to another with imgctl and rclone in turns: `python -m bench.migrate [--only small] [--delay-ms 40]`.

rclone copies with --checksum from one remote to another, so that the bytes pass through it as they pass through imgctl,
which also reads each photo for its format, size and dates, hashes it, and writes a row on Postgres before and after
each put. Only the clients are measured; the two stores and Postgres run on the same machine and compete for it.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.parts import (
    Servers,
    Spent,
    beside_python,
    client_environment,
    distant,
    file_system,
    medians,
    scalar,
    servers,
    spent,
)
from bench.photos import Kind, write_tree
from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.upgrade import upgrade
from tests.parts.seaweed import S3Server, seaweed_server

USER = "0190b2b4-0000-7000-8000-000000000001"
IMGCTL, RCLONE, RCLONE_MORE = "imgctl", "rclone", "rclone, 16 transfers"
KINDS: dict[str, Kind] = {"large": "camera", "small": "small"}
WALL_GOAL = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One copy of a source bucket by one contender into a bucket of its own."""

    servers: Servers
    source: str
    source_endpoint: str
    bucket: str
    database_url: str
    journal: Path


def main(arguments: Sequence[str] | None = None) -> None:
    """Fill the sources, let the contenders take turns, print medians and ratios."""
    options = _options(arguments)
    sizes = [size for size in KINDS if options.only in (None, size)]
    with tempfile.TemporaryDirectory(prefix="imgctl-bench-", ignore_cleanup_errors=True) as folder:
        place = Path(folder)
        print(f"photos, catalog and stores lie below {file_system(place.parent)}")
        with (
            servers(place, delay_ms=options.delay_ms) as running,
            seaweed_server(place / "source") as source,
            distant(source.endpoint_url, options.delay_ms) as endpoint,
        ):
            for size in sizes:
                count = getattr(options, size)
                _fill(source, f"source-{size}", place / size, count, KINDS[size])
                results = _turns(running, f"source-{size}", endpoint, place, count, options.turns)
                _report(size, count, {name: medians(each) for name, each in results.items()}, options)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", type=int, default=200, help="photos of 8 megapixels, 2.5 MB each")
    parser.add_argument("--small", type=int, default=3000, help="photos of 0.3 megapixels, 50 KB each")
    parser.add_argument("--only", choices=list(KINDS))
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--delay-ms", type=float, default=0.0, help="put so much latency before every request")
    return parser.parse_args(arguments)


def _fill(source: S3Server, bucket: str, tree: Path, count: int, kind: Kind) -> None:
    write_tree(tree, count=count, kind=kind)
    source.client().create_bucket(Bucket=bucket)
    for path in sorted(tree.rglob("*")):
        if path.is_file():
            source.client().put_object(Bucket=bucket, Key=str(path.relative_to(tree)), Body=path.read_bytes())


def _turns(running: Servers, source: str, endpoint: str, place: Path, count: int, turns: int) -> dict[str, list[Spent]]:
    results: dict[str, list[Spent]] = {name: [] for name in CONTENDERS}
    for number in range(turns):
        # Each contender is first once, because the store slows down as it fills.
        names = [*CONTENDERS][number % len(CONTENDERS) :] + [*CONTENDERS][: number % len(CONTENDERS)]
        for position, name in enumerate(names):
            bucket = f"{source}-{number}-{position}"
            running.new_bucket(bucket)
            label = bucket.replace("-", "_")
            turn = Turn(
                servers=running,
                source=source,
                source_endpoint=endpoint,
                bucket=bucket,
                database_url=running.new_database(label),
                journal=place / f"{bucket}.journal",
            )
            results[name].append(_turn(turn, name, count))
            running.drop_bucket(bucket)
            running.drop_database(label)
            print(f"{source} turn {number + 1}: {name} {results[name][-1].wall:.2f} s", file=sys.stderr)
    return results


def _turn(turn: Turn, name: str, count: int) -> Spent:
    """Run one contender's copy and check that every photo arrived."""
    if name == IMGCTL:
        catalog = open_catalog(turn.database_url)
        upgrade(catalog)
        catalog.close()
    used = CONTENDERS[name](turn)
    found = [turn.servers.count_objects(turn.bucket)]
    if name == IMGCTL:
        found.append(scalar(turn.database_url, "SELECT count(*) FROM images WHERE status = 'processing'"))
    if set(found) != {count}:
        raise SystemExit(f"{name} copied {found}, not {count}: nothing was measured")
    return used


def _by_imgctl(turn: Turn) -> Spent:
    where = ["--catalog", turn.database_url, "--store", f"s3://{turn.bucket}"]
    where += ["--store-endpoint-url", turn.servers.endpoint_url, "--no-progress"]
    source = {
        "IMGCTL_SOURCE_OLD_URL": f"s3://{turn.source}",
        "IMGCTL_SOURCE_OLD_ENDPOINT_URL": turn.source_endpoint,
        "IMGCTL_UPLOAD_JOURNAL": str(turn.journal),
    }
    command = [sys.executable, "-m", "imgctl", "upload", "source:old", "--user", USER, *where]
    return spent(command, client_environment() | source)


def _by_rclone(turn: Turn, *more: str) -> Spent:
    remotes = {"RCLONE_CONFIG": "/dev/null"}
    for name, endpoint in (("OLD", turn.source_endpoint), ("NEW", turn.servers.endpoint_url)):
        remotes |= {
            f"RCLONE_CONFIG_{name}_TYPE": "s3",
            f"RCLONE_CONFIG_{name}_PROVIDER": "SeaweedFS",
            f"RCLONE_CONFIG_{name}_ENV_AUTH": "true",
            f"RCLONE_CONFIG_{name}_ENDPOINT": endpoint,
        }
    copy = ["copy", "--checksum", "--s3-no-check-bucket", *more, f"old:{turn.source}", f"new:{turn.bucket}"]
    return spent([beside_python("rclone"), *copy], client_environment() | remotes)


CONTENDERS: dict[str, Callable[[Turn], Spent]] = {
    IMGCTL: _by_imgctl,
    RCLONE: _by_rclone,
    RCLONE_MORE: lambda turn: _by_rclone(turn, "--transfers", "16"),
}


def _report(size: str, count: int, found: dict[str, Spent], options: argparse.Namespace) -> None:
    ours = found[IMGCTL]
    network = f", {options.delay_ms:g} ms before each request" if options.delay_ms else ""
    print(f"\n{count} {size} photos from one SeaweedFS into another{network}; medians of {options.turns} turns\n")
    print("| contender | wall s | CPU ms a photo | peak MiB | imgctl's wall ÷ its | imgctl's CPU ÷ its |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, used in found.items():
        figures = f"{used.wall:.2f} | {used.cpu / count * 1000:.2f} | {used.peak_mib:.0f}"
        print(f"| {name} | {figures} | {ours.wall / used.wall:.2f} | {ours.cpu / used.cpu:.2f} |")
    ratio = ours.wall / found[RCLONE].wall
    print(f"\ngoal: wall at most {WALL_GOAL} of rclone's: {ratio:.2f}, {'kept' if ratio <= WALL_GOAL else 'MISSED'}")


if __name__ == "__main__":
    main()
