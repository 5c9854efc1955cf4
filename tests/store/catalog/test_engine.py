"""Opening a catalog, its transactions, and error messages."""

import socket
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import URL, make_url, text

from imgctl.errors import CatalogError, CatalogUnavailable, ConfigError, SchemaNotCurrent
from imgctl.store.catalog.engine import Catalog, open_catalog
from imgctl.store.catalog.explain import without_passwords
from imgctl.store.catalog.health import check_writable
from imgctl.store.catalog.queries.reservations import promise
from tests.store.catalog.rows import counts, new_image, walk

SECRET = "s3cr3t/word"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_scheme_of_postgres_is_the_same(scheme: str, postgres_url: str) -> None:
    catalog = open_catalog(postgres_url.replace("postgresql+psycopg", scheme))

    with catalog.read() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
    catalog.close()


@pytest.mark.parametrize(
    "url",
    ["mysql://u:s3cr3t@h/d", "postgresql+asyncpg://u:s3cr3t@h/d", "s3cr3t", "sqlite://", "sqlite:///:memory:", ""],
)
def test_other_urls_are_rejected_without_showing_them(url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        open_catalog(url)

    assert "s3cr3t" not in raised.value.line
    assert "sqlite:///PATH" in raised.value.line or "sqlite:///imgctl-data" in raised.value.line


def test_a_password_with_an_unescaped_at_sign_is_rejected_and_not_shown() -> None:
    with pytest.raises(ConfigError) as raised:
        open_catalog("postgresql://me:very@s3cr3t@127.0.0.1/photos")

    assert "write %40" in raised.value.line
    assert "s3cr3t" not in raised.value.line


@pytest.mark.parametrize(
    ("password", "message", "shown"),
    [
        ("a", 'database "archive" has a bad name', 'database "archive" has a bad name'),
        ("in", "invalid integer value in a parameter", "invalid integer value in a parameter"),
        ("postgres", 'password authentication failed for user "postgres"', None),
        ("photos", 'database "photos" does not exist', None),
        ("a", "cannot parse postgresql://me:a@db/photos", "cannot parse postgresql://me:***@db/photos"),
        ("p@s", "cannot parse postgresql://me:p%40s@db/photos", "cannot parse postgresql://me:***@db/photos"),
        ("a", "bad option: host=db password=a user=me", "bad option: host=db password=*** user=me"),
        ("a b", "bad option: password='a b'", "bad option: password='***'"),
        ("password", 'password authentication failed for user "me"', None),
        ("parameter", "unknown parameters, and a parameter", "unknown parameters, and a ***"),
        ("correct horse", "unexpected text: correct horse", "unexpected text: ***"),
        ("postgres", "cannot parse //postgres:postgres@db", "cannot parse //postgres:***@db"),
    ],
)
def test_a_password_is_masked_where_it_stands_and_words_stay_whole(
    password: str, message: str, shown: str | None
) -> None:
    for url in (
        URL.create("postgresql+psycopg", "postgres", password, "db", database="photos"),
        URL.create("postgresql+psycopg", "postgres", None, "db", database="photos", query={"password": password}),
    ):
        assert without_passwords(message, url) == (message if shown is None else shown)


def test_a_closed_port_is_unavailable_and_the_password_is_not_shown(closed_port: int) -> None:
    url = make_url("postgresql://me@127.0.0.1/photos").set(password=SECRET, port=closed_port)
    catalog = open_catalog(url.render_as_string(hide_password=False))

    with pytest.raises(CatalogUnavailable, match=f"me@127.0.0.1:{closed_port}/photos") as raised, catalog.read():
        pass

    assert SECRET not in raised.value.line
    assert SECRET not in catalog.place
    assert "\n" not in raised.value.line


def test_a_missing_database_is_named_with_a_hint(postgres_url: str) -> None:
    url = make_url(postgres_url).set(database="nowhere", password=SECRET)
    catalog = open_catalog(url.render_as_string(hide_password=False))

    with pytest.raises(CatalogError, match="nowhere") as raised, catalog.read():
        pass

    assert not isinstance(raised.value, CatalogUnavailable)
    assert "createdb" in raised.value.hint
    assert SECRET not in raised.value.line


def test_the_hint_for_a_missing_role_is_about_the_user(postgres_url: str) -> None:
    catalog = open_catalog(make_url(postgres_url).set(username="nobody_here").render_as_string(hide_password=False))

    with pytest.raises(CatalogError, match="nobody_here") as raised, catalog.read():
        pass

    assert "user" in raised.value.hint


def test_the_hint_for_a_forbidden_table_is_about_grants(postgres_url: str) -> None:
    catalog = open_catalog(postgres_url)
    with catalog.write() as connection:
        connection.execute(text("CREATE ROLE imgctl_weak_test"))
        connection.execute(text("SET LOCAL ROLE imgctl_weak_test"))
        with pytest.raises(CatalogError, match="permission denied") as raised, catalog._explaining():
            counts(connection)
        connection.rollback()

    assert "GRANT" in raised.value.hint
    catalog.close()


def test_a_broken_connection_is_detected_and_replaced(postgres_url: str) -> None:
    catalog, killer = open_catalog(postgres_url), open_catalog(postgres_url)
    with catalog.read() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    with killer.write() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid})

    with pytest.raises(CatalogUnavailable), catalog.read() as connection:
        counts(connection)

    with catalog.read() as connection:
        assert sum(counts(connection).values()) == 0
    catalog.close()
    killer.close()


def test_the_hint_for_missing_tables_is_init(empty_catalog_url: str) -> None:
    catalog = open_catalog(empty_catalog_url)
    catalog.make_file()

    with pytest.raises(SchemaNotCurrent, match="images") as raised, catalog.read() as connection:
        counts(connection)

    assert raised.value.hint == "imgctl init, or correct [catalog] url"
    catalog.close()


def test_an_error_inside_a_transaction_rolls_it_back(catalog: Catalog) -> None:
    with pytest.raises(KeyError), catalog.write() as connection:
        promise(connection, [new_image(1)])
        raise KeyError

    with catalog.read() as connection:
        assert walk(connection) == []


def test_a_read_transaction_leaves_nothing_behind(catalog: Catalog) -> None:
    with catalog.read() as connection:
        promise(connection, [new_image(1)])

    with catalog.read() as connection:
        assert walk(connection) == []


def test_sqlite_makes_its_directory_and_is_durable(tmp_path: Path) -> None:
    catalog = open_catalog(f"sqlite:///{tmp_path}/a/b/catalog.db")
    catalog.make_file()

    with catalog.read() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar_one() == 2
        assert connection.execute(text("PRAGMA busy_timeout")).scalar_one() == 30_000
    catalog.close()


def test_sqlite_that_is_locked_for_long_is_unavailable(tmp_path: Path) -> None:
    catalog = open_catalog(f"sqlite:///{tmp_path}/catalog.db?timeout=0")
    catalog.make_file()
    with catalog.write():
        other = open_catalog(f"sqlite:///{tmp_path}/catalog.db?timeout=0")
        with pytest.raises(CatalogUnavailable, match="locked"), other.write():
            pass

    other.close()
    catalog.close()


def test_sqlite_writers_wait_for_each_other(tmp_path: Path) -> None:
    catalog = open_catalog(f"sqlite:///{tmp_path}/catalog.db")
    catalog.make_file()
    with catalog.write() as connection:
        connection.execute(text("CREATE TABLE counter (n INTEGER)"))
        connection.execute(text("INSERT INTO counter VALUES (0)"))

    def count(_: int) -> None:
        with catalog.write() as connection:
            seen = connection.execute(text("SELECT n FROM counter")).scalar_one()
            connection.execute(text("UPDATE counter SET n = :n"), {"n": seen + 1})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(40)))

    with catalog.read() as connection:
        assert connection.execute(text("SELECT n FROM counter")).scalar_one() == 40
    catalog.close()


def test_a_file_that_is_not_a_database_is_reported(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").write_bytes(b"these are not the rows you are looking for" * 100)
    catalog = open_catalog(f"sqlite:///{tmp_path}/catalog.db")

    with pytest.raises(CatalogError, match=r"catalog\.db: file is not a database"), catalog.read() as connection:
        counts(connection)
    catalog.close()


def test_a_directory_in_place_of_the_file_is_reported(tmp_path: Path) -> None:
    catalog = open_catalog(f"sqlite:///{tmp_path}")

    with pytest.raises(CatalogError) as raised, catalog.read():
        pass

    assert "a directory" in raised.value.hint
    catalog.close()


def test_a_file_name_that_is_too_long_is_reported(tmp_path: Path) -> None:
    catalog = open_catalog(f"sqlite:///{tmp_path}/{'x' * 300}.db")

    with pytest.raises(CatalogError, match="unable to open"), catalog.read():
        pass
    catalog.close()


@pytest.mark.parametrize("rest", ["a?b.db", "a.db?mode=ro", "a.db?timeout=soon", "a.db?timeout=-1", "a.db?"])
def test_parameters_that_sqlite_would_ignore_are_rejected(tmp_path: Path, rest: str) -> None:
    with pytest.raises(ConfigError, match="timeout"):
        open_catalog(f"sqlite:///{tmp_path}/{rest}")

    assert not list(tmp_path.iterdir())


def test_a_file_name_of_invalid_utf_8_can_be_shown(tmp_path: Path) -> None:
    catalog = open_catalog(f"sqlite:///{tmp_path}/a\udcff.db")
    catalog.make_file()

    with catalog.read() as connection:
        connection.execute(text("SELECT 1"))

    assert catalog.place.encode()
    catalog.close()


@pytest.mark.parametrize("parameter", ["sslmode=odd", "connect_timeout=soon", "odd=1", "service=odd"])
def test_invalid_parameters_of_postgres_are_not_an_outage(closed_port: int, parameter: str) -> None:
    catalog = open_catalog(f"postgresql://me@127.0.0.1:{closed_port}/photos?{parameter}")

    with pytest.raises(CatalogError) as raised, catalog.read():
        pass

    assert not isinstance(raised.value, CatalogUnavailable)
    assert "correct catalog.url" in raised.value.hint
    catalog.close()


@pytest.mark.parametrize(
    ("setting", "hint"),
    [
        ("search_path = nowhere", "search_path"),
        ("default_transaction_read_only = on", "default_transaction_read_only"),
        ("statement_timeout = 20", "raise statement_timeout"),
    ],
)
def test_the_hint_names_the_setting_of_the_administrator(postgres_url: str, setting: str, hint: str) -> None:
    catalog = open_catalog(postgres_url)

    with pytest.raises(CatalogError) as raised, catalog.write() as connection:
        connection.execute(text(f"SET LOCAL {setting.replace('default_', '')}"))
        connection.execute(text("CREATE TABLE slow AS SELECT pg_sleep(1)::text"))

    assert hint in raised.value.hint
    catalog.close()


def test_words_in_a_value_are_not_taken_for_the_error(tmp_path: Path) -> None:
    catalog = open_catalog(f"sqlite:///{tmp_path}/catalog.db")
    catalog.make_file()

    with pytest.raises(CatalogError) as raised, catalog.write() as connection:
        connection.execute(text("CREATE TABLE one (c TEXT CHECK (c = ''))"))
        connection.execute(text("INSERT INTO one VALUES (:c)"), {"c": "my password"})

    assert "password" not in raised.value.line
    catalog.close()


@pytest.mark.parametrize("path", ["file/catalog.db", f"{'x' * 300}.db"])
def test_a_file_or_directory_that_cannot_be_made_is_named(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()
    catalog = open_catalog(f"sqlite:///{tmp_path}/{path}")

    with pytest.raises(CatalogError, match=r"cannot make .*/(file|x+)"):
        catalog.make_file()
    catalog.close()


@pytest.mark.parametrize("name", ["a%3Fb#c d.db", "süß.db", "100%25.db"])
def test_a_path_with_characters_of_urls_is_opened_where_it_is_made(tmp_path: Path, name: str) -> None:
    catalog = open_catalog(f"sqlite:///{tmp_path}/{name}")
    catalog.make_file()
    with catalog.write() as connection:
        connection.execute(text("CREATE TABLE one (c TEXT)"))

    assert (tmp_path / (catalog.url.database or "").rpartition("/")[2]).stat().st_size > 0
    catalog.close()


def test_a_full_sqlite_is_reported(tmp_path: Path) -> None:
    catalog = open_catalog(f"sqlite:///{tmp_path}/catalog.db")
    catalog.make_file()
    with pytest.raises(CatalogError, match="full") as raised, catalog.write() as connection:
        connection.execute(text("CREATE TABLE big (b BLOB)"))
        connection.execute(text("PRAGMA max_page_count = 10"))
        connection.execute(text("INSERT INTO big VALUES (zeroblob(1000000))"))

    assert "make room" in raised.value.hint
    catalog.close()


def test_opening_a_catalog_does_not_import_alembic() -> None:
    code = "import sys, imgctl.store.catalog.engine, imgctl.store.catalog.upgrade; print('alembic' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


def test_sqlite_values_are_readable_in_its_shell(tmp_path: Path) -> None:
    from imgctl.store.catalog.upgrade import upgrade

    catalog = open_catalog(f"sqlite:///{tmp_path}/catalog.db")
    upgrade(catalog)
    row = new_image(1)
    with catalog.write() as connection:
        promise(connection, [row])
    catalog.close()

    plain = sqlite3.connect(tmp_path / "catalog.db")
    found = plain.execute("SELECT id, uploaded_at, hex(sha256) FROM images").fetchone()
    plain.close()

    assert found == (str(row.id), "2026-03-01 12:00:01.000000", row.sha256.hex().upper())


def test_a_url_of_two_hosts_leads_to_the_one_that_accepts_writes(postgres_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        gone = f"127.0.0.1:{held.getsockname()[1]}"
    url = make_url(postgres_url)
    hosts = url.update_query_dict({"host": (gone, str(url.query["host"])), "target_session_attrs": "read-write"})

    with closing(open_catalog(hosts.render_as_string(hide_password=False))) as catalog:
        check_writable(catalog)
        with catalog.write() as connection:
            assert connection.execute(text("SELECT 1")).scalar_one() == 1
