"""Measures how fast workers claim and finish images on Postgres, with a short and a long queue, and the bytes of a row.

`python -m bench.claims [--rows 1000000] [--backlog 1000000] [--claimers 8]`; the goals are in GOALS.
"""

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median, quantiles

from sqlalchemy import create_engine, text

from imgctl.keys import key_of
from imgctl.store.catalog.engine import Catalog, open_catalog
from imgctl.store.catalog.queries.claims import Claim, Position, claim
from imgctl.store.catalog.queries.results import Finished, finish
from imgctl.store.catalog.upgrade import upgrade
from tests.parts.postgres import postgres_server

GOALS = "goals: 10,000 rows/s or more; the long queue at 65% of the short one or more; heap 450 B/row, all 600 or less"
BATCH = 64
SMALL_BACKLOG = 10_000
ROUNDS = 5
USERS = 10_000

_FILL = """
INSERT INTO images (id, user_id, uploaded_at, promised_at, bytes, taken_at, width, height, status, sha256, content_type,
                    recipe, original_key, thumb_key, medium_key, full_key, attempts)
SELECT id, md5(({first} + number) % {users} || 'user')::uuid, uuid_extract_timestamp(id), uuid_extract_timestamp(id), 3000000 + number,
       uuid_extract_timestamp(id) - interval '1 day', 4032, 3024, '{status}',
       sha256(('{status}' || {first} + number)::bytea), 'image/jpeg', {recipe}, stem || '-original.jpg', {variants}, {attempts}
FROM (
    SELECT number, id, to_char(uuid_extract_timestamp(id) AT TIME ZONE 'UTC', 'YYYY/MM/DD/') || id AS stem
    FROM (
        SELECT number, uuidv7((number - {rows}) * interval '1 second') AS id FROM generate_series(1, {rows}) AS number
        OFFSET 0
    ) AS numbered
) AS named
"""
_READY = {"status": "ready", "recipe": "'0123abcd'", "attempts": "1"}
_READY["variants"] = "stem || '-thumb.jpg', stem || '-medium.jpg', stem || '-full.jpg'"
_PROCESSING = {"status": "processing", "recipe": "NULL", "attempts": "0", "variants": "NULL, NULL, NULL"}
_SIZES = "SELECT pg_table_size('images'), pg_indexes_size('images'), (SELECT count(*) FROM images)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The figures of one claimer: rows finished, start and end (monotonic clock), seconds of each claim."""

    rows: int
    began: float
    ended: float
    claims: tuple[float, ...]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the whole benchmark on a server of its own and print its figures."""
    options = _options(arguments)
    with tempfile.TemporaryDirectory() as directory, postgres_server(Path(directory)) as url:
        catalog = open_catalog(url)
        upgrade(catalog)
        _fill(url, _READY, rows=options.rows, first=0)
        _print_sizes(catalog, f"{options.rows:,} ready rows")
        short = median([_round(url, options, first=number * SMALL_BACKLOG) for number in range(ROUNDS)])
        _fill(url, _PROCESSING, rows=options.backlog, first=ROUNDS * SMALL_BACKLOG)
        long = _measure(url, options, backlog=options.backlog)
        print(f"long queue / short queue: {long / short:.2f}")
        _print_sizes(catalog, "after all of it")
        print(GOALS)
        catalog.close()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="ready rows in the table beforehand")
    parser.add_argument("--backlog", type=int, default=1_000_000, help="the long queue")
    parser.add_argument("--claimers", type=int, default=8, help="processes that claim")
    return parser.parse_args(arguments)


def _round(url: str, options: argparse.Namespace, *, first: int) -> float:
    _fill(url, _PROCESSING, rows=SMALL_BACKLOG, first=first)
    return _measure(url, options, backlog=SMALL_BACKLOG)


def _fill(url: str, kind: dict[str, str], *, rows: int, first: int) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(_FILL.format(**kind, rows=rows, first=first, users=USERS).replace("::", "\\:\\:")))
        connection.execute(text("VACUUM (ANALYZE) images"))
        connection.execute(text("CHECKPOINT"))
    engine.dispose()


def _measure(url: str, options: argparse.Namespace, *, backlog: int) -> float:
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(options.claimers)
    with context.Pool(options.claimers, initializer=_meet, initargs=(together,)) as pool:
        shares = pool.map(_drain, [url] * options.claimers, chunksize=1)
    rows = sum(share.rows for share in shares)
    if rows != backlog:
        raise SystemExit(f"{rows:,} rows finished of {backlog:,}: some were lost or done twice")
    rate = rows / (max(share.ended for share in shares) - min(share.began for share in shares))
    seconds = sorted(second for share in shares for second in share.claims)
    p99 = quantiles(seconds, n=100)[98]
    print(
        f"backlog {backlog:>9,}: {rate:>8,.0f} rows/s, claim of {BATCH}: "
        f"median {median(seconds) * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms",
        flush=True,
    )
    return rate


_together: Barrier | None = None


def _meet(together: Barrier) -> None:
    global _together  # noqa: PLW0603 - a barrier reaches a pool's process no other way
    _together = together


def _drain(url: str) -> Share:
    catalog = open_catalog(url)
    with catalog.read() as connection:
        connection.execute(text("SELECT 1"))
    assert _together is not None
    _together.wait()
    began = time.monotonic()
    rows, claims, position = 0, list[float](), Position()
    while True:
        start = time.perf_counter()
        with catalog.write() as connection:
            held = claim(connection, limit=BATCH, lease_seconds=60, max_attempts=5, position=position)
        claims.append(time.perf_counter() - start)
        if not held:
            break
        with catalog.write() as connection:
            rows += len(finish(connection, [_finished(one) for one in held]))
    catalog.close()
    return Share(rows=rows, began=began, ended=time.monotonic(), claims=tuple(claims))


def _finished(held: Claim) -> Finished:
    keys = {f"{role}_key": key_of(held.id, role, "jpg") for role in ("thumb", "medium", "full")}
    return Finished(id=held.id, attempts=held.attempts, recipe="0123abcd", width=4032, height=3024, **keys)


def _print_sizes(catalog: Catalog, moment: str) -> None:
    with catalog.read() as connection:
        heap, indexes, rows = connection.execute(text(_SIZES)).one()
    print(f"{moment}: heap {heap / rows:.0f} B/row, with indexes {(heap + indexes) / rows:.0f} B/row", flush=True)


if __name__ == "__main__":
    main()
