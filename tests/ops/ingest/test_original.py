"""The file name that a row keeps, and blobs that are already under the key of a promise."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgctl.errors import StoreError
from imgctl.model import NewImage
from imgctl.ops.ingest.original import file_name, put_original
from imgctl.store.blobs.base import BlobStore
from imgctl.store.blobs.local import LocalStore
from imgctl.store.blobs.open import open_store
from tests.parts.seaweed import S3Server
from tests.store.catalog.rows import new_image

DATA = b"the bytes of a photo"


@pytest.fixture(params=["directory", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    if request.param == "directory":
        return LocalStore(tmp_path / "blobs")
    seaweed: S3Server = request.getfixturevalue("seaweed")
    return open_store(seaweed.settings(seaweed.new_bucket()))


def _row() -> NewImage:
    return replace(new_image(1), sha256=sha256(DATA).digest(), bytes=len(DATA))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("IMG_4711.JPG", "IMG_4711.JPG"),
        ("/mnt/nas/2019/IMG_4711.JPG", "IMG_4711.JPG"),
        ("C:\\Users\\Ann\\sea.heic", "sea.heic"),
        ("archive/2019/", None),
        ("..", None),
        ("", None),
        ("a\nb.jpg", "a\ufffdb.jpg"),
        ("\udcff.jpg", "\ufffd.jpg"),
        ("é" * 200 + ".jpeg", "é" * 125 + ".jpeg"),
        ("x" * 300, "x" * 255),
        ("." + "x" * 300, "." + "x" * 254),
    ],
)
def test_a_name_is_kept_without_characters_that_databases_or_file_systems_reject(path: str, name: str | None) -> None:
    assert file_name(path) == name


@given(st.text(st.characters(codec=None)))
def test_every_name_fits_and_stays_as_it_is(path: str) -> None:
    name = file_name(path)

    assert name is None or (0 < len(name.encode()) <= 255 and "/" not in name and name.isprintable())
    assert name is None or file_name(name) == name


@pytest.mark.parametrize("streamed", [False, True])
def test_the_same_bytes_under_the_promised_key_count_as_put(
    store: BlobStore, tmp_path: Path, *, streamed: bool
) -> None:
    row, file = _row(), tmp_path / "photo.jpg"
    file.write_bytes(DATA)
    store.create(row.original_key, DATA, content_type=row.content_type)

    put_original(store, row, file if streamed else DATA)

    assert store.get(row.original_key) == DATA


@pytest.mark.parametrize("other", [DATA[::-1], DATA + b"!"])
def test_other_bytes_under_the_promised_key_are_an_error(store: BlobStore, other: bytes) -> None:
    row = _row()
    store.create(row.original_key, other, content_type=row.content_type)

    with pytest.raises(StoreError, match="exists, but holds"):
        put_original(store, row, DATA)
