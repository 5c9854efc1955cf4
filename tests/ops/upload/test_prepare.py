"""What is read of a file before it is promised, however large it is and wherever its metadata lies."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from imgctl.config import WorkSettings
from imgctl.ops.ingest.recognise import Recogniser
from imgctl.ops.ingest.sidecar import SidecarFiles
from imgctl.ops.upload.prepare import STREAM_ABOVE, Prepared, prepare
from imgctl.ops.upload.walk import Found
from tests.imaging.containers import HEIGHT, WIDTH, Says, big_tiff, heic, png, short_entry, text_entry, tiff_file, webp

SAID = Says(
    primary=(text_entry(0x010E, b"Grandmother, print 17"), short_entry(0x0112, 6)),
    exif=(text_entry(0x9003, b"1987:06:05 12:00:00"),),
)


@pytest.mark.parametrize("write", [tiff_file, big_tiff, png, webp, heic])
@pytest.mark.parametrize("size", [2**20, STREAM_ABOVE + 2**20])
def test_metadata_behind_the_pixels_is_read_at_any_size(write: object, size: int, tmp_path: Path) -> None:
    assert callable(write)
    path = tmp_path / "scan"
    path.write_bytes(write(Says(primary=SAID.primary, exif=SAID.exif, pixels=size)))
    info = path.stat()
    found = Found(path=str(path), size=info.st_size, mtime_ns=info.st_mtime_ns, inode=info.st_ino)

    done = prepare(found, SidecarFiles(), Recogniser(WorkSettings()))

    assert isinstance(done, Prepared)
    assert (done.body is None) is (size > STREAM_ABOVE)
    assert done.caption == "Grandmother, print 17"
    assert done.taken_at == datetime(1987, 6, 5, 12, tzinfo=UTC)
    assert (done.probe.width, done.probe.height) == (HEIGHT, WIDTH)
