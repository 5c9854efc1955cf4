"""A test's database is emptied for the next test, or dropped if more than rows changed."""

import psycopg
import pytest

from imgctl.store.catalog.engine import open_catalog
from tests.parts.postgres import emptied, template_url
from tests.store.catalog.rows import queued


def _connect(url: str) -> psycopg.Connection:
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)


def test_rows_and_sessions_of_a_test_are_gone(postgres_base_url: str, postgres_url: str) -> None:
    catalog = open_catalog(postgres_url)
    queued(catalog, 3)
    catalog.close()
    with _connect(postgres_url) as left:
        done = emptied(postgres_url, like=template_url(postgres_base_url))
        with pytest.raises(psycopg.OperationalError):
            left.execute("SELECT 1")

    assert done
    with _connect(postgres_url) as connection:
        assert connection.execute("SELECT count(*) FROM images").fetchone() == (0,)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE INDEX another ON images (bytes)",
        "DROP INDEX idx_user_recent",
        "ALTER TABLE images ADD COLUMN another int",
        "ALTER TABLE images ALTER COLUMN caption SET NOT NULL",
        "ALTER TABLE images SET (fillfactor = 50)",
        "ALTER TABLE operations DISABLE TRIGGER ALL",
        "CREATE SCHEMA another",
        "GRANT SELECT ON images TO public",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = 64', current_database()); END $$",
        "UPDATE alembic_version SET version_num = '0001'",
        "ANALYZE alembic_version",
    ],
)
def test_a_database_with_other_changes_is_not_reused(postgres_base_url: str, postgres_url: str, statement: str) -> None:
    with _connect(postgres_url) as connection:
        connection.execute(statement)

    assert not emptied(postgres_url, like=template_url(postgres_base_url))
