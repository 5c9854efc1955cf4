"""From a prepared file to its row: which date it gets."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from imgctl.imaging.probe import Probe
from imgctl.ops.upload.order import UploadedAt, UploadOrder
from imgctl.ops.upload.prepare import Prepared
from imgctl.ops.upload.rows import new_row
from imgctl.ops.upload.walk import Found


def prepared(mtime_ns: int) -> Prepared:
    seen = Probe(
        format="png", content_type="image/png", extension="png", width=1, height=1, taken_at=None, animated=False
    )
    found = Found(path="a.png", size=1, mtime_ns=mtime_ns, inode=1, user_id=UUID(int=1))
    return Prepared(
        found=found, size=1, body=b"x", sha256=b"s" * 32, probe=seen, caption=None, taken_at=None, started=0.0
    )


@pytest.mark.parametrize(
    ("mtime_ns", "year"), [(1_700_000_000 * 10**9, 2023), (-(10**21), 1970), (-1, 1970), (10**21, 9999)]
)
def test_the_date_of_a_file_may_lie_beyond_every_calendar(mtime_ns: int, year: int) -> None:
    order = UploadOrder(concurrency=1, memory_bytes=1, uploaded_at=UploadedAt.MTIME)

    assert new_row(prepared(mtime_ns), order).uploaded_at.year == year


def test_a_date_that_is_not_asked_for_hinders_nothing() -> None:
    before = datetime.now(UTC)

    row = new_row(prepared(10**21), UploadOrder(concurrency=1, memory_bytes=1))

    assert (row.uploaded_at - before).total_seconds() < 3600
