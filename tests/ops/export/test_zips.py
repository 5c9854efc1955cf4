"""ZIP files beyond 4 GiB and 65,535 members, as other programs read them."""

import resource
import zlib
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from zipfile import ZipFile

import pytest

from imgctl.errors import StateError
from imgctl.ops.export.sinks import Member
from imgctl.ops.export.zips import ZipSink
from tests.soak import rounds

AT = datetime(2024, 5, 17, 12, 0, 2, tzinfo=UTC)


def test_members_beyond_four_gibibytes_are_found(tmp_path: Path) -> None:
    sink = ZipSink(tmp_path / "large.zip")
    # A sparse file: the hole takes no disk space.
    sink.begin(5 * 2**30)
    members = [
        Member(path=f"data/{n}.jpg", written=sink.put(f"data/{n}.jpg", [b"a" * n], content_type="", at=AT), at=AT)
        for n in range(1, 4)
    ]
    sink.finish(members)
    sink.close()

    with ZipFile(tmp_path / "large.zip") as archive:
        assert [archive.read(f"large/data/{n}.jpg") for n in range(1, 4)] == [b"a", b"aa", b"aaa"]
        assert archive.infolist()[0].date_time == (2024, 5, 17, 12, 0, 2)


def test_a_zip_of_more_than_65535_members_is_read(tmp_path: Path) -> None:
    sink, count = ZipSink(tmp_path / "many.zip"), rounds(66_000, 200_000)
    sink.begin(0)
    one = sink.put("data/one", [b"one"], content_type="", at=AT)
    # The number of members comes from the directory alone; here all share the same bytes.
    sink.finish(Member(path="data/one", written=one, at=AT) for _ in range(count))
    sink.close()

    with ZipFile(tmp_path / "many.zip") as archive:
        assert len(archive.infolist()) == count
        # Newer Pythons refuse to read members that share bytes.
        last = archive.infolist()[-1]
        assert (last.header_offset, last.file_size, last.CRC) == (one.start, 3, zlib.crc32(b"one"))


def test_an_exceeded_file_size_limit_is_a_state_error(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with (
            pytest.raises(StateError, match="file too large"),
            closing(ZipSink(tmp_path / "full.zip")) as sink,
        ):
            sink.begin(0)
            sink.put("data/a.jpg", [b"a" * 20_000, b"b"], content_type="", at=AT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
