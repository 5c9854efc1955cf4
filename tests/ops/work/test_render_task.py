"""Large originals are spooled to an unlinked file and decoded from there in little memory."""

import os
import struct
import subprocess
import sys
from mmap import mmap
from pathlib import Path

import pytest

from imgctl.config.catalog_store import StoreSettings
from imgctl.errors import BlobCorrupt, BlobMissing
from imgctl.imaging.formats import Format
from imgctl.imaging.render import render
from imgctl.imaging.source import Source
from imgctl.model import Recipe
from imgctl.ops.common import range_reads
from imgctl.ops.work import render_task
from imgctl.ops.work.render_task import fetch
from imgctl.store.blobs.base import BlobStore
from imgctl.store.blobs.local import LocalStore
from imgctl.store.blobs.open import open_store
from tests.imaging.films import KEPT, film

KEY = "2026/01/01/0190b2b4-0000-7000-8000-000000000001-original.tif"
SPOOL_FROM = 1000
# A sparse TIFF of floats, like those of scanner software.
RENDERS_LARGE = """
import sys
from pathlib import Path
from uuid import UUID
from imgctl.config.catalog_store import StoreSettings
from imgctl.imaging.decoders.decode import Limits
from imgctl.model import Recipe
from imgctl.ops.work.options import Batch, Job, WorkOrder
from imgctl.ops.work.render_task import render_batch
from imgctl.run.limits import limit_memory
root, spool, key, size, memory = sys.argv[1:]
limit_memory(int(memory))
job = Job(id=UUID("0190b2b4-0000-7000-8000-000000000001"), attempts=1, forgiven=0, original_key=key, size=int(size))
store = StoreSettings(url=f"file://{root}")
order = WorkOrder(
    store=store, recipe=Recipe(), lease_seconds=60, max_attempts=1, limits=Limits(), timeout_seconds=100,
    spool=Path(spool),
)
(outcome,) = render_batch(Batch(jobs=(job,), order=order))
print(outcome.ending, outcome.width, outcome.height, outcome.error)
"""


def sparse_floats(path: Path, width: int, height: int) -> int:
    """Write a big TIFF of three floats a pixel, one strip, mostly a hole in the file; return its size."""
    size = width * height * 12
    fields = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 3, 32 | 32 << 16 | 32 << 32),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 16, 1, 4096),
        (277, 3, 1, 3),
        (278, 4, 1, height),
        (279, 16, 1, size),
        (284, 3, 1, 1),
        (339, 3, 3, 3 | 3 << 16 | 3 << 32),
    ]
    with path.open("wb") as file:
        file.write(b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, len(fields)))
        file.write(b"".join(struct.pack("<HHQQ", *field) for field in fields) + bytes(8))
        file.seek(4096)
        # A bright corner, because a picture of one colour is refused as flat.
        for _ in range(400):
            file.write(struct.pack("<f", 0.5) * 3 * 400)
            file.seek((width - 400) * 12, os.SEEK_CUR)
        file.truncate(4096 + size)
    return 4096 + size


class _Replaced(LocalStore):
    """A store in which an original is replaced while it is read."""

    def read(self, key: str, *, start: int, length: int, etag: str) -> bytes:
        if start:
            self.replace(key, b"another" * 1000, content_type="image/tiff")
        return super().read(key, start=start, length=length, etag=etag)


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return open_store(StoreSettings(url=f"file://{tmp_path / 'blobs'}"))


@pytest.mark.parametrize("size", [1, SPOOL_FROM - 1, SPOOL_FROM, SPOOL_FROM + 1, 3 * SPOOL_FROM])
@pytest.mark.parametrize("known", [True, False])
def test_an_original_is_complete_in_memory_and_in_a_spool_file(
    store: BlobStore, tmp_path: Path, size: int, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(range_reads, "CHUNK_BYTES", SPOOL_FROM)
    body = os.urandom(size)
    store.create(KEY, body, content_type="image/tiff")

    read = fetch(store, KEY, size=size if known else 0, directory=tmp_path, spool_from=SPOOL_FROM)

    assert not isinstance(read.data, Source)
    assert bytes(read.data) == body
    assert isinstance(read.data, mmap) == (size >= SPOOL_FROM)
    # No file that a killed process could leave behind, even while it is in use.
    assert [path.name for path in tmp_path.iterdir()] == ["blobs"]
    read.close()


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("whole", [2**20, 2**12])
def test_a_large_film_is_read_from_the_store_in_ranges(
    store: BlobStore, tmp_path: Path, known: bool, whole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = film(KEPT[Format.AVI], frames=40, size=(640, 480))
    key = KEY.replace(".tif", ".avi")
    monkeypatch.setattr(render_task, "FILM_WHOLE_BYTES", whole)
    monkeypatch.setattr(render_task, "FILM_STEP_BYTES", 2**14)
    store.create(key, body, content_type="video/x-msvideo")

    read = fetch(store, key, size=len(body) if known else 0, directory=tmp_path)

    assert isinstance(read.data, Source) == (whole < len(body))
    assert render(read.data, Recipe()).width == 640
    assert [path.name for path in tmp_path.iterdir()] == ["blobs"]


def test_an_original_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(range_reads, "CHUNK_BYTES", SPOOL_FROM)
    store = _Replaced(tmp_path / "blobs")
    store.create(KEY, bytes(3 * SPOOL_FROM), content_type="image/tiff")

    with pytest.raises(BlobCorrupt):
        fetch(store, KEY, size=3 * SPOOL_FROM, directory=tmp_path, spool_from=SPOOL_FROM)


@pytest.mark.parametrize("size", [0, 3 * SPOOL_FROM])
def test_a_missing_original_raises_blob_missing(store: BlobStore, tmp_path: Path, size: int) -> None:
    store.create(KEY, b"x", content_type="image/tiff")

    with pytest.raises(BlobMissing):
        fetch(store, KEY.replace("01-o", "02-o"), size=size, directory=tmp_path, spool_from=SPOOL_FROM)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is Linux's")
def test_a_file_larger_than_the_memory_is_rendered(tmp_path: Path) -> None:
    root, spool = tmp_path / "blobs", tmp_path / "spool"
    spool.mkdir()
    path = root / KEY
    path.parent.mkdir(parents=True)
    memory = 200 * 2**20
    size = sparse_floats(path, 5700, 3200)
    assert size > memory

    done = subprocess.run(
        [sys.executable, "-c", RENDERS_LARGE, root, spool, KEY, str(size), str(memory)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.stdout.split()[:3] == ["rendered", "5700", "3200"], done.stdout + done.stderr
    assert list(spool.iterdir()) == []
