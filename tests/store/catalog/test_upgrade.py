"""The migrations create exactly the schema of the queries."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import psycopg
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, bindparam, inspect, text

from imgctl.errors import CatalogError, SchemaNotCurrent
from imgctl.keys import new_id
from imgctl.model import IMAGE_COLUMNS
from imgctl.store.catalog import upgrade as upgrading
from imgctl.store.catalog.engine import Catalog, open_catalog
from imgctl.store.catalog.migrations.tables import whole_metadata
from imgctl.store.catalog.schema import Id, UtcTime, images
from imgctl.store.catalog.upgrade import ABSENT, HEAD, check_current, ddl, found, upgrade
from tests.store.catalog.rows import new_image, walk

MILLISECOND = timedelta(milliseconds=2)
REVISIONS = ["0001", "0002", "0003", "0004", "0005", "0006", "0007", HEAD]
OLD = """
INSERT INTO images (id, user_id, uploaded_at, status)
VALUES (:id, '7f0c6d5e-0000-4000-8000-000000000001', :uploaded_at, :status)
"""


TABLES = ("images", "erased", "holds", "operations", "fingerprints")


def described(connection: Connection) -> dict[str, str]:
    """Return the database's own description of the tables: columns, constraints, indexes with their expressions."""
    return {name: part for table in TABLES for name, part in _described(connection, table).items()}


def _described(connection: Connection, table: str) -> dict[str, str]:
    if connection.dialect.name == "sqlite":
        query = text("SELECT name, sql FROM sqlite_master WHERE tbl_name = :table AND type <> 'trigger'")
        return {str(name): " ".join(str(sql).split()) for name, sql in connection.execute(query, {"table": table})}
    inspector = inspect(connection)
    parts = [*inspector.get_columns(table), *inspector.get_indexes(table)]
    parts_text = {f"{table}.{part['name']}": str(sorted(part.items(), key=str)) for part in parts}
    others = (inspector.get_pk_constraint(table), inspector.get_check_constraints(table))
    options = text("SELECT reloptions FROM pg_class WHERE relname = :table")
    parts_text[f"{table}.options"] = str(connection.execute(options, {"table": table}).scalar_one())
    return {**parts_text, table: str(others)}


def _declared(connection: Connection) -> dict[str, str]:
    """Return the same for tables created from the schema's declaration."""
    for table in TABLES:
        connection.execute(text(f"DROP TABLE {table}"))
    whole_metadata().create_all(connection)
    return described(connection)


def test_head_is_the_newest_migration() -> None:
    migrations = Path(upgrading.__file__).with_name("migrations")

    assert ScriptDirectory(migrations).get_current_head() == HEAD


def test_the_table_has_every_column_of_an_image_and_one_more() -> None:
    assert set(images.c.keys()) == {*IMAGE_COLUMNS, "forgiven"}


def test_upgrading_an_empty_database_makes_it_current_and_again_does_nothing(empty_catalog_url: str) -> None:
    catalog = open_catalog(empty_catalog_url)

    assert found(catalog).revision == ABSENT
    assert upgrade(catalog) == REVISIONS
    assert upgrade(catalog) == []
    assert found(catalog).revision == HEAD
    check_current(catalog)
    catalog.close()


def test_upgrading_a_current_catalog_needs_no_right_to_write(postgres_url: str) -> None:
    catalog = open_catalog(f"{postgres_url}&options=-cdefault_transaction_read_only%3Don")

    assert upgrade(catalog) == []
    catalog.close()


def test_the_hint_of_an_upgrade_without_rights_is_the_printed_ddl(empty_postgres_url: str) -> None:
    catalog = open_catalog(empty_postgres_url)

    with pytest.raises(CatalogError) as raised, catalog.write() as connection:
        connection.execute(text("CREATE ROLE imgctl_no_ddl"))
        connection.execute(text("SET LOCAL ROLE imgctl_no_ddl"))
        connection.execute(text("CREATE TABLE one ()"))

    assert "imgctl init --sql" in raised.value.hint
    catalog.close()


def test_upgrading_twice_at_once_applies_each_revision_once(empty_catalog_url: str) -> None:
    catalogs = [open_catalog(empty_catalog_url) for _ in range(3)]
    together = Barrier(3)

    def run(catalog: Catalog) -> list[str]:
        together.wait()
        return upgrade(catalog)

    with ThreadPoolExecutor(3) as pool:
        applied = list(pool.map(run, catalogs))

    assert sorted(applied) == [[], [], REVISIONS]
    for catalog in catalogs:
        catalog.close()


def test_a_check_waits_for_another_process_that_creates_the_tables(empty_postgres_url: str) -> None:
    with closing(open_catalog(empty_postgres_url)) as catalog, closing(open_catalog(empty_postgres_url)) as other:
        upgrade(catalog, to="0007")
        with ExitStack() as creating:
            creating.enter_context(upgrading.alone(other))
            with pytest.raises(SchemaNotCurrent, match="has schema 0007"):
                check_current(catalog)

            def finish(_seconds: float) -> None:
                creating.close()
                upgrade(other)

            check_current(catalog, wait_seconds=600, pause=finish)


def test_a_check_ends_its_wait_when_it_is_stopped(empty_postgres_url: str) -> None:
    with (
        closing(open_catalog(empty_postgres_url)) as catalog,
        closing(open_catalog(empty_postgres_url)) as other,
        upgrading.alone(other),
        pytest.raises(SchemaNotCurrent),
    ):
        check_current(catalog, wait_seconds=600, pause=lambda _seconds: True)


def test_a_check_does_not_wait_for_old_tables_that_nothing_upgrades(empty_catalog_url: str) -> None:
    with closing(open_catalog(empty_catalog_url)) as catalog:
        upgrade(catalog, to="0007")

        with pytest.raises(SchemaNotCurrent, match="has schema 0007"):
            check_current(catalog, wait_seconds=600, pause=lambda _seconds: pytest.fail("it waits"))


def test_migrations_create_the_declared_schema(catalog: Catalog) -> None:
    with catalog.write() as connection:
        migrated = described(connection)
        declared = _declared(connection)

    indexes = {name.removeprefix("images.") for name in migrated}
    assert migrated == declared
    assert {"idx_user_recent", "uq_user_digest", "idx_claimable"} <= indexes


def test_an_unknown_status_is_rejected(catalog: Catalog) -> None:
    values = (
        "'0198c2a0-0000-7000-8000-000000000000', '0198c2a0-0000-7000-8000-000000000000', '2026-01-01 00:00:00', 'odd'"
    )

    with pytest.raises(CatalogError, match="ck_status"), catalog.write() as connection:
        connection.execute(text(f"INSERT INTO images (id, user_id, uploaded_at, status) VALUES ({values})"))


def test_the_error_has_the_found_and_the_required_schema(empty_catalog_url: str) -> None:
    with closing(open_catalog(empty_catalog_url)) as catalog:
        with pytest.raises(SchemaNotCurrent, match=r"does not exist|has no tables in its search_path") as absent:
            check_current(catalog)
        upgrade(catalog, to="0004")
        with pytest.raises(SchemaNotCurrent, match=f"has schema 0004.* requires {HEAD}") as older:
            check_current(catalog)

    assert absent.value.hint == "imgctl init, or correct [catalog] url"
    assert older.value.hint == "imgctl init"


def test_a_search_path_without_a_usable_schema_is_the_hint(postgres_url: str) -> None:
    with (
        closing(open_catalog(f"{postgres_url}&options=-csearch_path%3Dnowhere")) as catalog,
        pytest.raises(SchemaNotCurrent, match="no tables in its search_path nowhere") as raised,
    ):
        check_current(catalog)

    assert "GRANT USAGE, or correct search_path" in raised.value.hint


def test_a_catalog_of_a_newer_imgctl_is_not_changed(catalog: Catalog) -> None:
    with catalog.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9000', oldest_program = '8000'"))

    with pytest.raises(SchemaNotCurrent, match="9000") as raised:
        check_current(catalog)
    with pytest.raises(SchemaNotCurrent, match="9000"):
        upgrade(catalog)

    assert "newer imgctl" in raised.value.hint


def test_the_printed_ddl_creates_a_current_catalog(empty_catalog_url: str) -> None:
    script = ddl(empty_catalog_url)

    if empty_catalog_url.startswith("sqlite"):
        plain = sqlite3.connect(empty_catalog_url.removeprefix("sqlite:///"))
        plain.executescript(script)
        plain.close()
    else:
        with psycopg.connect(empty_catalog_url.replace("+psycopg", ""), autocommit=True) as connection:
            # Like psql: a batch of statements would be one transaction, in which no index can be built concurrently.
            for statement in script.split(";\n\n"):
                connection.execute(statement.encode())

    catalog = open_catalog(empty_catalog_url)
    check_current(catalog)
    with catalog.write() as connection:
        printed = described(connection)
        assert printed == _declared(connection)
    catalog.close()


def test_the_ddl_of_a_dialect_needs_no_database() -> None:
    assert "TIMESTAMP WITH TIME ZONE" in ddl("postgresql")
    assert "autovacuum" not in ddl("sqlite")


def test_existing_rows_were_promised_at_their_date_but_not_in_the_future(empty_catalog_url: str) -> None:
    catalog = open_catalog(empty_catalog_url)
    upgrade(catalog, to="0001")
    dates = {
        new_id(at): at for at in (datetime(1970, 1, 1, tzinfo=UTC), datetime(2020, 5, 1, 12, 0, 0, 123000, tzinfo=UTC))
    }
    future = new_id(datetime(2099, 1, 1, tzinfo=UTC))
    before = datetime.now(UTC) - MILLISECOND
    with catalog.write() as connection:
        for one, at in {**dates, future: datetime(2099, 1, 1, tzinfo=UTC)}.items():
            old = text(OLD).bindparams(bindparam("id", type_=Id()), bindparam("uploaded_at", type_=UtcTime()))
            connection.execute(old, {"id": one, "uploaded_at": at, "status": "ready"})

    assert upgrade(catalog) == REVISIONS[1:]

    with catalog.read() as connection:
        found = {image.id: image for image in walk(connection)}
    assert {one: found[one].promised_at for one in dates} == dates
    assert before < found[future].promised_at < datetime.now(UTC) + MILLISECOND
    assert found[future].uploaded_at.year == 2099
    catalog.close()


def test_an_upgrade_killed_while_it_filled_the_column_continues(empty_postgres_url: str) -> None:
    catalog = open_catalog(empty_postgres_url)
    upgrade(catalog, to="0001")
    dated, later = new_image(1), new_image(2)
    with catalog.write() as connection:
        old = text(OLD).bindparams(bindparam("id", type_=Id()), bindparam("uploaded_at", type_=UtcTime()))
        connection.execute(old, {"id": dated.id, "uploaded_at": dated.uploaded_at, "status": "ready"})
        connection.execute(
            text("ALTER TABLE images ADD COLUMN promised_at timestamptz NOT NULL DEFAULT statement_timestamp()")
        )
        # Has an old date like the others, but is promised now.
        connection.execute(old, {"id": later.id, "uploaded_at": later.uploaded_at, "status": "uploading"})

    assert upgrade(catalog) == REVISIONS[1:]

    with catalog.read() as connection:
        found = {image.id: image.promised_at - image.uploaded_at for image in walk(connection)}
    assert found[dated.id] == timedelta(0)
    assert found[later.id] > timedelta(days=1)
    catalog.close()


def test_more_rows_than_a_batch_are_all_filled(empty_postgres_url: str) -> None:
    catalog = open_catalog(empty_postgres_url)
    upgrade(catalog, to="0001")
    with catalog.write() as connection:
        connection.execute(
            text(
                "INSERT INTO images (id, user_id, uploaded_at, status) SELECT uuidv7(), uuidv7(), '2020-01-01Z', 'ready'"
                " FROM generate_series(1, 20001)"
            )
        )

    upgrade(catalog)

    with catalog.read() as connection:
        wrong = connection.execute(text("SELECT count(*) FROM images WHERE promised_at <> uploaded_at")).scalar_one()
    assert wrong == 0
    catalog.close()
