"""Preparation of a file of any size, with its metadata at any position, and the date it is filed under."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgctl.config.settings import WorkSettings
from imgctl.dates import EPOCH, is_likely
from imgctl.imaging.formats import Format
from imgctl.imaging.probe import Probe
from imgctl.keys import new_id, time_of
from imgctl.model import NewImage
from imgctl.ops.ingest.describe import Description
from imgctl.ops.ingest.original import Content, Prepared, new_row
from imgctl.ops.ingest.recognise import Recogniser
from imgctl.ops.sources.base import STREAM_ABOVE, SourceFile
from imgctl.ops.sources.local import LocalFiles
from imgctl.ops.upload.options import UploadedAt, UploadOrder
from imgctl.ops.upload.prepare_file import Preparing, date_of, prepare
from tests.imaging.containers import (
    HEIGHT,
    WIDTH,
    Metadata,
    big_tiff,
    heic,
    png,
    short_entry,
    text_entry,
    tiff_file,
    webp,
)

PREPARING = Preparing(recogniser=Recogniser(WorkSettings()), prefix="", order=UploadOrder())
PNG = Probe(format="png", content_type="image/png", extension="png", width=1, height=1)
UNDATED = Description(caption=None, taken_at=None)
USER = UUID(int=1)
NOW = datetime.now(UTC)
MOMENTS = st.none() | st.datetimes(timezones=st.just(UTC))
METADATA = Metadata(
    primary=(text_entry(0x010E, b"Grandmother, print 17"), short_entry(0x0112, 6)),
    exif=(text_entry(0x9003, b"1987:06:05 12:00:00"),),
)


@pytest.mark.parametrize("write", [tiff_file, big_tiff, png, webp, heic])
@pytest.mark.parametrize("size", [2**20, STREAM_ABOVE + 2**20])
def test_metadata_behind_the_pixels_is_read_at_any_size(write: object, size: int, tmp_path: Path) -> None:
    assert callable(write)
    path = tmp_path / "scan"
    path.write_bytes(write(Metadata(primary=METADATA.primary, exif=METADATA.exif, pixels=size)))

    done = prepare(found_on_disk(path), PREPARING)

    assert isinstance(done, Prepared)
    assert isinstance(done.body, Path) is (size > STREAM_ABOVE)
    assert done.row.caption == "Grandmother, print 17"
    assert done.row.taken_at == datetime(1987, 6, 5, 12, tzinfo=UTC)
    assert (done.row.width, done.row.height) == (HEIGHT, WIDTH)


def found_on_disk(path: Path) -> SourceFile:
    info = path.stat()
    return SourceFile(
        path=str(path),
        size=info.st_size,
        mtime_ns=info.st_mtime_ns,
        stamp=info.st_ino,
        source=LocalFiles(),
        user_id=USER,
    )


@pytest.mark.parametrize("name", ["clip.mp4", "clip.jpg"])
def test_a_photo_with_the_name_of_an_excluded_film_is_taken(name: str, tmp_path: Path) -> None:
    data = png(METADATA)
    (tmp_path / name).write_bytes(data)
    excluding = Recogniser(WorkSettings(), leave_out=frozenset((Format.MP4,)))

    done = prepare(found_on_disk(tmp_path / name), replace(PREPARING, recogniser=excluding))

    assert isinstance(done, Prepared)
    assert (done.row.content_type, done.row.bytes, done.row.sha256) == (
        "image/png",
        len(data),
        hashlib.sha256(data).digest(),
    )
    assert (done.body.read_bytes() if isinstance(done.body, Path) else done.body) == data


def found_at(mtime_ns: int) -> SourceFile:
    return SourceFile(path="a.png", size=1, mtime_ns=mtime_ns, stamp=1, source=LocalFiles(), user_id=USER)


def row_of(found: SourceFile, choice: UploadedAt, taken_at: datetime | None = None) -> NewImage:
    description = Description(caption=None, taken_at=taken_at)
    content = Content(sha256=b"s" * 32, size=1, probe=PNG, description=description)
    return new_row(new_id(date_of(found, description, choice)[0]), USER, content, prefix="")


@pytest.mark.parametrize(
    ("mtime_ns", "year", "unlikely"),
    [(1_700_000_000 * 10**9, 2023, False), (-1, 1970, False), (-(10**21), NOW.year, True), (10**21, NOW.year, True)],
)
def test_the_date_of_a_file_may_be_outside_of_datetimes_range(mtime_ns: int, year: int, *, unlikely: bool) -> None:
    found = found_at(mtime_ns)

    assert row_of(found, UploadedAt.MTIME).uploaded_at.year in (year, year + 1)
    assert date_of(found, UNDATED, UploadedAt.MTIME)[1] == unlikely


@given(manifest=MOMENTS, taken=MOMENTS, mtime=st.datetimes(timezones=st.just(UTC)), choice=st.sampled_from(UploadedAt))
def test_only_a_plausible_date_is_used(
    manifest: datetime | None, taken: datetime | None, mtime: datetime, choice: UploadedAt
) -> None:
    found = replace(found_at((mtime - EPOCH) // timedelta(microseconds=1) * 1000), uploaded_at=manifest)
    chosen: dict[UploadedAt, list[datetime | None]] = {
        UploadedAt.NOW: [],
        UploadedAt.MTIME: [mtime],
        UploadedAt.TAKEN: [taken, mtime],
    }
    given_dates = [one for one in (manifest, *chosen[choice]) if one is not None]

    row = row_of(found, choice, taken)
    date_unlikely = date_of(found, replace(UNDATED, taken_at=taken), choice)[1]

    believed = next(filter(is_likely, given_dates), None)
    if believed is None:
        assert abs(row.uploaded_at - datetime.now(UTC)) < timedelta(minutes=5)
    else:
        assert timedelta(0) <= max(believed, EPOCH) - row.uploaded_at < timedelta(milliseconds=1)
    assert row.uploaded_at == time_of(row.id)
    assert date_unlikely == bool(given_dates and given_dates[0] is not believed)


@given(moments=st.lists(st.datetimes(datetime(1826, 1, 1), datetime(2026, 1, 1), timezones=st.just(UTC)), min_size=2))  # noqa: DTZ001
def test_photos_from_before_1970_come_first(moments: list[datetime]) -> None:
    """Ids hold no time before 1970: law 2 keeps id, date and key in the same order, `taken_at` keeps the day."""
    rows = [row_of(found_at(0), UploadedAt.TAKEN, moment) for moment in moments]

    assert all(row.uploaded_at == EPOCH for row, moment in zip(rows, moments, strict=True) if moment < EPOCH)
    by_id = sorted(rows, key=lambda row: row.id)
    assert [row.original_key for row in by_id] == sorted(row.original_key for row in rows)
    assert [row.uploaded_at for row in by_id] == sorted(row.uploaded_at for row in rows)
    assert {row.taken_at for row in rows} == set(moments)


def test_an_impossible_date_of_an_unused_source_is_ignored() -> None:
    before = datetime.now(UTC)

    row = row_of(found_at(10**21), UploadedAt.NOW)

    assert (row.uploaded_at - before).total_seconds() < 3600


def test_reading_begins_before_the_database_client_is_imported() -> None:
    program = "import sys, imgctl.ops.upload.start, imgctl.store.blobs.s3.store; print('sqlalchemy' in sys.modules)"

    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert output == "False\n"
