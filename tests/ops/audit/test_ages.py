"""Ages are computed from the time of the promise, whatever the date in the photo or the manifest."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgctl.dates import is_likely
from imgctl.keys import ORIGINAL, key_of, new_id
from imgctl.model import Status
from imgctl.ops.audit.findings import Code
from imgctl.ops.audit.options import AuditOrder, Tally
from imgctl.store.catalog.engine import Catalog, open_catalog
from imgctl.store.catalog.queries.aggregates import groups
from imgctl.store.catalog.queries.lookups import Scope, page
from tests.ops.audit.archive import AT_ONCE, Archive, Photo, archive_of, local
from tests.soak import rounds

DATES = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001
AGES = st.integers(0, 10**6).map(lambda seconds: timedelta(seconds=seconds))
# The longest time of a test between writing a row and reading it.
MARGIN = timedelta(minutes=10)


@pytest.fixture
def archive(catalog: Catalog, tmp_path: Path) -> Archive:
    return archive_of(catalog, local(tmp_path))


def dated(archive: Archive, at: datetime, *, age: timedelta, **values: object) -> Photo:
    """Add a photo of this date, promised `age` ago."""
    [photo] = archive.add(1)
    old, photo.id = photo.id, new_id(at)
    photo.keys = {role: key_of(photo.id, role, "jpg") for role in photo.keys}
    row = {f"{role}_key": key for role, key in photo.keys.items()}
    archive.set(
        Photo(id=old, keys={}, body=b""),
        id=photo.id,
        uploaded_at=at.replace(microsecond=at.microsecond // 1000 * 1000),
        promised_at=datetime.now(UTC) - age,
        **row,
        **values,
    )
    for role, key in photo.keys.items():
        archive.put(key, photo.body if role == ORIGINAL else b"a variant")
    return photo


@settings(
    max_examples=rounds(20, 100), suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(photos=st.lists(st.tuples(DATES, AGES), min_size=1, max_size=5), grace=AGES)
def test_every_missing_original_older_than_the_grace_is_found(
    template: Path, photos: list[tuple[datetime, timedelta]], grace: timedelta
) -> None:
    with TemporaryDirectory() as place:
        shutil.copy(template, Path(place) / "catalog.db")
        catalog = open_catalog(f"sqlite:///{place}/catalog.db")
        archive = archive_of(catalog, local(Path(place)))
        lost = {}
        for at, age in photos:
            photo = dated(archive, at, age=age)
            archive.delete(photo.original)
            lost[photo.original] = age

        findings = archive.audit(AuditOrder(grace=grace), tally=(tally := Tally()))
        every = archive.audit(AT_ONCE)

        catalog.close()
    found = {one.key for one in findings if one.code is Code.MISSING_ORIGINAL}
    assert {key for key, age in lost.items() if age >= grace} <= found
    assert not {key for key, age in lost.items() if age + MARGIN < grace} & found
    assert tally.young == len(every) - len(findings)
    unlikely = {at for at, _ in photos if not is_likely(at)}
    assert sum(one.code is Code.UNLIKELY_DATE for one in findings) == len([at for at, _ in photos if at in unlikely])


@pytest.mark.parametrize("year", [1970, 2020, 2099, 9998])
@pytest.mark.parametrize("status", [Status.UPLOADING, Status.PROCESSING])
def test_a_row_is_stuck_by_the_age_of_its_promise_alone(archive: Archive, year: int, status: Status) -> None:
    stuck = Code.STUCK_UPLOADING if status is Status.UPLOADING else Code.STUCK_PROCESSING
    at = datetime(year, 5, 1, tzinfo=UTC)
    dated(archive, at, age=timedelta(0), status=status, attempts=0)
    assert stuck not in {one.code for one in archive.audit(AuditOrder())}

    waiting = dated(archive, at, age=timedelta(minutes=16), status=status, attempts=0)

    assert [one.id for one in archive.audit(AuditOrder()) if one.code is stuck] == [waiting.id]


@pytest.mark.parametrize("column", ["uploaded_at", "taken_at"])
@pytest.mark.parametrize("status", [Status.READY, Status.UPLOADING])
def test_a_row_with_a_future_date_is_found(archive: Archive, column: str, status: Status) -> None:
    future = datetime.now(UTC) + timedelta(days=3)
    photo = dated(archive, future if column == "uploaded_at" else datetime(2020, 1, 1, tzinfo=UTC), age=MARGIN)
    archive.set(photo, status=status, **({"taken_at": future} if column == "taken_at" else {}))

    found = [(one.code, one.id) for one in archive.audit(AT_ONCE) if column in one.detail]

    assert found == [(Code.UNLIKELY_DATE, photo.id)]


def test_the_backlog_has_the_age_of_its_oldest_promise(archive: Archive, catalog: Catalog) -> None:
    dated(archive, datetime(1975, 1, 1, tzinfo=UTC), age=timedelta(minutes=2), status=Status.PROCESSING)
    dated(archive, datetime(2099, 1, 1, tzinfo=UTC), age=timedelta(minutes=9), status=Status.PROCESSING)

    with catalog.read() as connection:
        [whole] = groups(connection, Scope())

    assert whole.backlog_seconds is not None
    assert 9 * 60 <= whole.backlog_seconds < 9 * 60 + MARGIN.total_seconds()


def test_a_scope_of_age_selects_by_the_promise(archive: Archive, catalog: Catalog) -> None:
    old = dated(archive, datetime(2099, 1, 1, tzinfo=UTC), age=timedelta(days=100))
    dated(archive, datetime(1975, 1, 1, tzinfo=UTC), age=timedelta(days=1))
    scope = Scope(promised_before=datetime.now(UTC) - timedelta(days=90))

    with catalog.read() as connection:
        found = [[image.id for image in page(connection, one)] for one in (scope, scope_of_user(scope, old))]
        [whole] = groups(connection, scope)

    assert found == [[old.id], [old.id]]
    assert whole.images == 1


def scope_of_user(scope: Scope, photo: Photo) -> Scope:
    return Scope(user_id=photo.user_id, promised_before=scope.promised_before)
