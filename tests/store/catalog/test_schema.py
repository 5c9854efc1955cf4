"""Times, ids and clocks mean the same on both databases."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import literal, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import StatementError

from imgctl.dates import EPOCH
from imgctl.keys import key_of, new_id
from imgctl.store.catalog.engine import Catalog
from imgctl.store.catalog.schema import Id, UtcTime, now, now_plus, seconds_until, time_text
from tests.soak import rounds

ZONES = st.integers(-12, 14).map(lambda hours: timezone(timedelta(hours=hours)))
# A day from either end, so that every zone stays in the range of datetime.
MICROSECONDS = st.integers(86_400 * 10**6, 253_402_000_000 * 10**6)
MOMENTS = st.builds(
    lambda microseconds, zone: (EPOCH + timedelta(microseconds=microseconds)).astimezone(zone), MICROSECONDS, ZONES
)
ON_ONE_DATABASE = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=rounds(25, 200)
)


@ON_ONE_DATABASE
@given(moment=MOMENTS)
def test_times_come_back_aware_in_utc_to_the_microsecond(catalog: Catalog, moment: datetime) -> None:
    with catalog.read() as connection:
        found = connection.execute(select(literal(moment, UtcTime()))).scalar_one()

    assert found == moment
    assert found.tzinfo is UTC


@ON_ONE_DATABASE
@given(value=st.uuids())
def test_ids_come_back(catalog: Catalog, value: UUID) -> None:
    with catalog.read() as connection:
        assert connection.execute(select(literal(value, Id()))).scalar_one() == value


def test_a_naive_time_is_rejected(catalog: Catalog) -> None:
    with catalog.engine.connect() as connection, pytest.raises(StatementError, match="no time zone"):
        connection.execute(select(literal(datetime(2026, 1, 1), UtcTime())))  # noqa: DTZ001


@given(first=MOMENTS, second=MOMENTS)
def test_the_text_of_a_time_sorts_as_the_time(first: datetime, second: datetime) -> None:
    assert (time_text(first) < time_text(second)) == (first < second)
    assert len(time_text(first)) == 26


@given(moments=st.lists(MOMENTS, min_size=2, unique=True))
def test_order_by_id_is_order_by_time_and_by_key(moments: list[datetime]) -> None:
    milliseconds = {moment.astimezone(UTC).replace(microsecond=moment.microsecond // 1000 * 1000) for moment in moments}
    images = [(moment, new_id(moment)) for moment in milliseconds]

    by_time = [image_id for _, image_id in sorted(images)]

    assert by_time == sorted(by_time)
    assert by_time == sorted(by_time, key=str)
    assert by_time == sorted(by_time, key=lambda one: key_of(one, "original", "jpg").encode())


def test_the_clock_and_stored_times_compare(catalog: Catalog) -> None:
    with catalog.read() as connection:
        at = connection.execute(select(now())).scalar_one()
        parts = select(
            literal(at - timedelta(seconds=1), UtcTime()) < now(),
            literal(at + timedelta(hours=1), UtcTime()) > now(),
            now_plus(3600) > literal(at + timedelta(seconds=3599), UtcTime()),
            now_plus(-3600.5) < literal(at - timedelta(seconds=3599), UtcTime()),
            now_plus(1.5) > now(),
        )
        assert all(connection.execute(parts).one())
        left = connection.execute(select(seconds_until(literal(at + timedelta(hours=1), UtcTime())))).scalar_one()

    assert 3500 < left <= 3600.01


def test_sqlite_writes_the_clock_in_the_shape_of_stored_times() -> None:
    statement = select(now(), now_plus(0.25), now_plus(1e9)).compile(dialect=sqlite.dialect())
    with closing(sqlite3.connect(":memory:")) as connection:
        parameters = [statement.params[name] for name in statement.positiontup or ()]
        values = connection.execute(str(statement), parameters).fetchone()

    for value in values:
        assert time_text(datetime.fromisoformat(value).replace(tzinfo=UTC)) == value
