"""Audit a million photos against a bare listing of their four million keys.

`python -m bench.audit [--images 1000000] [--small 100000] [--heads 20000]`. The bucket is a synthetic listing, served
over HTTP from a file; the rows lie in Postgres. s5cmd lists the same bucket from the same server; a HEAD for each key
is measured on a sample and multiplied.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from uuid import UUID

from sqlalchemy import create_engine, make_url, text

from bench.listed import ROLES, SIZES, image_id, listed_bucket, write_listing
from bench.parts import Spent, beside_python, client_environment, spent
from imgctl.config.catalog_store import StoreSettings
from imgctl.keys import key_of, time_of
from imgctl.store.blobs.open import open_store
from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.upgrade import upgrade
from tests.parts.postgres import postgres_server

PEAK_MB_GOAL, GROWTH_GOAL, WALL_GOAL = 200, 1.1, 1.0
USER = UUID("0190b2b4-0000-7000-8000-000000000001")
KEYS_PER_IMAGE = len(ROLES)
_COPY = (
    "COPY images (id, user_id, uploaded_at, promised_at, bytes, status, sha256, recipe, full_key, medium_key, original_key, thumb_key)"
    " FROM STDIN"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """One archive: its images, the resources of its audit, and those of the bare listing, if measured."""

    images: int
    audit: Spent
    listing: Spent | None = None


def main(arguments: Sequence[str] | None = None) -> None:
    """Make both archives, audit each, list the large one, and print the figures and whether they meet the goals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--small", type=int, default=100_000)
    parser.add_argument("--heads", type=int, default=20_000, help="how many keys are headed as a sample")
    options = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="imgctl-bench-", ignore_cleanup_errors=True) as folder,
        postgres_server(Path(folder)) as postgres_url,
    ):
        small = _measure(Path(folder), postgres_url, options.small, list_too=False)
        large = _measure(Path(folder), postgres_url, options.images, list_too=True)
        sample = min(options.heads, options.images * KEYS_PER_IMAGE)
        seconds = _heads(Path(folder) / f"{options.images}.xml", sample)
        _report(small, large, seconds_a_head=seconds / sample)


def _measure(place: Path, postgres_url: str, images: int, *, list_too: bool) -> Size:
    listing, url = place / f"{images}.xml", _database(postgres_url, f"audit_{images}")
    _timed(f"listing of {images * KEYS_PER_IMAGE:,} keys written", lambda: write_listing(listing, images))
    _timed(f"{images:,} rows copied", lambda: _fill(url, images))
    with listed_bucket(listing) as endpoint_url:
        where = ["--catalog", url, "--store", "s3://bench", "--store-endpoint-url", endpoint_url]
        command = [sys.executable, "-m", "imgctl", "audit", *where, "--no-progress", "--quiet"]
        # The archive has no damage: a finding (exit code 4) ends the bench.
        audit = spent(command, client_environment())
        print(f"{images:,} images audited in {audit.wall:.1f} s", file=sys.stderr)
        if not list_too:
            return Size(images=images, audit=audit)
        s5cmd = [beside_python("s5cmd"), "--endpoint-url", endpoint_url, "ls", "s3://bench/*"]
        return Size(images=images, audit=audit, listing=spent(s5cmd, client_environment()))


def _timed(what: str, work: Callable[[], None]) -> None:
    began = time.perf_counter()
    work()
    print(f"{what} in {time.perf_counter() - began:.1f} s", file=sys.stderr)


def _database(postgres_url: str, name: str) -> str:
    engine = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    url = make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    catalog = open_catalog(url)
    upgrade(catalog)
    catalog.close()
    return url


def _fill(url: str, images: int) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None
        with raw.cursor() as cursor, cursor.copy(_COPY) as copy:
            for row in _rows(images):
                copy.write(row)
        connection.execute(text("VACUUM (ANALYZE) images"))
    engine.dispose()


def _rows(images: int) -> Iterator[str]:
    for number in range(images):
        one = image_id(number)
        keys = "\t".join(key_of(one, role, "jpg") for role in ROLES)
        at, sha256 = time_of(one).isoformat(), f"\\\\x{one.hex}{one.hex}"
        yield f"{one}\t{USER}\t{at}\t{at}\t{SIZES['original']}\tready\t{sha256}\t0123abcd\t{keys}\n"


def _heads(listing: Path, count: int) -> float:
    """Return the seconds for one HEAD per key, sixteen at once."""
    os.environ.update(client_environment())
    with listed_bucket(listing) as endpoint_url, ThreadPoolExecutor(16) as pool:
        store = open_store(StoreSettings(url="s3://bench", endpoint_url=endpoint_url))
        keys = (key_of(image_id(number // 4), ROLES[number % 4], "jpg") for number in range(count))
        began = time.perf_counter()
        while some := list(islice(keys, 1000)):
            if None in pool.map(store.head, some):
                raise SystemExit("a key that was listed is not there: nothing was measured")
        return time.perf_counter() - began


def _report(small: Size, large: Size, *, seconds_a_head: float) -> None:
    assert large.listing is not None
    print("\n| what | images | keys | wall s | CPU s | peak MB | µs a key |\n|---|---:|---:|---:|---:|---:|---:|")
    _row("imgctl audit", small.images, small.audit)
    _row("imgctl audit", large.images, large.audit)
    _row("s5cmd ls", large.images, large.listing)
    keys = large.images * KEYS_PER_IMAGE
    heads = keys * seconds_a_head
    print(
        f"| a HEAD for each key, reckoned | {large.images:,} | {keys:,} | {heads:.0f} | | | {seconds_a_head * 1e6:.0f} |"
    )
    print()
    wall, growth = large.audit.wall / large.listing.wall, large.audit.peak_mib / small.audit.peak_mib
    _goal(f"wall at most {WALL_GOAL} of the bare listing's", f"{wall:.2f}", kept=wall <= WALL_GOAL)
    _goal(f"peak below {PEAK_MB_GOAL} MB", f"{_mb(large.audit)} MB", kept=_mb(large.audit) < PEAK_MB_GOAL)
    _goal(f"peak at most {GROWTH_GOAL} of the small run's", f"{growth:.2f}", kept=growth <= GROWTH_GOAL)
    print(f"a HEAD for each key takes {heads / large.audit.wall:.0f} times as long as the audit")


def _row(what: str, images: int, used: Spent) -> None:
    keys = images * KEYS_PER_IMAGE
    print(
        f"| {what} | {images:,} | {keys:,} | {used.wall:.1f} | {used.cpu:.1f} | {_mb(used)} | {used.wall / keys * 1e6:.1f} |"
    )


def _goal(goal: str, found: str, *, kept: bool) -> None:
    print(f"goal: {goal}: {found}, {'kept' if kept else 'MISSED'}")


def _mb(used: Spent) -> int:
    return round(used.peak_mib * 2**20 / 1e6)


if __name__ == "__main__":
    main()
