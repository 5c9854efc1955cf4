"""Measures `imgctl find` for each kind of query on Postgres, and the size of the indexes of `[find] index`.

`python -m bench.find [--rows 1000000]`: half of the names are a camera's (IMG_0000.JPG to IMG_9999.JPG), half a
phone's, each different; a user has a hundred images, and one user a tenth of all.
"""

import argparse
import re
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from statistics import median
from uuid import UUID

from sqlalchemy import create_engine, event, text
from sqlalchemy.engine.interfaces import DBAPICursor

from bench.claims import _READY, _SIZES, _fill
from imgctl.store.catalog.engine import Catalog, open_catalog
from imgctl.store.catalog.optional_indexes import make_optional
from imgctl.store.catalog.queries.find import OPTIONAL, Sought, unindexed
from imgctl.store.catalog.queries.lookups import Scope, newest
from imgctl.store.catalog.upgrade import upgrade
from tests.parts.postgres import postgres_server

TIMES = 5
LARGE = UUID(int=1)
_SCAN = re.compile(r"(?:Index(?: Only)? Scan (?:Backward )?using|Bitmap Index Scan on) (\w+)|(Seq Scan) on images")
_NAMES = f"""
UPDATE images SET
  user_id = CASE WHEN bytes % 10 = 0 THEN CAST('{LARGE}' AS uuid) ELSE user_id END,
  caption = CASE WHEN bytes % 100 = 0 THEN 'Sunset ' || bytes || ' in Hamburg' END,
  name = CASE WHEN bytes % 2 = 0 THEN 'IMG_' || lpad(CAST(bytes / 2 % 10000 AS text), 4, '0') || '.JPG'
         ELSE 'PXL_' || to_char(taken_at, 'YYYYMMDD_HH24MISS') || '000.jpg' END
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run each query without the indexes and with them, for one user and for all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory, postgres_server(Path(directory)) as url:
        catalog = open_catalog(url)
        upgrade(catalog)
        _fill(url, _READY, rows=options.rows, first=0)
        _run(url, _NAMES, "VACUUM (FULL, ANALYZE) images", "CHECKPOINT")
        _print_sizes(catalog, "without")
        _ask(catalog)
        began = time.perf_counter()
        make_optional(catalog)
        print(f"built {', '.join(OPTIONAL)} in {time.perf_counter() - began:.1f} s")
        _run(url, "ANALYZE images")
        _print_sizes(catalog, "with")
        _ask(catalog)
        catalog.close()


def _ask(catalog: Catalog) -> None:
    with catalog.read() as connection:
        some = next(one for one in newest(connection, Scope(), limit=200) if one.user_id != LARGE)
    assert some.sha256 and some.taken_at
    questions = {
        "by content": Sought(sha256=some.sha256),
        "by name": Sought(name=some.name),
        "by its beginning": Sought(name=f"{(some.name or '')[:11]}*"),
        "by the hour it was taken": Sought(taken_since=some.taken_at, taken_until=some.taken_at + timedelta(hours=1)),
        "by the end of a name": Sought(name=f"*{(some.name or '')[4:]}"),
        "by a word of its caption": Sought(words=("hamburg",)),
        "the newest": Sought(),
    }
    for what, sought in questions.items():
        for whose, user_id in (("of a user", some.user_id), ("of one with a tenth", LARGE), ("of all", None)):
            taken = [_seconds(catalog, sought, user_id) for _ in range(TIMES)]
            with catalog.read() as connection:
                scans = f"  reads every row: {found}" if (found := unindexed(connection, sought, user_id)) else ""
            by = _scans(catalog, sought, user_id)
            print(f"  {what:<26} {whose:<20} {1000 * median(taken):>9.1f} ms  {by}{scans}", flush=True)


def _seconds(catalog: Catalog, sought: Sought, user_id: UUID | None) -> float:
    began = time.perf_counter()
    with catalog.read() as connection:
        newest(connection, Scope(user_id=user_id), sought=sought, limit=50)
    return time.perf_counter() - began


def _scans(catalog: Catalog, sought: Sought, user_id: UUID | None) -> str:
    """Return the database's plan from EXPLAIN: names of indexes, or `Seq Scan`."""
    plans: list[str] = []

    def explain(_c: object, cursor: DBAPICursor, statement: str, parameters: dict[str, object], *_: object) -> None:
        if "images" in statement:
            cursor.execute(f"EXPLAIN {statement}", parameters)
            plans.append("\n".join(str(line) for (line,) in cursor.fetchall()))

    event.listen(catalog.engine, "before_cursor_execute", explain)
    try:
        _seconds(catalog, sought, user_id)
    finally:
        event.remove(catalog.engine, "before_cursor_execute", explain)
    return ", ".join(dict.fromkeys(index or scan for plan in plans for index, scan in _SCAN.findall(plan)))


def _run(url: str, *statements: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for one in statements:
            connection.execute(text(one))
    engine.dispose()


def _print_sizes(catalog: Catalog, how: str) -> None:
    with catalog.read() as connection:
        heap, indexes, rows = connection.execute(text(_SIZES)).one()
        of = "SELECT relname, pg_relation_size(oid) FROM pg_class WHERE relname = ANY(:names)"
        each = connection.execute(text(of), {"names": list(OPTIONAL)}).all()
    print(f"{how} the indexes: heap {heap / rows:.0f} B/row, with all indexes {(heap + indexes) / rows:.0f} B/row")
    for name, size in each:
        print(f"  {name} {size / rows:.1f} B/row")


if __name__ == "__main__":
    main()
