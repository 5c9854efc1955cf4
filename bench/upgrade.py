"""Measures how long a reader and a writer wait during an upgrade of the catalog: `python -m bench.upgrade [ROWS]`.

Fills a catalog of revision 0002, then applies every later migration and builds an index beside it, while one thread
reads and one writes single rows; prints the longest and the median wait of each, in milliseconds.
"""

import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import text

from imgctl.store.catalog.engine import Catalog, open_catalog
from imgctl.store.catalog.migrations import online
from imgctl.store.catalog.upgrade import upgrade
from tests.parts.postgres import postgres_server

FILL = """
INSERT INTO images (id, user_id, uploaded_at, status, sha256, bytes)
SELECT uuidv7(), uuidv7(), '2020-01-01Z', 'ready', sha256(n::text::bytea), n FROM generate_series(1, :rows) n
"""
READ = text("SELECT status FROM images ORDER BY id LIMIT 1")
WRITE = text("UPDATE images SET bytes = bytes + 1 WHERE id = (SELECT id FROM images ORDER BY id LIMIT 1)")


def use(catalog: Catalog, statement: object, done: threading.Event, waits: list[float]) -> None:
    """Run one statement repeatedly, and record the duration of each run."""
    while not done.is_set():
        begun = time.perf_counter()
        with catalog.write() as connection:
            connection.execute(statement)  # type: ignore[call-overload]
        waits.append(time.perf_counter() - begun)


def build(catalog: Catalog) -> None:
    """Build an index over all rows, like a migration."""
    with catalog.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"transaction_per_migration": True})
        with Operations.context(context), context.begin_transaction(_per_migration=True):
            online.create_index("idx_bench", "images", ["bytes", "uploaded_at"])


def main() -> None:
    """Upgrade, and print the waits."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as place, postgres_server(Path(place)) as url:
        catalog = open_catalog(url)
        upgrade(catalog, to="0002")
        with catalog.write() as connection:
            connection.execute(text(FILL), {"rows": rows})
        for name, change in (
            ("idle", lambda: time.sleep(2)),
            ("upgrade", lambda: upgrade(catalog)),
            ("index", lambda: build(catalog)),
        ):
            waits: dict[str, list[float]] = {"read": [], "write": []}
            done = threading.Event()
            users = [
                threading.Thread(target=use, args=(catalog, statement, done, waits[kind]))
                for kind, statement in (("read", READ), ("write", WRITE))
            ]
            for user in users:
                user.start()
            begun = time.perf_counter()
            change()
            took = time.perf_counter() - begun
            done.set()
            for user in users:
                user.join()
            figures = "  ".join(
                f"{kind}: longest {max(each) * 1000:.0f} ms, median {statistics.median(each) * 1000:.1f} ms of {len(each)}"
                for kind, each in waits.items()
            )
            print(f"{rows} rows, {name} ({took:.1f} s): {figures}", flush=True)
        catalog.close()


if __name__ == "__main__":
    main()
