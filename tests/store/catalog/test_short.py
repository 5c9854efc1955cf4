"""The short way asks what the long way asks, and leaves to it whatever goes wrong."""

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import URL, event

from imgctl.store.catalog.address import CONNECTING, plain_address
from imgctl.store.catalog.engine import open_catalog
from imgctl.store.catalog.promises import Asked
from imgctl.store.catalog.promising import Asking, promise, standing
from imgctl.store.catalog.short import CONFIRM, FIND, INSERT, STAND, ShortWay, ShortWayClosed
from tests.store.catalog.rows import new_image

NAME = st.from_regex(r"[A-Za-z0-9_.-]{1,12}", fullmatch=True)
PASSWORD = st.text("abc%@:/?#[]&=+ üß", min_size=1, max_size=12)
QUERY = st.dictionaries(
    st.sampled_from(["host", "sslmode", "connect_timeout", "application_name"]),
    st.from_regex(r"[A-Za-z0-9_./-]{1,12}", fullmatch=True),
)


@pytest.fixture
def short(postgres_url: str) -> ShortWay:
    return ShortWay(arguments(postgres_url))


def arguments(url: str) -> dict[str, str]:
    address = plain_address(url)
    assert address is not None
    return dict(address.arguments)


def test_the_statements_are_those_of_the_long_way(postgres_url: str) -> None:
    catalog = open_catalog(postgres_url)
    sent: list[str] = []
    event.listen(catalog.engine, "before_cursor_execute", lambda *told: sent.append(" ".join(told[2].split())))

    with catalog.write() as connection:
        asked = Asked(connection)
        asked.insert([])
        list(asked.find([]))
        list(asked.stand([]))
        asked.confirm([])
    catalog.close()

    assert sent[-4:] == [" ".join(statement.split()) for statement in (INSERT, FIND, STAND, CONFIRM)]


@given(
    st.sampled_from(["postgres", "postgresql", "postgresql+psycopg"]),
    st.none() | st.tuples(NAME, st.none() | PASSWORD),
    st.just("") | NAME,
    st.none() | st.integers(1, 65535),
    NAME,
    QUERY,
)
def test_a_plain_url_is_read_as_sqlalchemy_reads_it(
    scheme: str, login: tuple[str, str | None] | None, host: str, port: int | None, database: str, query: dict[str, str]
) -> None:
    url = URL.create(scheme, login and login[0], login and login[1], host, port, database, query)
    text = url.render_as_string(hide_password=False)

    address = plain_address(text)

    assert address is not None
    catalog = open_catalog(text)
    _, told = catalog.engine.dialect.create_connect_args(catalog.url)
    assert address.arguments == CONNECTING | {name: str(value) for name, value in told.items() if name != "context"}
    assert address.place == catalog.place


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////tmp/catalog.db",
        "postgresql+psycopg://host",
        "postgresql+psycopg://one,two/photos",
        "postgresql+psycopg://host:1/photos?host=a&host=b",
        "postgresql+psycopg://[::1]/photos",
        "postgresql+psycopg://user:p@ss@host/photos",
        "postgresql+psycopg://host/photos?options=-csearch_path%3Dx",
        "postgresql+psycopg://host/photos?host=a%2Cb",
        "mysql://host/photos",
    ],
)
def test_any_other_url_is_left_to_the_long_way(url: str) -> None:
    assert plain_address(url) is None


def test_a_catalog_without_tables_is_not_current(empty_postgres_url: str) -> None:
    with pytest.raises(ShortWayClosed):
        ShortWay(arguments(empty_postgres_url)).is_current()


def test_a_catalog_of_another_version_is_not_current(short: ShortWay, postgres_url: str) -> None:
    assert short.is_current()
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as other:
        other.execute("UPDATE alembic_version SET version_num = '9999'")

    assert not short.is_current()
    short.close()


def test_a_connection_that_died_closes_it_and_nothing_is_written(short: ShortWay, postgres_url: str) -> None:
    rows = [new_image(1)]
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as other:

        def killed(asking: Asking) -> None:
            promise(asking, rows)
            other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'imgctl'")

        with pytest.raises(ShortWayClosed):
            short.transact(killed)

    assert short.transact(lambda asking: standing(asking, [rows[0].id])) == {}
    short.close()


def test_nobody_listening_closes_it(closed_port: int) -> None:
    with pytest.raises(ShortWayClosed):
        ShortWay(arguments(f"postgresql://127.0.0.1:{closed_port}/photos")).is_current()
