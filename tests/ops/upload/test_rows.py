"""From a prepared file to its row: which date it gets."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgctl.dates import EPOCH, is_likely
from imgctl.imaging.probe import Probe
from imgctl.keys import time_of
from imgctl.ops.ingest.outcome import Fate, Reason
from imgctl.ops.upload.order import UploadedAt, UploadOrder
from imgctl.ops.upload.prepare import Prepared
from imgctl.ops.upload.rows import date_of, new_row, settled
from imgctl.ops.upload.walk import Found

NOW = datetime.now(UTC)
MOMENTS = st.none() | st.datetimes(timezones=st.just(UTC))


def prepared(mtime_ns: int) -> Prepared:
    seen = Probe(format="png", content_type="image/png", extension="png", width=1, height=1)
    found = Found(path="a.png", size=1, mtime_ns=mtime_ns, inode=1, user_id=UUID(int=1))
    return Prepared(
        found=found, size=1, body=b"x", sha256=b"s" * 32, probe=seen, caption=None, taken_at=None, started=0.0
    )


@pytest.mark.parametrize(
    ("mtime_ns", "year", "unlikely"),
    [(1_700_000_000 * 10**9, 2023, False), (-1, 1970, False), (-(10**21), NOW.year, True), (10**21, NOW.year, True)],
)
def test_the_date_of_a_file_may_lie_beyond_every_calendar(mtime_ns: int, year: int, *, unlikely: bool) -> None:
    order = UploadOrder(concurrency=1, memory_bytes=1, uploaded_at=UploadedAt.MTIME)
    file = prepared(mtime_ns)

    assert new_row(file, order).uploaded_at.year in (year, year + 1)
    assert settled(file, order, fate=Fate.UPLOADED, reason=Reason.NONE, image=None, detail="").date_unlikely == unlikely


@given(manifest=MOMENTS, taken=MOMENTS, mtime=st.datetimes(timezones=st.just(UTC)), choice=st.sampled_from(UploadedAt))
def test_only_a_date_that_can_be_is_believed(
    manifest: datetime | None, taken: datetime | None, mtime: datetime, choice: UploadedAt
) -> None:
    file = prepared((mtime - EPOCH) // timedelta(microseconds=1) * 1000)
    file = replace(file, found=replace(file.found, uploaded_at=manifest), taken_at=taken)
    order = UploadOrder(concurrency=1, memory_bytes=1, uploaded_at=choice)
    chosen: dict[UploadedAt, list[datetime | None]] = {
        UploadedAt.NOW: [],
        UploadedAt.MTIME: [mtime],
        UploadedAt.TAKEN: [taken, mtime],
    }
    given_dates = [one for one in (manifest, *chosen[choice]) if one is not None]

    row = new_row(file, order)
    date_unlikely = date_of(file, choice)[1]

    believed = next(filter(is_likely, given_dates), None)
    if believed is None:
        assert abs(row.uploaded_at - datetime.now(UTC)) < timedelta(minutes=5)
    else:
        assert timedelta(0) <= max(believed, EPOCH) - row.uploaded_at < timedelta(milliseconds=1)
    assert row.uploaded_at == time_of(row.id)
    assert date_unlikely == bool(given_dates and given_dates[0] is not believed)


@given(moments=st.lists(st.datetimes(datetime(1826, 1, 1), datetime(2026, 1, 1), timezones=st.just(UTC)), min_size=2))  # noqa: DTZ001
def test_photos_from_before_1970_stand_at_the_beginning(moments: list[datetime]) -> None:
    """Ids hold no time before 1970: law 2 keeps id, date and key in one order, `taken_at` keeps the day."""
    order = UploadOrder(concurrency=1, memory_bytes=1, uploaded_at=UploadedAt.TAKEN)

    rows = [new_row(replace(prepared(0), taken_at=moment), order) for moment in moments]

    assert all(row.uploaded_at == EPOCH for row, moment in zip(rows, moments, strict=True) if moment < EPOCH)
    by_id = sorted(rows, key=lambda row: row.id)
    assert [row.original_key for row in by_id] == sorted(row.original_key for row in rows)
    assert [row.uploaded_at for row in by_id] == sorted(row.uploaded_at for row in rows)
    assert {row.taken_at for row in rows} == set(moments)


def test_a_date_that_is_not_asked_for_hinders_nothing() -> None:
    before = datetime.now(UTC)

    row = new_row(prepared(10**21), UploadOrder(concurrency=1, memory_bytes=1))

    assert (row.uploaded_at - before).total_seconds() < 3600
