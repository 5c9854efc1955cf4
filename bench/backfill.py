"""Measures how fast a backfill finds a few stale rows in a large table on Postgres, and its memory.

`python -m bench.backfill [--rows 1000000] [--stale 1000]`; the goals are in GOALS.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import create_engine, text

from bench.parts import beside_python, client_environment, spent
from imgctl.config.catalog_store import CatalogSettings, StoreSettings
from imgctl.config.settings import Settings
from imgctl.imaging.recipe_digest import digest
from imgctl.model import Recipe
from imgctl.ops.backfill.options import BackfillOrder, Mode, Selection
from imgctl.ops.backfill.start import backfill
from imgctl.ops.common.open import open_parts
from imgctl.run.stop import Stop
from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.upgrade import upgrade
from tests.parts.postgres import postgres_server

GOALS = (
    "goals: one walk by the primary key, 200,000 rows/s or more; memory at 1,000,000 rows at most 5% above 100,000 rows"
)
USERS = 10_000
SHARE_OF_SMALL = 10
CURRENT = digest(Recipe())

_FILL = """
INSERT INTO images (id, user_id, uploaded_at, promised_at, bytes, taken_at, width, height, status, sha256, content_type,
                    recipe, original_key, thumb_key, medium_key, full_key, attempts)
SELECT id, md5(number % {users} || 'user')::uuid, uuid_extract_timestamp(id), uuid_extract_timestamp(id), 3000000 + number,
       uuid_extract_timestamp(id) - interval '1 day', 4032, 3024, 'ready', sha256(number::text::bytea), 'image/jpeg',
       CASE WHEN number % {every} = 0 THEN '00000000' ELSE '{current}' END, stem || '-original.jpg',
       stem || '-thumb.jpg', stem || '-medium.jpg', stem || '-full.jpg', 1
FROM (
    SELECT number, id, to_char(uuid_extract_timestamp(id) AT TIME ZONE 'UTC', 'YYYY/MM/DD/') || id AS stem
    FROM (
        SELECT number, uuidv7((number - {last}) * interval '1 second') AS id
        FROM generate_series({first}, {last}) AS number OFFSET 0
    ) AS numbered
) AS named
"""
_PLAN = (
    "EXPLAIN SELECT id FROM images WHERE id > '00000000-0000-0000-0000-000000000000' ORDER BY id OFFSET 9999 LIMIT 1"
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the whole benchmark on a server of its own and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows in the table")
    parser.add_argument("--stale", type=int, default=1000, help="of these, evenly spread")
    options = parser.parse_args(arguments)
    small, every = options.rows // SHARE_OF_SMALL, options.rows // options.stale
    with tempfile.TemporaryDirectory() as directory, postgres_server(Path(directory)) as url:
        catalog = open_catalog(url)
        upgrade(catalog)
        catalog.close()
        # Ids contain times: the small table is the newest tenth of the large one.
        _fill(url, first=options.rows - small + 1, last=options.rows, every=every)
        before = _measure(url, rows=small, place=Path(directory))
        _fill(url, first=1, last=options.rows - small, every=every, until=options.rows)
        after = _measure(url, rows=options.rows, place=Path(directory))
        print(f"memory at {options.rows:,} rows / at {small:,}: {after / before:.3f}")
        print(f"the walk's bound: {_plan(url)}")
        print(GOALS)


def _fill(url: str, *, first: int, last: int, every: int, until: int | None = None) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    statement = _FILL.format(users=USERS, every=every, current=CURRENT, first=first, last=last)
    if until is not None:
        statement = statement.replace(f"(number - {last})", f"(number - {until})")
    with engine.connect() as connection:
        connection.execute(text(statement.replace("::", "\\:\\:")))
        connection.execute(text("VACUUM (ANALYZE) images"))
        connection.execute(text("CHECKPOINT"))
    engine.dispose()


def _measure(url: str, *, rows: int, place: Path) -> float:
    """Print how fast the stale rows are found; returns the peak memory of the command that finds them, in MiB."""
    examined, found, seconds = _walk(url, place)
    if examined != rows:
        raise SystemExit(f"{examined:,} rows examined of {rows:,}")
    command = [beside_python("imgctl"), "backfill", "--stale", "--dry-run", "-q"]
    environment = {"IMGCTL_CATALOG_URL": url, "IMGCTL_STORE_URL": f"file://{place}/blobs", "HOME": str(place)}
    used = spent(command, client_environment() | environment)
    print(
        f"{rows:>9,} rows, {found:,} stale: {seconds:.2f} s, {rows / seconds:>9,.0f} rows/s; "
        f"the command: {used.wall:.2f} s, peak {used.peak_mib:.1f} MiB",
        flush=True,
    )
    return used.peak_mib


def _walk(url: str, place: Path) -> tuple[int, int, float]:
    """Rows examined, rows found, and the seconds it took."""
    settings = Settings(catalog=CatalogSettings(url=url), store=StoreSettings(url=f"file://{place}/blobs"))
    order = BackfillOrder(selection=Selection(mode=Mode.STALE, recipe=CURRENT))
    with open_parts(settings) as parts, backfill(order, parts, stop=Stop()) as run:
        began = time.perf_counter()
        found = sum(1 for _ in run.outcomes(limit=None, dry_run=True))
        return run.search.examined, found, time.perf_counter() - began


def _plan(url: str) -> str:
    engine = create_engine(url)
    with engine.connect() as connection:
        lines = [str(row[0]).strip() for row in connection.execute(text(_PLAN))]
    engine.dispose()
    return next((line for line in lines if "Scan" in line), lines[0])


if __name__ == "__main__":
    main()
