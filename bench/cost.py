"""Measures the statement of `imgctl cost actual` on a large archive, by class and by month.

`python -m bench.cost` fills a Postgres of its own with 1,000,000 ready rows and prints the time of each run.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from sqlalchemy import create_engine, event, text

from bench.claims import _FILL, _READY, USERS
from imgctl.ops.cost.actual import By, actual
from imgctl.ops.cost.survey import Question, survey
from imgctl.pricing.card_files import load_card
from imgctl.store.catalog.engine import Catalog, open_catalog
from imgctl.store.catalog.upgrade import upgrade
from tests.parts.postgres import postgres_server

ROUNDS = 3


def main(arguments: Sequence[str] | None = None) -> None:
    """Fill a catalog and measure its bill."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="ready rows in the table")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory, postgres_server(Path(directory)) as url:
        catalog = open_catalog(url)
        upgrade(catalog)
        fill(url, options.rows)
        print(f"{options.rows:,} rows of {USERS:,} users")
        for by in (By.CLASS, By.MONTH):
            _print_times(catalog, by)
        catalog.close()


def fill(url: str, rows: int) -> None:
    """Insert ready rows, a second apart, half of their originals archived."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    filling = _FILL.format(**_READY, rows=rows, first=0, users=USERS).replace("::", "\\:\\:")
    with engine.connect() as connection:
        connection.execute(text(filling))
        connection.execute(text("UPDATE images SET storage_class = 'GLACIER' WHERE bytes % 2 = 0"))
        connection.execute(text("VACUUM (ANALYZE) images"))
    engine.dispose()


def _print_times(catalog: Catalog, by: By) -> None:
    card, statements, seconds = load_card(), list[str](), []
    event.listen(catalog.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    for _ in range(ROUNDS):
        statements.clear()
        began = time.perf_counter()
        bill = actual(card, survey(catalog, card, Question(by_month=by is By.MONTH)), by)
        seconds.append(time.perf_counter() - began)
    walks = sum("FROM images" in statement for statement in statements)
    print(
        f"cost actual --by {by}: {median(seconds):.2f} s, {walks} statement over the rows, ${bill.total:,.2f} a month"
    )


if __name__ == "__main__":
    main()
